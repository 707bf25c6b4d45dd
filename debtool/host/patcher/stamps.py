"""Has anything changed since the last run? Told by stat(2) alone: this is what nearly every run comes to.

It imports as little as can be: the aim is a run in twice the time of ``python3 -c pass``.
"""

# ruff: noqa: PTH104, PTH108, PTH116, PTH123
# Pathlib costs half a start of Python.
from __future__ import annotations

import json
import os

TICK = 20_000_000
"""Nanoseconds within which a file system may give two changes one time; more than the kernel's longest tick."""

SCHEMA = 1


def stamp(path: str) -> list[int] | None:
    """Return what changes when a file or a folder does; None for what is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return stamp_of(status)


def stamp_of(status: os.stat_result) -> list[int]:
    """Return the stamp in an answer of stat(2)."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def unchanged(file: str, question: dict[str, str]) -> int | None:
    """Return the number of copies that the last run left well, if nothing of what it looked at has changed since.

    ``question`` is what else must be the same: options, user. None: look again.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            kept = json.load(stream)
        if kept["schema"] != SCHEMA or kept["question"] != question:
            return None
        for path, old in kept["stamps"].items():
            if stamp(path) != old:
                return None
        return int(kept["copies"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(file: str, question: dict[str, str], stamps: dict[str, list[int] | None], copies: int, began: int) -> None:
    """Keep the stamps of a run that began at ``began`` (nanoseconds since 1970).

    They need not last through a power cut: without them the next run looks again. So it does after a change within
    the last tick before this run, or in it: another one may follow under the same stamp.
    """
    if any(one is not None and max(one[3:]) > began - TICK for one in stamps.values()):
        forget(file)
        return
    content = {"schema": SCHEMA, "question": question, "copies": copies, "stamps": stamps}
    temporary = f"{file}.new"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        os.rename(temporary, file)
    except OSError:
        forget(file)


def forget(file: str) -> None:
    """Remove the stamps: the next run looks at everything."""
    for name in (file, f"{file}.new"):
        try:
            os.unlink(name)
        except OSError:
            continue
