"""Plays a journal again, faster: ``python -m tests.support.replay OUT [--from JOURNAL] [--speed N] [--skip SECONDS]``.

Without ``--from``, the stand-in of a ROCm build is played (`tests.support.recording`). The new journal begins now and
runs ahead of the clock; it names this process and this boot, so that it is alive for whoever watches:
``debtool torch watch --journal OUT``.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.journal import Begin, Entry, Journal, Reader
from tests.support.recording import rocm_recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def as_if_now(entries: Iterable[Entry], began: float) -> Iterator[Entry]:
    """Yield ``entries`` moved in time so that they begin at ``began``, of a build that this process does."""
    shift: float | None = None
    for entry in entries:
        if shift is None:
            shift = began - entry.time
        event = entry.event
        if isinstance(event, Begin):
            event = replace(event, pid=os.getpid(), boot=_BOOT.read_text().strip())
        yield Entry(entry.time + shift, event)


def replay(
    entries: Iterable[Entry],
    out: Path,
    *,
    speed: float = 100.0,
    skip: float = 0.0,
    until: float = float("inf"),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write ``entries`` to ``out`` as they come, ``speed`` times as fast.

    The first ``skip`` seconds of the journal are written at once; after ``until`` of them nothing comes any more.
    """
    began = time.time()
    start = time.monotonic()
    with Journal(out) as journal:
        for entry in as_if_now(entries, began):
            offset = entry.time - began
            if offset > until:
                return
            if (early := max(0.0, offset - skip) / speed - (time.monotonic() - start)) > 0:
                sleep(early)
            journal.write(entry.event, at=entry.time)


def _main() -> None:
    parser = argparse.ArgumentParser(description="Play a journal again, faster.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--speed", type=float, default=100.0)
    parser.add_argument("--skip", type=float, default=0.0)
    parser.add_argument("--until", type=float, default=float("inf"))
    given = parser.parse_args()
    entries = Reader(given.source).new() if given.source else rocm_recording()
    replay(entries, given.out, speed=given.speed, skip=given.skip, until=given.until)


if __name__ == "__main__":
    _main()
