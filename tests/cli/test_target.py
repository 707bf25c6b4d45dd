"""``debtool target libraries``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.build import apt
from tests.support.repositories import Repository

if TYPE_CHECKING:
    from tests.cli.conftest import Program

STACK = Path(__file__).parents[2] / "repo/demo.toml"
TARGET = """\
schema = 1
name = "{name}"
title = "One"
tag = "{name}"
distribution = "debian"
codename = "one"
architecture = "amd64"
python = "3.11"
python_full = "3.11.2"
glibc = "2.36"
dpkg = "1.21.22"

[sonames]
"libhand.so.1" = {{ package = "libhand1", source = "hand" }}
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack with two targets of its own and an archive for them."""
    (tmp_path / "targets").mkdir()
    for name in ("one", "guessed"):
        (tmp_path / f"targets/{name}.toml").write_text(TARGET.format(name=name))
    (tmp_path / "targets/more.toml").write_text(
        'schema = 1\nextends = "one"\nname = "more"\ntitle = "More"\ntag = "more"\n'
    )
    repository = Repository(tmp_path / "archive")
    repository.folder.mkdir()
    text = "libsome.so.1 libsome1 #MINVER#\n a@SOME_1 1.0\n b@SOME_2 2.0\n"
    repository.add("libsome1", "2.1-1", {"libsome.so.1": ""}, symbols=text)
    repository.add("libmore0", "0.1", {"libmore.so.0": ""})
    sources = repository.publish()
    monkeypatch.setattr(apt, "release_sources", lambda *_arguments: sources)
    file = tmp_path / "stack.toml"
    file.write_text(STACK.read_text())
    return file


def test_libraries_are_looked_up_written_and_shown(program: Program, stack: Path) -> None:
    command = ("--config", stack, "target", "libraries")
    done = program(*command, "one", "--update", "libsome.so.1", "libmore.so.0=libmore0", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["sonames"]
    assert {soname: one["package"] for soname, one in told.items()} == {
        "libhand.so.1": "libhand1",
        "libmore.so.0": "libmore0",
        "libsome.so.1": "libsome1",
    }
    written = stack.parent / "targets/one.libraries.json"
    first = written.read_bytes()
    assert set(json.loads(first)["sonames"]) == {"libmore.so.0", "libsome.so.1"}, "what is told by hand is left alone"
    assert program(*command, "one", "--update").code == 0
    assert written.read_bytes() == first
    shown = program(*command, "one", "libsome.so.1").out
    assert "symbols of libsome1 2.1-1 (one)" in shown
    assert "libmore" not in shown


def test_libraries_are_guessed_from_another_target(program: Program, stack: Path) -> None:
    command = ("--config", stack, "target", "libraries")
    assert program(*command, "one", "--update", "libsome.so.1").code == 0
    done = program(*command, "guessed", "--update", "--from", "one", "--has", "libsome1=1.5-1", "--json")
    known = json.loads(done.out)["sonames"]["libsome.so.1"]
    assert (known["versions"], known["verified"]) == ({"SOME_1": "1.0"}, False)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("one", "--update", "libnone.so.1"), "libnone.so.1: no package of one has this library"),
        (("one", "--update", "libhand.so.1"), "sonames.libhand.so.1: is told here; fix: remove the line"),
        (("more", "--update"), "its libraries are those of one"),
        (("one", "--mirror", "file:///nowhere"), "say where --update looks"),
        (("one", "--update", "--has", "libsome1=2"), "--from says whose archive is read"),
        (("one", "--update", "--from", "one", "--has", "libsome1"), "write PACKAGE=VERSION"),
    ],
)
def test_what_is_refused_writes_nothing(
    program: Program, stack: Path, arguments: tuple[str, ...], problem: str
) -> None:
    done = program("--config", stack, "target", "libraries", *arguments)
    assert done.code == 2
    assert problem in " ".join(done.err.split())
    assert not list(stack.parent.glob("targets/*.json"))
