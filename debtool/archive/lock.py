"""One writer at a time: a flock(2) that waits, and that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POLL = 0.05
"""Seconds between two tries; flock(2) itself has no time limit."""


@contextmanager
def write_lock(
    path: Path, *, timeout: float | None = None, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock on ``path`` for the duration of the block.

    While another process holds it, this waits: for ever, or for ``timeout`` seconds. ``on_wait`` is told once who
    that is ("pid 4711 on build1 since 2026-01-31T12:00:00+00:00").

    Raises:
        OutsideError: The time is over; the issue names the holder.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, timeout, on_wait)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {since}".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, timeout: float | None, on_wait: Callable[[str], None] | None) -> None:
    started = time.monotonic()
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 256, 0).decode(errors="replace") or "another process"
        else:
            # What a killed holder left is longer than the next one's name may be.
            os.ftruncate(descriptor, 0)
            return
        if on_wait is not None and not told:
            on_wait(holder)
            told = True
        if timeout is not None and time.monotonic() - started >= timeout:
            raise OutsideError(
                Issue(f"the archive is being written by {holder}", file=path, fix="wait until it is done, or end it")
            )
        time.sleep(_POLL)
