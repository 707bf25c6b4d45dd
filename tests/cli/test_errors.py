"""What a user does wrong is told in a line each, with the fix, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Program
    from tests.support.wheels import TinyWheels
    from tests.support.workshops import Workshop

OTHER = "cp310-cp310-manylinux_2_17_x86_64"


def lines(text: str) -> list[str]:
    assert "Traceback" not in text
    return text.splitlines()


@pytest.fixture
def stack(workshop: Workshop) -> Path:
    return workshop.folder / "stack.toml"


def test_wheels_that_are_wrong_are_told_a_line_each(program: Program, workshop: Workshop, tmp_path: Path) -> None:
    good = workshop.wheel("alpha", "1.2.0")
    cut = tmp_path / "cut-1.0-py3-none-any.whl"
    cut.write_bytes(good.read_bytes()[:200])
    missing = tmp_path / "missing-1.0-py3-none-any.whl"
    other = workshop.wheel("other", "1.0", tag=OTHER)
    badly_named = tmp_path / "alpha.whl"
    badly_named.write_bytes(good.read_bytes())
    out = tmp_path / "out"
    done = program(
        "--config", workshop.folder / "stack.toml", "wheel", "deb", good, cut, missing, other, badly_named,
        "--target", "here", "--out", out,
    )  # fmt: skip
    assert (done.code, done.out) == (2, "")
    said = lines(done.err)
    assert all(line.startswith("debtool: ") and "; fix: " in line for line in said)
    for wheel in (cut, missing, other, badly_named):
        assert [line for line in said if str(wheel) in line], wheel
    assert not [line for line in said if str(good) in line]
    assert any(f"{missing}: there is no such wheel; fix: correct the path" in line for line in said)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "problem", "fix"),
    [
        (["release", "--target", "nope"], "nope.toml: there is no target 'nope'", "one of here, bookworm, noble"),
        (["release", "--target", "here", "--channel", "beta"], "there is no channel 'beta'", "one of canary, stable"),
        (["plan", "--target", "here", "--source", "torhc=x"], "is called 'torhc'", "one of app"),
        (["repo", "list", "--target", "here"], "public", "debtool repo init"),
        (["target", "show", "nope"], "there is no target 'nope'", "docs/targets.md"),
        (["lint", "nothing.deb"], "", ""),
    ],
)
def test_what_is_not_there(program: Program, stack: Path, arguments: list[str], problem: str, fix: str) -> None:
    done = program("--config", stack, *arguments)
    assert (done.code, done.out) == (2, "")
    said = lines(done.err)
    if fix:
        [line] = said
        assert problem in line
        assert fix in line.partition("; fix: ")[2]
    assert not (stack.parent / "public").exists()


@pytest.mark.parametrize("source", ["torch", "=x", "torch=", ""])
def test_a_source_is_a_name_and_a_place(program: Program, stack: Path, source: str) -> None:
    done = program("--config", stack, "plan", "--source", source)
    assert done.code == 2
    assert f"Invalid value for --source: {source!r} is not NAME=PLACE" in done.err


def test_a_missing_stack_says_how_to_make_one(program: Program, tmp_path: Path) -> None:
    done = program("--config", tmp_path / "none.toml", "plan")
    assert done.code == 2
    assert "none.toml: cannot be read: No such file or directory" in done.err
    assert "debtool init DIR" in done.err


def test_a_mistyped_key_says_what_was_meant(program: Program, stack: Path) -> None:
    stack.write_text(stack.read_text().replace("homepage =", "hompage =").replace("port = 8080", "port = 99999"))
    done = program("--config", stack, "plan")
    assert done.code == 2
    said = lines(done.err)
    assert len(said) == 3
    assert f"debtool: {stack}:7: hompage: unknown key (docs/stack.md); fix: did you mean 'homepage'?" in said
    assert any("stack.toml:1: homepage: missing key" in line for line in said)
    assert any("port: Input should be less than or equal to 65535" in line for line in said)


def test_a_lock_that_is_missing_or_outdated_says_how_to_make_it(program: Program, stack: Path) -> None:
    stack.write_text(stack.read_text().replace("alpha>=1.0", "alpha>=1.1"))
    done = program("--config", stack, "release", "--target", "here")
    assert done.code == 2
    [line] = lines(done.err)
    assert line.endswith(f"fix: debtool --config {stack} lock --target here")
    (stack.parent / "locks/acme.here.txt").unlink()
    [line] = lines(program("--config", stack, "release", "--target", "here").err)
    assert "there is no lock for here" in line


def test_a_requirement_that_nobody_can_meet_is_told(program: Program, stack: Path) -> None:
    lock = stack.parent / "locks/acme.here.txt"
    before = lock.read_bytes()
    stack.write_text(stack.read_text().replace("alpha>=1.0", "alpha>=99"))
    done = program("--config", stack, "lock", "--target", "here")
    assert done.code in {2, 3}
    assert "alpha" in done.err
    assert "Traceback" not in done.err
    assert lock.read_bytes() == before


def test_the_maintainer_of_a_new_stack_must_be_known(
    program: Program, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.chdir(tmp_path)
    done = program("--config", stack, "init", tmp_path / "new", "--target", "here")
    assert done.code == 2
    assert "--maintainer 'Name <address>'" in done.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["Upper", "x", "under_score", "a b", "-x"])
def test_a_new_stack_has_a_name_that_dpkg_takes(program: Program, stack: Path, tmp_path: Path, name: str) -> None:
    done = program(
        "--config", stack, "init", tmp_path / "new", f"--name={name}", "--maintainer=A <a@b.c>", "--target=here"
    )
    assert done.code == 2
    assert f"{name!r} is no package name" in done.err
    assert not (tmp_path / "new").exists()


def test_a_new_stack_overwrites_nothing(program: Program, stack: Path, tmp_path: Path) -> None:
    (tmp_path / "archive.toml").write_text("mine")
    done = program(
        "--config", stack, "init", tmp_path, "--name=new1", "--maintainer=A <a@b.c>", "--target=here"
    )  # fmt: skip
    assert done.code == 2
    assert lines(done.err) == [f"debtool: {tmp_path}/archive.toml: is there already; fix: choose another folder"]
    assert (tmp_path / "archive.toml").read_text() == "mine"
    assert not (tmp_path / "stack.toml").exists()


def start(*arguments: str | Path, interruptions: str = "default") -> subprocess.Popen[str]:
    # The tests themselves may run where SIGINT is ignored, and that is inherited.
    return subprocess.Popen(
        ["env", f"--{interruptions}-signal=INT", sys.executable, "-m", "debtool.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def large(tmp_path: Path, tiny_index: TinyWheels) -> Path:
    """Return a wheel whose package takes a while."""
    body = "".join(f"def function_{number}(x):\n    return [x, {number}]\n\n" for number in range(60_000))
    return tiny_index.wheel("large", "1.0", body=body, folder=tmp_path)


@pytest.mark.parametrize("seconds", [0.1, 0.8])  # the builder is starting, or at work
def test_an_interrupted_build_leaves_nothing(workshop: Workshop, large: Path, tmp_path: Path, seconds: float) -> None:
    out = tmp_path / "out"
    process = start("--config", workshop.folder / "stack.toml", "wheel", "deb", large, "--target=here", "--out", out)
    deadline = time.monotonic() + 60
    while not out.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(seconds)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert "debtool: interrupted; nothing was published" in lines(stderr)
    assert list(out.iterdir()) == []


def test_a_build_that_ignores_interruptions_goes_on(workshop: Workshop, large: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--config", workshop.folder / "stack.toml", "wheel", "deb", large, "--target=here", "--out", out)
    process = start(*arguments, interruptions="ignore")
    deadline = time.monotonic() + 60
    while not out.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.8)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert [path.suffix for path in out.iterdir()] == [".deb"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
def test_a_full_disk_is_told_and_leaves_nothing(
    program: Program, workshop: Workshop, large: Path, small_disk: Path
) -> None:
    done = program(
        "--config", workshop.folder / "stack.toml", "wheel", "deb", large, "--target=here", "--out", small_disk
    )
    assert done.code == 3
    [line] = [line for line in lines(done.err) if line.startswith("debtool: ")]
    assert "No space left on device; fix: free some space" in line
    assert list(small_disk.iterdir()) == []


def test_a_reader_that_has_seen_enough_is_no_error(workshop: Workshop) -> None:
    process = start("--config", workshop.folder / "stack.toml", "target", "list", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process:
        assert process.stderr.read() == ""
