"""A build's own folder, which outlives whatever stops it, so that the next run goes on where that one stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.build.drive import end_leftovers
from debtool.build.locks import locked
from debtool.deb.files import replace_file
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

_STAMPS = "steps"


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of one build, held by the one process that builds.

    What is done is said by stamps, each the digest of what the step followed from: a step whose inputs have changed is
    done again.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, *, wait: bool = False) -> Iterator[Self]:
        """Hold ``folder``, which is made if it is missing; what a killed build left running there is ended first.

        Args:
            folder: The folder; not a link, since what is built knows its real path.
            wait: Whether to wait while another process builds there.

        Raises:
            InputError: Another process builds there, and this does not wait.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait=wait) as ours:
            if not ours:
                fix = "wait for it (debtool torch watch shows how far it is), or end it"
                raise InputError(Issue("is being built by another process", file=folder, fix=fix))
            end_leftovers(folder)
            yield cls(folder)

    @staticmethod
    def is_left(folder: Path) -> bool:
        """Return whether ``folder`` is a workplace, told by its stamps, that no process holds."""
        if not (folder / _STAMPS).is_dir():
            return False
        with locked(folder, shared=True, wait=False) as free:
            return free

    @property
    def log(self) -> Path:
        """All output of all runs."""
        return self.folder / "build.log"

    @property
    def journal(self) -> Path:
        """The journal of all runs."""
        return self.folder / "journal.jsonl"

    def has(self, step: str, digest: str) -> bool:
        """Return whether ``step`` is done, from what ``digest`` stands for."""
        stamp = self._stamp(step)
        return stamp.is_file() and stamp.read_text(encoding="utf-8") == digest

    def mark(self, step: str, digest: str) -> None:
        """Say that ``step`` is done."""
        replace_file(self._stamp(step), digest.encode())

    def forget(self, step: str) -> None:
        """Let ``step`` be done anew."""
        self._stamp(step).unlink(missing_ok=True)

    def fresh(self, name: str) -> Path:
        """Return an empty folder called ``name``; what was in it is gone."""
        path = self.folder / name
        if path.exists():
            shutil.rmtree(path)
        path.mkdir()
        return path

    def _stamp(self, step: str) -> Path:
        return self.folder / _STAMPS / step


def digest_of(*parts: object) -> str:
    """Return the digest of what a step follows from, given as JSON's types.

    >>> digest_of("torch", ["a", "b"]) == digest_of("torch", ["b", "a"])
    False
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
