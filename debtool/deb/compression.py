"""The compressors of data.tar and control.tar, as objects that take bytes and give bytes."""

from __future__ import annotations

import lzma
from typing import Literal, Protocol

import zstandard

Compression = Literal["zstd", "xz"]

SUFFIX: dict[Compression, str] = {"zstd": ".zst", "xz": ".xz"}
"""What deb(5) calls the members: ``data.tar.zst`` needs dpkg 1.21.18."""

DEFAULT_LEVEL: dict[Compression, int] = {"zstd": 3, "xz": 6}
"""dpkg-deb's own levels are these too, so that a size can be compared with what it would write."""


class Compressor(Protocol):
    """Takes a stream of bytes; its output does not depend on how the input was cut into pieces."""

    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes:
        """Take ``data`` and return what is ready of the output, which may be nothing."""

    def flush(self) -> bytes:
        """End the stream and return the rest of the output."""


def open_compressor(compression: Compression, level: int | None, threads: int) -> Compressor:
    """Return a compressor; ``level`` None is the default one, ``threads`` are those it may use beside the caller's.

    The output depends on the compression and the level only. zstd cuts its input into jobs as soon as it has one
    worker, and the jobs are the same for any number of workers, so it always gets at least one; the standard library's
    xz has a single thread.
    """
    level = DEFAULT_LEVEL[compression] if level is None else level
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=level, threads=max(threads, 1), write_checksum=True).compressobj()
    return lzma.LZMACompressor(preset=level)
