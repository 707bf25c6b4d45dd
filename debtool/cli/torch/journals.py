"""Where the journals of builds are, and which one is meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from debtool.build.journal import Reader
from debtool.build.progress import Progress
from debtool.build.workplace import Workplace
from debtool.deb.workers import is_alive
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.build.progress import Status

_CommandT = TypeVar("_CommandT", bound="Callable[..., Any]")


def journal_option(command: _CommandT) -> _CommandT:
    """Add ``--journal`` to a command."""
    return click.option(
        "--journal",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="A build's journal.  [default: the newest build's]",
    )(command)


def read_progress(journal: Path) -> Progress:
    """Return the state that is told in ``journal``."""
    progress = Progress()
    for entry in Reader(journal).new():
        progress.take(entry)
    return progress


def status_of(progress: Progress, journal: Path, boot: str) -> Status:
    """Return what the build is at whose ``progress`` was read in ``journal``; ``boot`` is the machine's present one.

    A process number alone may be that of another process by now: where the journal is in a workplace, the build holds
    that as well. The lock is tried only where the number is in use, so that looking gets in the way of no beginning.
    """
    return progress.status(boot, lambda pid: is_alive(pid) and not Workplace.is_left(journal.parent))


def journals_below(cache: Path) -> list[Path]:
    """Return the journals of all builds, the one that was written last first; each build has a folder of its own."""
    found = cache.glob("torch/*/journal.jsonl")
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def is_for(title: str, target: str | None) -> bool:
    """Return whether the build called ``title`` is for ``target``; None stands for any.

    >>> is_for("torch 2.7.1 for noble-rocm6.3", "noble"), is_for("torch 2.7.1 for noble", "noble")
    (False, True)
    """
    return target is None or re.search(rf"(?<![\w.-]){re.escape(target)}(?![\w.-])", title) is not None


def builds(cache: Path, journal: Path | None, target: str | None) -> dict[Path, Progress]:
    """Return the builds that are meant, the newest first.

    Raises:
        InputError: There is none.
    """
    if journal is not None:
        if not journal.is_file():
            raise InputError(Issue("there is no such journal", file=journal, fix="check the path"))
        return {journal: read_progress(journal)}
    found = {path: read_progress(path) for path in journals_below(cache)}
    meant = {path: progress for path, progress in found.items() if is_for(progress.title, target)}
    if not meant:
        of = "" if target is None else f" for {target}"
        fix = "start one with debtool torch build, or name its journal with --journal"
        raise InputError(Issue(f"there is no build{of}", file=cache / "torch", fix=fix))
    return meant
