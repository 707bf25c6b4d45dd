"""Results of long builds: kept in one step, found again, and never half."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from debtool.build.locks import locked
from debtool.build.results import Kept, find, keep, kept_results
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, OutsideError

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "2.7.1+rocm6.3.noavx"
FILE = f"torch-{VERSION}-cp312-cp312-linux_x86_64.whl"
# Keeps the second result and ends, as if killed, before the given call of the given function.
KILLED = """
import os, pathlib, shutil, sys
from pathlib import Path
from debtool.build.results import keep

function, number, cache, wheel = sys.argv[1:]
owner = shutil if function == "rmtree" else pathlib.Path
real = getattr(owner, function)
calls = 0

def counted(*arguments, **options):
    global calls
    calls += 1
    if calls == int(number):
        os._exit(9)
    return real(*arguments, **options)

setattr(owner, function, counted)
keep(Path(cache), "noble", "torch", "2.7.1+rocm6.3.noavx", Path(wheel), {"build.log": b"second"})
"""


def made(tmp_path: Path, content: bytes = b"a wheel", name: str = FILE) -> Path:
    """Return a file that stands for a wheel that was just built."""
    wheel = tmp_path / "dist" / name
    wheel.parent.mkdir(exist_ok=True)
    wheel.write_bytes(content)
    return wheel


def keep_one(tmp_path: Path, content: bytes = b"a wheel", **files: Path | bytes) -> Kept:
    given = {name.replace("_", "."): file for name, file in files.items()}
    return keep(tmp_path / "cache", "noble", "torch", VERSION, made(tmp_path, content), given)


def found(tmp_path: Path) -> Kept | None:
    return find(tmp_path / "cache", "noble", "torch", VERSION)


def beside(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache/built/noble").iterdir())


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    log = tmp_path / "work.log"
    log.write_text("[1/2] Building\n")
    kept = keep_one(tmp_path, build_log=log, record_json=b'{"seconds": 9}', summary_html=b"<p>")
    assert kept.folder == tmp_path / "cache/built/noble" / f"torch-{VERSION}"
    assert sorted(path.name for path in kept.folder.iterdir()) == ["build.log", "record.json", "summary.html", FILE]
    assert kept.wheel.read_bytes() == b"a wheel"
    assert kept.sha256 == sha256_of(kept.wheel)
    assert kept.record == {
        "seconds": 9,
        "name": "torch",
        "version": VERSION,
        "target": "noble",
        "wheel": FILE,
        "sha256": kept.sha256,
    }
    assert found(tmp_path) == kept
    assert beside(tmp_path) == [kept.folder.name]
    # The wheel was moved, the log copied: whoever goes on writing into it does not change what was kept.
    assert not (tmp_path / "dist" / FILE).exists()
    log.write_text("more")
    assert (kept.folder / "build.log").read_text() == "[1/2] Building\n"


def test_there_is_none_for_another_target_name_or_version(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert find(cache, "noble", "torch", VERSION) is None
    keep_one(tmp_path)
    for target, name, version in (("trixie", "torch", VERSION), ("noble", "tor", VERSION), ("noble", "torch", "2.7.1")):
        assert find(cache, target, name, version) is None


def test_names_and_versions_are_compared_as_python_does(tmp_path: Path) -> None:
    wheel = made(tmp_path, name="torch_audio-2.7.0-py3-none-any.whl")
    kept = keep(tmp_path / "cache", "noble", "Torch.Audio", "v2.7.0", wheel, {})
    assert kept.folder.name == "torch-audio-2.7.0"
    assert find(tmp_path / "cache", "noble", "torch_audio", "2.7.0") == kept


def test_an_earlier_result_is_replaced_with_all_its_files(tmp_path: Path) -> None:
    keep_one(tmp_path, b"first", old_txt=b"")
    kept = keep_one(tmp_path, b"second")
    assert found(tmp_path) == kept
    assert kept.wheel.read_bytes() == b"second"
    assert sorted(path.name for path in kept.folder.iterdir()) == ["record.json", FILE]
    assert beside(tmp_path) == [kept.folder.name]


def test_a_result_can_be_kept_again(tmp_path: Path) -> None:
    kept = keep_one(tmp_path, build_log=b"first")
    again = keep(tmp_path / "cache", "noble", "torch", VERSION, kept.wheel, {"build.log": b"second"})
    assert again == found(tmp_path) == kept
    assert (again.folder / "build.log").read_bytes() == b"second"


def test_without_links_the_wheel_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert keep_one(tmp_path).wheel.read_bytes() == b"a wheel"
    assert not (tmp_path / "dist" / FILE).exists()


@pytest.mark.parametrize(
    ("function", "number", "survivor"),
    [
        ("hardlink_to", 1, b"first"),
        ("rename", 1, b"first"),
        ("rename", 2, b"first"),  # the earlier one has been renamed away, the new one has no name yet
        ("rmtree", 1, b"second"),
        ("unlink", 1, b"second"),
    ],
)
def test_a_run_that_is_killed_leaves_a_whole_result(
    tmp_path: Path, function: str, number: int, survivor: bytes
) -> None:
    keep_one(tmp_path, b"first", build_log=b"first")
    wheel = made(tmp_path, b"second")
    command = [sys.executable, "-c", KILLED, function, str(number), str(tmp_path / "cache"), str(wheel)]
    done = subprocess.run(command, check=False)
    assert done.returncode == 9
    kept = found(tmp_path)
    assert kept is not None
    assert kept.wheel.read_bytes() == survivor
    assert (kept.folder / "build.log").read_bytes() == survivor
    # What was built is not lost with the run, and the next one leaves nothing beside the result.
    assert wheel.read_bytes() == b"second"
    keep_one(tmp_path, b"third")
    assert beside(tmp_path) == [kept.folder.name]


def test_what_is_replaced_meanwhile_is_waited_for(tmp_path: Path) -> None:
    kept = keep_one(tmp_path)
    away = kept.folder.with_name(f".{kept.folder.name}.old")
    results: list[Kept | None] = []
    reader = threading.Thread(target=lambda: results.append(found(tmp_path)))
    with locked(kept.folder.parent):
        kept.folder.rename(away)
        reader.start()
        away.rename(kept.folder)
    reader.join()
    assert results == [kept]


def test_what_cannot_be_kept_leaves_the_earlier_result(tmp_path: Path) -> None:
    kept = keep_one(tmp_path, b"first")
    with pytest.raises(OutsideError, match=r"keeping the result of torch 2\.7\.1.* failed: No such file.*nowhere"):
        keep_one(tmp_path, b"second", build_log=tmp_path / "nowhere")
    assert found(tmp_path) == kept
    assert beside(tmp_path) == [kept.folder.name]
    assert (tmp_path / "dist" / FILE).read_bytes() == b"second"


def test_another_wheel_or_record_is_refused(tmp_path: Path) -> None:
    wheel = made(tmp_path, name="torch-2.6.0-py3-none-any.whl")
    with pytest.raises(InputError, match=r"torch-2\.6\.0-.*: is no wheel of torch 2\.7\.1\+rocm6\.3\.noavx; fix: "):
        keep(tmp_path / "cache", "noble", "torch", VERSION, wheel, {})
    for record in (b"[]", b"7", b"{", b"\xff"):
        with pytest.raises(InputError, match=r"record\.json: is no JSON object"):
            keep_one(tmp_path, record_json=record)
    assert found(tmp_path) is None
    for name in ("a/b", ".hidden", FILE):
        with pytest.raises(ValueError, match="is no name for a file of a result"):
            keep(tmp_path / "cache", "noble", "torch", VERSION, made(tmp_path), {name: b""})


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda kept: kept.wheel.write_bytes(b"another"), rf"{FILE}: has the SHA-256 [0-9a-f]{{64}}, its record says"),
        (lambda kept: kept.wheel.unlink(), rf"{FILE}: cannot be read: No such file"),
        (lambda kept: (kept.folder / "record.json").unlink(), r"record\.json: cannot be read: No such file"),
        (lambda kept: (kept.folder / "record.json").write_text("{"), r"record\.json: does not say which wheel"),
    ],
)
def test_a_damaged_result_is_told_with_how_to_have_it_anew(
    tmp_path: Path, damage: Callable[[Kept], object], problem: str
) -> None:
    kept = keep_one(tmp_path)
    damage(kept)
    fix = rf"fix: the result is damaged: rm -r {kept.folder}, then debtool torch build --target noble"
    with pytest.raises(InputError, match=rf"{problem}.*; {fix}".replace("+", r"\+")):
        found(tmp_path)


def test_what_has_no_command_of_its_own_is_built_anew_as_it_was(tmp_path: Path) -> None:
    wheel = made(tmp_path, name="torch_audio-2.7.0-py3-none-any.whl")
    kept = keep(tmp_path / "cache", "noble", "torch-audio", "2.7.0", wheel, {})
    kept.wheel.write_bytes(b"another")
    with pytest.raises(InputError, match=rf"rm -r {kept.folder}, then build it anew"):
        find(tmp_path / "cache", "noble", "torch-audio", "2.7.0")


RECORDS = st.binary() | st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["wheel", "sha256", FILE, "0" * 64, "../x.whl"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["wheel", "sha256", "name"]) | st.text(), inner),
).map(lambda value: json.dumps(value).encode())


@given(RECORDS)
# The folder is filled anew each time.
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_record_leads_elsewhere_or_breaks_it(tmp_path: Path, record: bytes) -> None:
    folder = tmp_path / "cache/built/noble" / f"torch-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_bytes(record)
    with pytest.raises(InputError, match=r"; fix: the result is damaged: rm -r"):
        found(tmp_path)
    with suppress(InputError):
        assert [one.wheel.parent for one in kept_results(tmp_path / "cache")] == [folder]


def test_all_results_are_listed_and_nothing_else(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert kept_results(cache) == []
    first = keep_one(tmp_path)
    second = keep(cache, "bookworm", "torch", VERSION, made(tmp_path), {})
    other = cache / "built" / ("0" * 64)  # of debtool.build.wheels
    other.mkdir()
    (other / "record.json").write_text("{}")
    for leftover in (first.folder.with_name(f".{first.folder.name}.new"), cache / "built/.x.work/source"):
        leftover.mkdir(parents=True)
        (leftover / "record.json").write_text("{")
    assert kept_results(cache) == [second, first]

    for kept in (first, second):
        (kept.folder / "record.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        kept_results(cache)
    assert [issue.file for issue in caught.value.issues] == [one.folder / "record.json" for one in (second, first)]


def test_a_build_in_progress_beside_is_left_alone(tmp_path: Path) -> None:
    work = tmp_path / "cache/built/noble" / f".torch-{VERSION}.work"
    work.mkdir(parents=True)
    (work / "build.ninja").touch()
    kept = keep_one(tmp_path)
    assert beside(tmp_path) == [work.name, kept.folder.name]
    assert os.listdir(work) == ["build.ninja"]  # noqa: PTH208 -- names are all that is asked
