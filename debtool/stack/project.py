"""A stack file with everything that belongs to it on disk: targets, locks, archive definition, patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.model.archive import ArchiveDefinition, parse_archive
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
        for folder in self._target_folders():
            file = folder / f"{name}.toml"
            if file.is_file():
                return parse_target(file.read_text(encoding="utf-8"), file)
        known = ", ".join(target.name for target in self.targets())
        raise InputError(
            Issue(
                f"there is no target {name!r}",
                file=self._target_folders()[0] / f"{name}.toml",
                fix=f"one of {known}; or write that file (docs/targets.md)",
            )
        )

    def targets(self) -> Iterator[Target]:
        """Yield every known target, the stack's own first; a name that was seen before is passed over."""
        seen: set[str] = set()
        for folder in self._target_folders():
            for file in sorted(folder.glob("*.toml")):
                if file.stem not in seen:
                    seen.add(file.stem)
                    yield parse_target(file.read_text(encoding="utf-8"), file)

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


def read_definition(file: Path, fix: str) -> str:
    """Return the text of a definition file; a missing or unreadable one is the user's error with ``fix``."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(Issue(f"cannot be read: {reason}", file=file, fix=fix)) from None
