"""The files of one package as a stream: who has files offers them to a sink, one after another.

Nothing here is a directory on disk that must be filled first; a file's bytes pass through once.
"""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """The contents of a file while they pass; every binary file object is one."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if negative; fewer only at the end, none after it."""


class Sink(Protocol):
    """Takes the files of a package in the order in which they are offered.

    Paths are absolute, normalised and POSIX (``/usr/lib/x``). Parent directories that were not offered are made as
    0755 root:root. Every call raises ``InputError`` for a path that dpkg cannot carry or that was offered before.
    """

    def add_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Add one directory; a directory that was implied before is taken over."""

    def add_file(self, path: str, stream: Readable, size: int, *, mode: int = 0o644) -> None:
        """Add a regular file of exactly ``size`` bytes, read from ``stream`` before the call returns."""

    def add_symlink(self, path: str, target: str) -> None:
        """Add a symbolic link; ``target`` is what readlink(2) will give."""


class Payload(Protocol):
    """Something that has files."""

    def emit(self, sink: Sink) -> None:
        """Offer every file to ``sink``; called once per package, and again for a second build of the same bytes."""
