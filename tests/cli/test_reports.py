"""What commands print: one JSON object on request, plain text where nobody watches, and the right exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from debtool.cli.main import debtool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cli.conftest import Program
    from tests.support.workshops import Workshop


def test_every_report_is_one_json_object(program: Program, workshop: Workshop, tmp_path: Path) -> None:
    stack = workshop.folder / "stack.toml"
    wheel = workshop.wheel("alpha", "1.2.0", requires=["beta<2,>=0.5"], body="ANSWER = 42\n")

    def report(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
        done = program("--config", stack, *arguments, "--json")
        assert done.code == code, done.err
        value = json.loads(done.out)
        assert isinstance(value, dict)
        assert value.pop("schema") == 1
        kinds.append(value.pop("kind"))
        return value

    kinds: list[str] = []
    here = ("--target", "here")
    assert next(target["name"] for target in report("target", "list")["targets"]) == "here"
    assert report("target", "show", "here")["tag"] == "here1"
    assert report("lock", *here)["changes"] == []
    assert len(report("plan", *here, "--no-bytecode")["packages"]) == 7
    planned = report("wheel", "deb", wheel, *here, "--out", tmp_path / "w", "--revision", "9", "--dry-run")
    assert planned["files"] == [f"{tmp_path}/w/acme-python3-alpha_1.2.0-9~here1_all.deb"]
    assert not (tmp_path / "w").exists()
    made = report("wheel", "deb", wheel, *here, "--out", tmp_path / "w", "--revision", "9")
    assert [package["file"] for package in made["packages"]] == planned["files"]
    fingerprint = report("repo", "init")["fingerprint"]
    assert len(report("build", *here, "--no-bytecode", "--out", tmp_path / "debs")["files"]) == 7
    released = report("release", *here, "--no-bytecode")
    assert released["publication"]["switched"] is True
    assert {package["action"] for package in released["packages"]} == {"build"}
    assert report("release", *here, "--no-bytecode")["publication"]["switched"] is False
    assert report("release", *here, "--no-bytecode", "--dry-run")["removed"] == []
    assert len(report("repo", "list", *here)["packages"]) == 7
    assert [step["on"] for step in report("why", "alpha", "beta", *here)["steps"]] == ["acme-python3-beta"]
    assert report("why", "beta", "alpha", *here, code=1)["steps"] == []
    [explained] = report("wheel", "depends", wheel, *here)["wheels"]
    assert explained["fields"] == {"Depends": ["acme-python3-beta (>= 0.5)", "acme-python3-beta (<< 2~~)"]}
    assert report("repo", "history", *here)["generations"][0]["packages"] == 7
    assert report("repo", "key")["fingerprint"] == fingerprint
    assert report("repo", "client-config", *here)["suite"] == "here-stable"
    assert report("repo", "add", planned["files"][0])["packages"][0]["name"] == "acme-python3-alpha"
    assert report("repo", "publish", planned["files"][0], *here, "-C", "canary", "--dry-run")["suite"] == "here-canary"
    assert report("repo", "publish", planned["files"][0], *here, "-C", "canary")["switched"] is True
    assert report("repo", "refresh", *here)["switched"] is True
    assert report("repo", "remove", "acme-doctor", *here, "--dry-run")["removed"][0]["name"] == "acme-doctor"
    assert report("repo", "remove", "acme-doctor", *here)["removed"]
    assert report("repo", "fsck")["suites"] == {"here-canary": [], "here-stable": []}
    assert report("init", tmp_path / "new1", "--maintainer", "A <a@example.org>", *here)["files"]
    # A finding is no error of the user's: exit code 1.
    next((workshop.folder / "public").rglob("acme-app_*.deb")).write_bytes(b"broken")
    assert report("repo", "fsck", code=1)["suites"]["here-stable"]
    assert all(kinds)


def test_a_person_is_told_the_same_in_words(program: Program, workshop: Workshop) -> None:
    stack = workshop.folder / "stack.toml"
    done = program("--config", stack, "release", "--target", "here", "--no-bytecode")
    assert done.code == 0
    assert "here-stable: generation 1, 7 packages" in done.out
    assert "build: 7 to do" in done.err
    again = program("--config", stack, "release", "--target", "here", "--no-bytecode")
    assert again.out.startswith("here-stable: nothing changed, nothing built, nothing written (7 packages")
    assert again.err == ""
    assert "\x1b" not in done.out + done.err
    # Lines that a pipe reads are never broken to a width.
    plan = program("--config", stack, "plan", "--target", "here", "--no-bytecode").out
    assert sum(line.startswith("keep") for line in plan.splitlines()) == 7


@pytest.mark.parametrize(("name", "bold"), [("xterm-256color", True), ("dumb", False)])
def test_tables_are_bold_on_terminals_that_know_how(workshop: Workshop, name: str, bold: bool) -> None:  # noqa: FBT001
    environment = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    said = on_terminal(workshop, "target", "list", environment={**environment, "TERM": name})
    assert b"bookworm" in said
    assert (b"\x1b[1m" in said) is bold


@pytest.mark.parametrize("no_color", ["1", ""])
def test_no_colour_where_none_is_wanted(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def paint() -> None:
        click.echo(click.style("painted", fg="green"))

    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("debtool.cli.main._Commands.get_command", lambda *_: paint)
    said = CliRunner().invoke(debtool, ["paint"], color=True).output
    assert said == ("painted\n" if no_color else "\x1b[32mpainted\x1b[0m\n")


def on_terminal(workshop: Workshop, *arguments: str, environment: Mapping[str, str]) -> bytes:
    """Run the program on a terminal of its own and return what it writes there."""
    ours, theirs = pty.openpty()
    stack = str(workshop.folder / "stack.toml")
    command = [sys.executable, "-m", "debtool.cli.main", "--config", stack, *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        # Linux reports the other end's close as an error.
        with suppress(OSError):
            while chunk := os.read(ours, 4096):
                said += chunk
    os.close(ours)
    assert process.returncode == 0
    return said
