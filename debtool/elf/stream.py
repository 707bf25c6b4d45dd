"""A file that can only be read forwards, as one that can be read anywhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.deb.payload import Readable

_HEAD = 2**16
_SKIP = 2**20


class RestartableStream:
    """Reads at any position of a compressed file in constant memory: going back means beginning again.

    The first 64 KiB are kept, which is where an ELF file's headers are. Whoever reads in ascending order reads the file
    once.
    """

    def __init__(self, reopen: Callable[[], Readable], size: int) -> None:
        self._reopen = reopen
        self._size = size
        self._stream = reopen()
        self._head = self._stream.read(min(_HEAD, size))
        self._reached = len(self._head)
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set and return the position, in bytes from the start."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position, in bytes from the start."""
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if negative."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        if end <= len(self._head):
            data = self._head[self._position : end]
        elif self._position >= end:
            data = b""
        else:
            self._go_to(self._position)
            data = self._stream.read(end - self._position)
            self._reached += len(data)
        self._position += len(data)
        return data

    def _go_to(self, position: int) -> None:
        if position < self._reached:
            self._stream, self._reached = self._reopen(), 0
        while self._reached < position:
            self._reached += len(self._stream.read(min(_SKIP, position - self._reached)))
