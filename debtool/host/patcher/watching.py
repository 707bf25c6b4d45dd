"""``watch``: patch whatever an installer puts on the machine, until SIGTERM; inotify(7) where there is one."""

# ruff: noqa: PTH112, PTH120
# Pathlib costs half a start of Python.
from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import time

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .commands import Program

# <sys/inotify.h>
CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, ONLYDIR = 0x8, 0x40, 0x80, 0x100, 0x200, 0x01000000
EVENTS = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLYDIR

PAUSE = 0.2
"""Seconds without news after which an installer's burst of changes is over."""

BURST = 1.0
"""Seconds after which a burst that goes on is looked at all the same."""

LONGEST = 60.0
"""Seconds after which everything is looked at again, news or not."""


def watch(program: Program) -> int:
    """Apply, and again whenever something changes, until SIGTERM or SIGINT; return the exit status 0."""
    gc.enable()
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    old = signal.set_wakeup_fd(writer)
    try:
        news = Inotify.open()
        _loop(program, reader, news)
    finally:
        signal.set_wakeup_fd(old)
    return 0


class Inotify:
    """News of folders, through the C library: Python has no binding of its own."""

    def __init__(self, library: ctypes.CDLL, handle: int) -> None:
        self.library, self.handle = library, handle

    @classmethod
    def open(cls) -> Inotify | None:
        """Return one, or None where the system has none to give."""
        try:
            library = ctypes.CDLL(None, use_errno=True)
            handle = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, AttributeError):
            return None
        return cls(library, handle) if handle >= 0 else None

    def watch(self, folders: Iterable[str]) -> bool:
        """Watch these folders too; say whether all that are there can be."""
        results = [self.library.inotify_add_watch(self.handle, os.fsencode(path), EVENTS) for path in folders]
        return all(result >= 0 for result in results)

    def drain(self) -> None:
        """Forget the news that have come."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.handle, 1 << 16):
                pass


def _loop(program: Program, stop: int, news: Inotify | None) -> None:
    while True:
        looked = program.round()
        watched = news is not None and news.watch(_folders(looked))
        handles = [stop, news.handle] if watched and news is not None else [stop]
        deadline = time.monotonic() + LONGEST
        # What changed before the watches were set shows in the stamps.
        while program.same() and time.monotonic() < deadline:
            ready = select.select(handles, [], [], LONGEST if watched else program.options.interval)[0]
            if stop in ready:
                return
            if ready and news is not None:
                _wait_for_quiet(news, stop)
        if select.select([stop], [], [], PAUSE)[0]:
            return


def _wait_for_quiet(news: Inotify, stop: int) -> None:
    deadline = time.monotonic() + BURST
    news.drain()
    while time.monotonic() < deadline and news.handle in (
        ready := select.select([stop, news.handle], [], [], PAUSE)[0]
    ):
        if stop in ready:
            return
        news.drain()


def _folders(paths: Iterable[str]) -> set[str]:
    """Return the folders whose news tell of these paths: themselves, or the first one above that is there."""
    folders = set()
    for path in paths:
        folder = path
        while not os.path.isdir(folder) and folder != "/":
            folder = os.path.dirname(folder)
        folders.add(folder)
    return folders
