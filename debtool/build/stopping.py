"""Being asked to stop: Ctrl-C, a service manager's SIGTERM, a terminal that was closed."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from debtool.model.errors import DebtoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType
    from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(DebtoolError):
    """Somebody asked the build to stop; what was done is kept (exit code 130, as shells say of Ctrl-C)."""

    exit_code = 130


@contextmanager
def raising(error: Callable[[], StoppedError]) -> Iterator[None]:
    """Raise ``error()`` wherever this process is when a signal asks it to stop, as Python does for Ctrl-C alone.

    That is for code of our own; a `Stopper` within takes the signals itself, for as long as it lasts. A second signal
    does what it would have done without this. In another thread than the main one nothing changes.
    """
    before: dict[int, signal.Handlers] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- a signal handler's signature
        restore()
        raise error()

    if threading.current_thread() is threading.main_thread():
        before |= {number: signal.signal(number, stop) for number in _SIGNALS}  # type: ignore[misc]  # as in Stopper
    try:
        yield
    finally:
        restore()


class Stopper:
    """Remembers, while its context lasts, that a signal asked this process to stop, instead of raising anywhere.

    Only the main thread gets signals; in another thread nothing changes.

    Attributes:
        readable: A file descriptor that becomes readable with the first such signal.
        signal: The signal's number, None so far.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.readable, self._write = os.pipe()
        self._before: dict[int, signal.Handlers] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # signal.signal() returns what was there; None only for handlers that C code has set.
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}  # type: ignore[misc]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.readable)
        os.close(self._write)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- a signal handler's signature
        if self.signal is None:
            self.signal = number
            os.write(self._write, b".")
