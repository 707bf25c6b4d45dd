from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from debtool.deb.files import sha256_of
from debtool.model.errors import InputError
from debtool.model.stack import parse_stack
from debtool.stack.project import open_project
from debtool.wheel.lock import Lock, LockedArtefact, LockedFile, parse_lock
from debtool.wheel.pipconfig import PIP
from debtool.wheel.resolve import inputs_digest

if TYPE_CHECKING:
    from tests.support.wheels import TinyWheels

REPO = Path(__file__).parents[2] / "repo"
LOCKS = sorted((REPO / "locks").glob("*.txt"))
SHA = "0" * 64
HEAD = f"# debtool lock 1: stack s, target t\n# inputs sha256:{SHA}\n"


def _parse(body: str) -> Lock:
    return parse_lock(HEAD + body, Path("locks/s.t.txt"))


def _problems(text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(InputError) as caught:
        parse_lock(text, Path("locks/s.t.txt"))
    assert all(issue.file == Path("locks/s.t.txt") and issue.fix and issue.rule for issue in caught.value.issues)
    return [(issue.line, issue.problem) for issue in caught.value.issues]


HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
VERSIONS = st.sampled_from(["1.0", "2026.1", "1!2.0", "1.0rc1", "1.0.post2", "0.21.0+cpu"]).map(Version)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4}){0,2}", fullmatch=True), VERSIONS, HASHES, st.booleans()
        ),
        unique_by=lambda entry: entry[0],
        max_size=8,
    ),
    HASHES,
)
def test_what_is_written_is_read_back(entries: list[tuple[str, Version, str, bool]], inputs: str) -> None:
    files, artefacts = [], []
    for index, (name, version, digest, wheel) in enumerate(entries):
        if index % 3 == 2:
            against = canonicalize_name("torch") if wheel else None
            source = f"sha256:{digest}" if wheel else None
            artefacts.append(LockedArtefact(canonicalize_name(name), version, "companion", against, source, digest))
        else:
            file = f"{name.replace('-', '_')}-{version}" + ("-py3-none-any.whl" if wheel else ".tar.gz")
            cpu = "x86-64-v2" if not wheel and index % 2 else None
            files.append(LockedFile(canonicalize_name(name), version, file, digest, cpu))
    lock = Lock("s", "t", inputs, tuple(files), tuple(artefacts))
    assert parse_lock(str(lock), Path("x")) == lock
    assert set(lock.versions) == {entry[0] for entry in entries}


def test_every_bad_line_is_named_at_once() -> None:
    good = f"a==1.0 --hash=sha256:{SHA}  # wheel a-1.0-py3-none-any.whl\n"
    body = (
        good
        + "b>=1\n"
        + good
        + f"c==1.0 --hash=sha256:{SHA}  # sdist c-1.0-py3-none-any.whl\n"
        + f"d==1.0 --hash=sha256:{SHA}  # wheel d-2.0-py3-none-any.whl\n"
        + f"e==x --hash=sha256:{SHA}  # sdist e-1.0.tar.gz\n"
        + "#: torch==2.0 unheard-of\n"
        + f"f==1.0 --hash=sha256:{SHA}  # wheel f.whl\n"
        + f"g==1.0 --hash=sha256:{SHA[:-1]}  # sdist g-1.0.tar.gz\n"
        + "--index-url https://example.org/simple\n"
        + f"h==1.0 --hash=sha256:{SHA}  # wheel h-1.0-py3-none-any.whl cpu=westmere\n"
        + f"i==1.0 --hash=sha256:{SHA}  # sdist i-1.0.tar.gz cpu=\n"
    )
    problems = _problems(HEAD + body)
    assert [line for line, _problem in problems] == [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert "only an sdist has a cpu" in problems[9][1]
    assert "'b>=1'" in problems[0][1]
    assert "line 3 already" in problems[1][1]
    assert "is no sdist" in problems[2][1]
    assert "not a file of d 1.0" in problems[3][1]
    assert "'x' is no version" in problems[4][1]


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 1), ("accelerate==0.31.0\n", 1), ("# debtool lock 2: stack s, target t\n", 1), (HEAD.splitlines()[0], 2)],
)
def test_a_file_that_is_no_lock_is_told_so(text: str, line: int) -> None:
    [(found, problem)] = _problems(text)
    assert found == line
    assert problem.startswith("expected '# ")


def test_comments_and_empty_lines_mean_nothing() -> None:
    assert _parse("\n# a remark\n\n").files == ()


def test_pip_installs_the_index_part(tiny_index: TinyWheels, tmp_path: Path) -> None:
    wheel = tiny_index.wheel("tiny", "1.0", requires=["torch"])
    entry = LockedFile(canonicalize_name("tiny"), Version("1.0"), wheel.name, sha256_of(wheel))
    artefact = LockedArtefact(canonicalize_name("torch"), Version("2.13.0+cpu"), "external")
    file = tmp_path / "lock.txt"
    file.write_text(str(Lock("s", "t", SHA, (entry,), (artefact,))))
    command = [*PIP, "install", "--require-hashes", "--no-deps", "--target", str(tmp_path / "site"), "-r", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "site" / "tiny.py").is_file()


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_committed_locks_are_current_and_clean(file: Path) -> None:
    text = file.read_text()
    lock = parse_lock(text, file)
    assert str(lock) == text
    stack_file = REPO / f"{lock.stack}.toml"
    stack = parse_stack(stack_file.read_text(), stack_file)
    target = open_project(stack_file).target(lock.target)
    assert lock.inputs == inputs_digest(stack, target), f"run: debtool lock --target {target.name}"
    assert "://" not in text
    assert not [name for name in lock.versions if name.startswith(("nvidia", "cuda", "triton"))]
    assert {entry.name for entry in lock.files if not entry.is_wheel} <= set(stack.requirements.sdists)


def test_the_expected_locks_are_committed() -> None:
    expected = {"cheesegrater.bookworm", "cheesegrater.noble", "cheesegrater.noble-rocm6.3", "demo.bookworm"}
    assert expected <= {file.stem for file in LOCKS}
    bookworm = parse_lock((REPO / "locks/cheesegrater.bookworm.txt").read_text(), Path("x"))
    assert len(bookworm.versions) == 134
