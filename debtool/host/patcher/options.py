"""The command line: declared once, read without argparse where it is plain, as nearly every run's is.

argparse costs as much as Python's own start; it reads what `plain` does not: requests for help, and mistakes.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

PLACES = ("--root", "--state", "--json")
"""What may stand before and after any command."""

COMMANDS = {
    "status": ("say of every known copy what it is, and of earlier failures", ("--problems",)),
    "apply": (
        "patch what needs it",
        ("--level", "--settle", "--trigger", "--diverted", "--to", "--quiet-unless-changed", "--restart-changed"),
    ),
    "verify": ("ask each copy's own interpreter how it behaves", ("--python",)),
    "restore": ("put the pristine files back", ()),
    "list": ("say where copies are, without running anything", ()),
    "watch": (
        "patch whatever is installed, until SIGTERM (for machines without systemd)",
        ("--level", "--settle", "--interval"),
    ),
    "hook": ("'hook path': print the folder that patches at import, if it is on PYTHONPATH", ()),
}
"""What each command does, and its own options."""

OPTIONS: dict[str, tuple[str | None, str]] = {
    "--root": ("FOLDER", "take every absolute path below this folder (for images and tests)"),
    "--state": ("FOLDER", "where records and copies are kept"),
    "--json": (None, "print one JSON object"),
    "--problems": (None, "print only what is not well"),
    "--level": ("LEVEL", "which edits to make (default: those that the package ships)"),
    "--settle": ("SECONDS", "wait for installers"),
    "--trigger": (None, "record failures and exit 0 (dpkg)"),
    "--diverted": ("PRISTINE", "the file as dpkg unpacked it"),
    "--to": ("FILE", "the file that Python imports"),
    "--quiet-unless-changed": (None, "print nothing if nothing changed"),
    "--restart-changed": (None, "restart services of changed files"),
    "--python": ("PYTHON", "ask this interpreter instead"),
    "--interval": ("SECONDS", "how often to look where inotify is not"),
}
"""What follows each option, None for a switch, and its help."""


class Options:
    """What the command line says."""

    command: str = ""
    root: str | None = None
    state: str | None = None
    json: bool = False
    paths: Sequence[str] = ()
    what: str = "path"
    level: str | None = None
    settle: float = 0.0
    problems: bool = False
    trigger: bool = False
    diverted: str | None = None
    to: str | None = None
    quiet_unless_changed: bool = False
    restart_changed: bool = False
    python: str | None = None
    interval: float = 1.0

    @property
    def everything(self) -> bool:
        """The command is about every known copy, at the level that is shipped."""
        return not (self.paths or self.to or self.diverted or self.level)


def plain(arguments: Sequence[str]) -> Options | None:
    """Return the options of a command line without abbreviations, ``=`` and mistakes; None for any other."""
    options, paths, rest = Options(), list[str](), iter(arguments)
    allowed: tuple[str, ...] = PLACES
    for argument in rest:
        if argument in allowed:
            what = OPTIONS[argument][0]
            value: object = True if what is None else next(rest, "")
            if what == "SECONDS":
                try:
                    value = float(str(value))
                except ValueError:
                    return None
            if value == "" or str(value).startswith("-"):
                return None
            setattr(options, argument[2:].replace("-", "_"), value)
        elif not options.command and argument in COMMANDS:
            options.command, allowed = argument, PLACES + COMMANDS[argument][1]
        elif options.command in {"", "watch", "hook"} or argument.startswith("-"):
            return None
        else:
            paths.append(argument)
    options.paths = paths
    return options if options.command else None


def parsed(arguments: Sequence[str], program: str, about: str, levels: Sequence[str]) -> Options:
    """Return the options of a command line. Ends the program for help and for a mistake (exit status 2)."""
    import argparse  # noqa: PLC0415 -- see above

    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for name in PLACES:
        _add(where, name, levels)
    parser = argparse.ArgumentParser(
        prog=program,
        description=about,
        parents=[where],
        epilog="Exit status: 0 nothing to do or done, 1 findings, 2 usage, 3 the system stood in the way.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (text, own) in COMMANDS.items():
        command = commands.add_parser(name, help=text, parents=[where], argument_default=argparse.SUPPRESS)
        if name == "hook":
            command.add_argument("what", choices=["path"], nargs="?", default="path")
        elif name != "watch":
            command.add_argument("paths", nargs="*", metavar="FILE", help="default: every known copy")
        for option in own:
            _add(command, option, levels)
    return parser.parse_args(arguments, Options())


def _add(parser: argparse.ArgumentParser, name: str, levels: Sequence[str]) -> None:
    what, text = OPTIONS[name]
    if what is None:
        parser.add_argument(name, action="store_true", help=text)
    elif what == "LEVEL":
        parser.add_argument(name, choices=levels, help=text)
    else:
        parser.add_argument(name, metavar=what, type=float if what == "SECONDS" else str, help=text)
