from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.audit import static
from debtool.audit.findings import Level, PackageAudit
from debtool.audit.rules import Rules, load_rules
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError
from tests.support.binaries import WESTMERE, library, tiny_package
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Audit = Callable[..., list[PackageAudit]]

pytestmark = pytest.mark.slow


SOURCE = r"""
typedef float v8 __attribute__((vector_size(32)));
__attribute__((target("avx"))) void kernel(v8 *a) { *a = *a + *a; }
int plain(int x) { return x + 1; }
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("elf"), SOURCE, name="kernels.so")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("clean"), "int plain(int x) { return x; }", name="clean.so")


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return partial(static.audit_paths, baseline=WESTMERE, rules=load_rules(), cache=tmp_path / "cache", jobs=2)


def test_every_kind_of_subject_is_audited_in_order(tmp_path: Path, elf: Path, clean: Path, audit: Audit) -> None:
    contents = {"tiny/kernels.so": elf.read_bytes(), "tiny/clean.so": clean.read_bytes()}
    wheel = TinyWheels(tmp_path).wheel("tiny", "1", files=contents)
    package = tiny_package(tmp_path, {f"usr/lib/{path}": data for path, data in contents.items()})
    folder = package.with_name("tree") / "usr"
    subjects = [wheel, package, folder, elf, clean]
    progress: list[tuple[str, int, int]] = []
    found = audit(subjects, progress=lambda *step: progress.append(step))
    assert [one.subject for one in found] == [str(path) for path in subjects]
    assert [[file.path for file in one.files] for one in found] == [
        ["tiny/clean.so", "tiny/kernels.so"],
        ["/usr/lib/tiny/clean.so", "/usr/lib/tiny/kernels.so"],
        ["lib/tiny/clean.so", "lib/tiny/kernels.so"],
        ["kernels.so"],
        ["clean.so"],
    ]
    for one in found[:4]:
        (finding,) = one.files[-1].findings
        assert (finding.symbol, finding.features[0].name) == ("kernel", "AVX")
        assert one.level is not Level.FREE
    assert found[4].level is Level.FREE
    assert found[4].files[0].instructions > 0
    assert [one.sha256 for one in found] == ["" if path.is_dir() else sha256_of(path) for path in subjects]
    assert progress[-1][1] == progress[-1][2] == sum(file.size for one in found for file in one.files)


def test_a_large_file_in_ranges_is_what_it_is_in_one_piece(
    tmp_path: Path, elf: Path, monkeypatch: pytest.MonkeyPatch, audit: Audit
) -> None:
    wheel = TinyWheels(tmp_path).wheel("tiny", "1", files={"tiny/kernels.so": elf.read_bytes()})
    package = tiny_package(tmp_path, {"usr/lib/kernels.so": elf.read_bytes()})
    libc = Path("/usr/lib/x86_64-linux-gnu/libc.so.6").resolve()
    whole = audit([libc, wheel, package])
    monkeypatch.setattr(static, "_LARGE", 1)
    assert audit([libc, wheel, package], cache=tmp_path / "other") == whole
    assert whole[0].files[0].functions > 1000


def test_what_was_audited_is_not_opened_again(
    tmp_path: Path, elf: Path, monkeypatch: pytest.MonkeyPatch, audit: Audit
) -> None:
    wheel = TinyWheels(tmp_path).wheel("tiny", "1", files={"tiny/kernels.so": elf.read_bytes()})
    digest = sha256_of(wheel)
    first = audit([wheel], hashes={wheel: digest})
    wheel.write_bytes(b"")
    monkeypatch.setattr(static, "_Run", None)
    assert audit([wheel], hashes={wheel: digest}) == first


def test_other_rules_are_another_audit(elf: Path, audit: Audit) -> None:
    (first,) = audit([elf])
    (second,) = audit([elf], rules=Rules())
    assert first.rules != second.rules
    assert audit([elf]) == [first]


def test_damaged_records_are_made_again(tmp_path: Path, elf: Path, audit: Audit) -> None:
    first = audit([elf])
    records = [path for path in (tmp_path / "cache").rglob("*.zst") if path.is_file()]
    assert len(records) == 2
    for damage in (lambda data: data[:-9], lambda _: b"", lambda data: data[:20] + b"\0" * 9 + data[29:]):
        for record in records:
            record.write_bytes(damage(record.read_bytes()))
            assert audit([elf]) == first


def test_files_that_are_no_code_for_this_processor_say_why(tmp_path: Path, elf: Path, audit: Audit) -> None:
    foreign, broken = bytearray(elf.read_bytes()), elf.read_bytes()[:90]
    foreign[18] = 183
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / "arm.so").write_bytes(foreign)
    (folder / "broken.so").write_bytes(broken)
    (found,) = audit([folder])
    notes = {file.path: file.note for file in found.files}
    assert notes["arm.so"] == "code for AArch64"
    assert notes["broken.so"].startswith("damaged")


def test_all_that_cannot_be_read_is_told_at_once(tmp_path: Path, audit: Audit) -> None:
    text, wheel = tmp_path / "text", tmp_path / "broken-1-py3-none-any.whl"
    text.write_text("no ELF file")
    wheel.write_text("no wheel")
    with pytest.raises(InputError) as refused:
        audit([text, wheel])
    assert {issue.file for issue in refused.value.issues} == {text, wheel}
    with pytest.raises(InputError, match="no such file"):
        audit([tmp_path / "absent"])


PROGRAM = """
import sys
from pathlib import Path
from debtool.audit.baselines import find_baseline
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths

def tell(what, done, total):
    print("going", flush=True)

if __name__ == "__main__":
    folder = [Path("/usr/lib/x86_64-linux-gnu")]
    audit_paths(folder, find_baseline("westmere"), load_rules(), cache=Path(sys.argv[1]), jobs=2, progress=tell)
"""


@pytest.fixture
def going(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """An audit that takes a while, in a process group of its own."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(tmp_path / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def group(leader: int) -> list[int]:
    """The processes of a group that are there, and have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, number = status.read_text().rpartition(")")[2].split()[:3]
            if number == str(leader) and state != "Z":
                found.append(int(status.parent.name))
    return found


def nobody_is_left(leader: int) -> bool:
    """Whether a group ends within some seconds."""
    until = time.monotonic() + 20
    while (left := group(leader)) and time.monotonic() < until:
        time.sleep(0.1)
    return not left


def test_an_interruption_ends_it_at_once_and_leaves_nothing(going: subprocess.Popen[str], tmp_path: Path) -> None:
    time.sleep(1)
    os.killpg(going.pid, signal.SIGINT)
    _, errors = going.communicate(timeout=20)
    assert going.returncode != 0
    assert errors.strip().endswith("KeyboardInterrupt")
    scratch = tmp_path / "cache/audit/scratch"
    assert not scratch.exists() or list(scratch.iterdir()) == []
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert nobody_is_left(going.pid)


def test_workers_end_with_their_parent_even_if_it_is_killed(going: subprocess.Popen[str]) -> None:
    time.sleep(1)
    assert len(group(going.pid)) > 2
    os.kill(going.pid, signal.SIGKILL)
    assert nobody_is_left(going.pid)


def test_a_killed_worker_is_told(elf: Path, audit: Audit) -> None:
    def kill(*_: object) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(OutsideError, match="an audit process was killed"):
        audit([elf, Path("/usr/lib/x86_64-linux-gnu/libc.so.6")], progress=kill)
