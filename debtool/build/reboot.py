"""What a machine that went down leaves of a build: files that were written last may be empty, or zeros.

The kernel writes files to the disk up to half a minute after a program did (vm.dirty_expire_centisecs), and their names
and times before that. ninja goes by names and times, so that it would take such a file for whole.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.journal import Reader
from debtool.build.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from debtool.build.workplace import Workplace

_STEP = "boot"
_UNSURE = 60.0
"""Seconds before the last that was heard of a run; the journal's own last lines may be lost as well."""
# ninja reads these up to where they are torn, and goes on from there (build_log.cc, deps_log.cc).
_KEPT = frozenset({".ninja_log", ".ninja_deps"})


def remove_unsure(place: Workplace, boot: str, made: Iterable[Path]) -> list[Path]:
    """Remove what a build wrote just before the machine last went down; return what that was.

    Looked at are ``made``, files and folders that hold nothing but what the build makes again.

    Done once in each ``boot`` of the machine (`debtool.build.journal.Begin.boot`), before anything is written there.
    """
    if place.has(_STEP, boot):
        return []
    removed: list[Path] = []
    if (last := _last_heard(place, boot)) is not None:
        removed = [path for one in made for path in _files(one) if _changed(path, last - _UNSURE)]
        for path in removed:
            path.unlink(missing_ok=True)
    place.mark(_STEP, boot)
    return removed


def _last_heard(place: Workplace, boot: str) -> float | None:
    """Return when something was last heard of a run in another boot; None if there was none."""
    progress = Progress()
    if place.journal.is_file():
        for entry in Reader(place.journal).new():
            progress.take(entry)
    return max((run.last for run in progress.runs if run.begin.boot != boot), default=None)


def _files(path: Path) -> list[Path]:
    """Return ``path``, or the files below it."""
    if not path.is_dir():
        return [path]
    return sorted(Path(where, name) for where, _, names in os.walk(path) for name in names if name not in _KEPT)


def _changed(path: Path, moment: float) -> bool:
    """Return whether a file was changed since then; not by its mtime, which programs that copy set."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        return stat.S_ISREG(status.st_mode) and status.st_ctime >= moment
    return False
