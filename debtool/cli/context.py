"""What every command shares: the settings of this run and the ways to say something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from debtool.model.target import Target
    from debtool.stack.project import Project

JSON_SCHEMA = 1
_CommandT = TypeVar("_CommandT", bound="Callable[..., Any]")


@dataclass(frozen=True)
class Settings:
    """The options of the program itself.

    Attributes:
        config: The stack file.
        cache: Where wheels, trees and built packages are kept.
        data: Where archives of the stacks that debtool brings are kept when it is installed.
    """

    config: Path
    cache: Path
    data: Path

    @classmethod
    def from_options(cls, config: Path | None, cache: Path | None, environment: Mapping[str, str]) -> Settings:
        """Return the settings; what was not given comes from the working directory and ``environment``."""
        if config is None:
            from debtool.model.shipped import shipped

            here = [Path("stack.toml"), Path("repo/cheesegrater.toml")]
            config = next((path for path in here if path.is_file()), None) or shipped("repo/cheesegrater.toml")
        if cache is None:
            home = environment.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
            cache = Path(home, "debtool")
        data = Path(environment.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser(), "debtool")
        return cls(config, cache.absolute(), data)

    @cached_property
    def project(self) -> Project:
        """The stack that the user works on."""
        from debtool.stack.project import open_project

        return open_project(self.config)

    def target(self, name: str | None) -> Target:
        """Return the target called ``name``; None means the first of the stack's that is this machine's system."""
        if name is not None:
            return self.project.target(name)
        release = _os_release()
        for candidate in map(self.project.target, self.project.stack.targets):
            if (candidate.distribution, candidate.codename) == (release.get("ID"), release.get("VERSION_CODENAME")):
                return candidate
        known = ", ".join(self.project.stack.targets)
        raise click.UsageError(
            f"this machine ({release.get('PRETTY_NAME', 'unknown')}) is none of the stack's targets; "
            f"say which one the packages are for: --target with one of {known}"
        )

    def channel(self, name: str | None) -> str:
        """Return the channel called ``name``; None means the last one, which ordinary machines follow."""
        return name or self.project.archive_definition().channels[-1]

    def archive_directory(self, given: Path | None) -> Path:
        """Return the archive's public folder: ``given``, else what the stack says.

        The stacks that an installed debtool brings have theirs among the user's data.
        """
        from debtool.model.shipped import is_installed

        if given is not None:
            return given.absolute()
        if is_installed(self.project.file):
            return self.data / self.project.stack.public
        return self.project.resolve(self.project.stack.public)


def _os_release() -> dict[str, str]:
    # os-release(5): shell-like assignments.
    import platform

    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


pass_settings = click.make_pass_decorator(Settings)


def json_option(command: _CommandT) -> _CommandT:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def target_option(command: _CommandT) -> _CommandT:
    """Add ``--target`` to a command, by default this machine's; the completion knows the names."""
    meaning = "The system that the packages are for; see: debtool target list."
    return target_option_of(meaning, "this machine's")(command)


def target_option_of(meaning: str, default: str) -> Callable[[_CommandT], _CommandT]:
    """Return what adds ``--target`` to a command for which it has another ``meaning`` or ``default``."""
    return click.option(
        "--target",
        "target_name",
        metavar="T",
        shell_complete=_complete_target,
        help=f"{meaning}  [default: {default}]",
    )


def archive_option(command: _CommandT) -> _CommandT:
    """Add ``--archive`` to a command."""
    return click.option(
        "--archive",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="The archive's public folder.  [default: what the stack's 'public' key says]",
    )(command)


def _complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    settings = ctx.find_object(Settings) or Settings.from_options(None, None, {})
    return [target.name for target in settings.project.targets() if target.name.startswith(incomplete)]


def emit_json(kind: str, value: Mapping[str, Any]) -> None:
    """Print ``value`` as the one JSON object of this command."""
    click.echo(json.dumps({"schema": JSON_SCHEMA, "kind": kind, **value}, indent=2, default=str))
