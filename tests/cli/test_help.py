"""The program explains itself: help, examples, completion, and at once."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from debtool import __version__
from debtool.cli.main import debtool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def commands(
    group: click.Group = debtool, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = {" ".join(path): command for path, command in commands()}
# What has a machine-readable report has --json; these have none, or pass their arguments on.
WITHOUT_JSON = {"completion", "doctor", "repo serve", "torch watch"}


def examples(command: click.Command) -> list[list[str]]:
    """Return the words of every line under "Examples:"; a redirection and a remark are not of the program."""
    lines = (command.help or "").partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    found = []
    for line in (line.strip() for line in lines):
        if "debtool" in line:
            words = shlex.split(line.partition(" > ")[0].partition("   ")[0])
            found.append(words[words.index("debtool") + 1 :])
    return found


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_has_help_with_examples_that_can_be_typed(name: str, tmp_path: Path) -> None:
    command = COMMANDS.get(name, debtool)
    done = CliRunner().invoke(
        debtool, [*name.split(), "--help"] if name != "doctor" else ["--help"], prog_name="debtool"
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert name == "doctor" or "Examples:" in done.stdout
    found = examples(command)
    assert found
    for words in found:
        parse(words, tmp_path)


def parse(words: list[str], folder: Path) -> None:
    """Parse a command line as the program does, without running it; files that must exist are replaced."""
    existing = folder / "a_1_all.deb"
    existing.touch()
    words = [str(existing) if word.endswith(".deb") else word for word in words]
    context = debtool.make_context("debtool", list(words))
    command: click.Command = debtool
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
        name, command_, rest = command.resolve_command(context, rest)
        assert command_ is not None
        assert name is not None
        command = command_
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is_for(name: str) -> None:
    options = [option for option in COMMANDS[name].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_what_reports_has_json() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not isinstance(command, click.Group) and "--json" not in {o for p in command.params for o in p.opts}
    }
    assert without == WITHOUT_JSON


def test_help_loads_nothing_heavy_and_answers_at_once() -> None:
    program = (
        "import sys; from debtool.cli.main import debtool\n"
        "debtool.main(['--help'], prog_name='debtool', standalone_mode=False)\n"
        "heavy = ('pydantic', 'jinja2', 'rich', 'requests', 'debian', 'installer', 'elftools', 'packaging')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr == "[]\n"
    assert done.stdout.startswith("Usage: debtool [OPTIONS] COMMAND")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_version() -> None:
    done = CliRunner().invoke(debtool, ["--version"], prog_name="debtool")
    assert done.output == f"debtool, version {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    done = CliRunner().invoke(debtool, ["completion", shell])
    assert done.exit_code == 0
    assert "_DEBTOOL_COMPLETE" in done.output


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["debtool", "re"], ["release", "repo"]),
        (["debtool", "repo", "pub"], ["publish"]),
        (["debtool", "release", "--target", "b"], ["bookworm"]),
        (["debtool", "plan", "--target", "noble-"], [f"noble-rocm6.{minor}" for minor in range(5)]),
        (["debtool", "target", "show", "--j"], ["--json"]),
    ],
)
def test_bash_completes(typed: list[str], offered: list[str], tmp_path: Path) -> None:
    # The script is what a user's bash loads; it runs "debtool", found on PATH.
    program = tmp_path / "debtool"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m debtool.cli.main "$@"\n')
    program.chmod(0o755)
    script = CliRunner().invoke(debtool, ["completion", "bash"]).output
    words = " ".join(shlex.quote(word) for word in typed)
    ask = (
        f"PATH={tmp_path}:$PATH\n{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={len(typed) - 1}\n"
        f"_debtool_completion debtool {shlex.quote(typed[-1])} {shlex.quote(typed[-2])}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "--norc"], input=ask, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == offered


def test_a_mistyped_command_or_option_says_what_was_meant() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "debtool.cli.main", "target", "list", "--jsno"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Did you mean '--json'?" in done.stderr
    assert done.stdout == ""
