"""A stack file with everything that belongs to it on disk: targets, locks, archive definition, patches."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from debtool.model.archive import ArchiveDefinition, parse_archive
from debtool.model.definition import merged, read_toml
from debtool.model.errors import InputError, Issue
from debtool.model.shipped import shipped
from debtool.model.stack import Stack, parse_stack
from debtool.model.target import Target, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Project:
    """One stack and its folder.

    Attributes:
        file: The stack's file; its paths are relative to the folder of this file.
        stack: What it says.
    """

    file: Path
    stack: Stack

    @property
    def folder(self) -> Path:
        """The folder that the stack's paths are relative to."""
        return self.file.parent

    def resolve(self, path: str) -> Path:
        """Return a path of the stack file as one that can be opened."""
        return (self.folder / path).resolve()

    def lock_file(self, target: Target) -> Path:
        """Return where the lock for ``target`` is kept."""
        return self.folder / "locks" / f"{self.stack.name}.{target.name}.txt"

    def archive_definition(self) -> ArchiveDefinition:
        """Read the archive definition that the stack names."""
        file = self.folder / self.stack.archive
        return parse_archive(read_definition(file, "name an existing file in the stack's 'archive' key"), file)

    def target(self, name: str) -> Target:
        """Read target ``name``: from ``targets/`` beside the stack, else from debtool's own."""
        file = self._target_file(name)
        return parse_target(_read_target(file), file, self._base(file))

    def targets(self) -> Iterator[Target]:
        """Yield every known target, the stack's own first; of two of the same name it is the stack's."""
        for name in self._target_names():
            yield self.target(name)

    def _target_names(self) -> list[str]:
        names = (file.stem for folder in self._target_folders() for file in sorted(folder.glob("*.toml")))
        return list(dict.fromkeys(names))

    def _target_file(self, name: str) -> Path:
        for folder in self._target_folders():
            file = folder / f"{name}.toml"
            if file.is_file():
                return file
        raise InputError(
            Issue(
                f"there is no target {name!r}",
                file=self._target_folders()[0] / f"{name}.toml",
                fix=f"one of {', '.join(self._target_names())}; or write that file (docs/targets.md)",
            )
        )

    def _base(self, file: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
        """Return what the target in ``file`` adds to: the one that it extends, and what is known of its libraries."""
        own = read_toml(_read_target(file), file)
        base: dict[str, Any] = {}
        if isinstance(name := own.get("extends"), str):
            try:
                other = self._target_file(name)
            except InputError as error:
                raise InputError(*(replace(i, file=file, field="extends") for i in error.issues)) from None
            if other in (*seen, file):
                raise InputError(Issue("extends itself", file=file, field="extends", fix="name another target"))
            base = merged(self._base(other, (*seen, file)), read_toml(_read_target(other), other))
        return merged(base, read_libraries(file.with_suffix(".libraries.json")))

    def _target_folders(self) -> list[Path]:
        own = self.folder / "targets"
        return list(dict.fromkeys([own.resolve(), shipped("repo/targets").resolve()]))


def open_project(file: Path) -> Project:
    """Read the stack file ``file``.

    Raises:
        InputError: It does not exist or breaks a rule; every problem is told with its line.
    """
    text = read_definition(file, "give an existing stack file with --config, or make one with: debtool init DIR")
    return Project(file.resolve(), parse_stack(text, file))


def _read_target(file: Path) -> str:
    return read_definition(file, "make it readable")


def read_libraries(file: Path) -> dict[str, Any]:
    """Return what ``debtool target libraries --update`` wrote, as a target's tables; nothing if there is no such file.

    Raises:
        InputError: It was damaged.
    """
    if not file.is_file():
        return {}
    try:
        return {"sonames": json.loads(file.read_text(encoding="utf-8"))["sonames"]}
    except (OSError, ValueError, KeyError, TypeError):
        fix = "take it from debtool again, or write it anew: debtool target libraries --update"
        raise InputError(Issue("is no table of libraries", file=file, fix=fix)) from None


def read_definition(file: Path, fix: str) -> str:
    """Return the text of a definition file; a missing or unreadable one is the user's error with ``fix``."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(Issue(f"cannot be read: {reason}", file=file, fix=fix)) from None
