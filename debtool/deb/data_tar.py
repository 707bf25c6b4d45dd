"""data.tar as it is written: the sink that files pass through on their way into the compressor."""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from queue import SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Literal

from debtool.deb.contents import Contents, Entry
from debtool.deb.names import check_path
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from debtool.deb.payload import Readable

_CHUNK = 2**18
"""Bytes that are read from a file, and handed to the compressor, at a time: few enough to stay in a core's cache."""

_INLINE = 2**16
"""Files up to this many bytes are hashed on the spot: below it, handing them over costs more than hashing them."""

_LANE_DEPTH = 16
"""Chunks that may wait for the hashing thread, which bounds the memory they take."""


class HashLane:
    """A thread that feeds hashes, so that hashing goes on beside inflating and compressing (hashlib drops the GIL)."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[hashlib._Hash, bytes] | None] = SimpleQueue()
        self._room = BoundedSemaphore(_LANE_DEPTH)
        self._thread = Thread(target=self._run, name="debtool-hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until everything that was fed is hashed."""
        self._queue.put(None)
        self._thread.join()

    def feed(self, digest: hashlib._Hash, data: bytes) -> None:
        """Add ``data`` to ``digest``, later; pieces for one digest keep their order."""
        self._room.acquire()
        self._queue.put((digest, data))

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            digest, data = item
            digest.update(data)
            self._room.release()


class TarStream:
    """Writes GNU tar, the one dialect that dpkg reads with long names and sizes over 8 GiB (deb(5)); never PAX.

    Every entry belongs to root:root and has the same modification time. Headers and small files are gathered, so that
    ``write`` gets few, large pieces.
    """

    def __init__(self, write: Callable[[bytes | bytearray], None], *, mtime: int) -> None:
        self._write = write
        self._mtime = mtime
        self._buffer = bytearray()
        self._size = 0

    def header(self, name: str, kind: bytes, *, size: int = 0, mode: int, target: str = "") -> None:
        """Begin an entry; ``name`` is in dpkg's spelling (``./usr/lib/x``, directories end in a slash)."""
        info = tarfile.TarInfo(name)
        info.type = kind
        info.size = size
        info.mode = mode
        info.mtime = self._mtime
        info.linkname = target
        info.uname = info.gname = "root"
        self._buffer += info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")

    def data(self, data: bytes) -> None:
        """Add bytes to the entry that was begun."""
        self._size += len(data)
        if len(data) < _INLINE:
            self._buffer += data
            if len(self._buffer) < _CHUNK:
                return
            data = b""
        if self._buffer:
            self._write(self._buffer)
            self._buffer.clear()
        if data:
            self._write(data)

    def pad(self) -> None:
        """End an entry's data at a block boundary."""
        self._buffer += bytes(-self._size % tarfile.BLOCKSIZE)
        self._size = 0

    def close(self) -> None:
        """Write the two empty blocks that end a tar file."""
        self._write(self._buffer + bytes(2 * tarfile.BLOCKSIZE))
        self._buffer.clear()


class DataTar:
    """A ``Sink``: puts files into data.tar, makes the directories above them, and keeps their sizes and MD5 sums."""

    def __init__(self, tar: TarStream, lane: HashLane) -> None:
        self._tar = tar
        self._lane = lane
        self._kinds: dict[str, Literal["file", "directory", "symlink"]] = {}
        self._files: dict[str, tuple[int, hashlib._Hash]] = {}
        self._implied: set[str] = set()
        tar.header("./", tarfile.DIRTYPE, mode=0o755)

    def add_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Add one directory (see ``Sink``)."""
        if self._kinds.get(path) == "directory" and path in self._implied:
            self._implied.discard(path)
            if mode == 0o755:  # noqa: PLR2004 -- the mode that implied directories have
                return
            raise _refused(path, "was made as a parent directory with mode 755 before it was offered with another mode")
        self._begin(path, "directory")
        self._tar.header(f".{path}/", tarfile.DIRTYPE, mode=mode)

    def add_file(self, path: str, stream: Readable, size: int, *, mode: int = 0o644) -> None:
        """Add a regular file (see ``Sink``); an ``InputError`` if ``stream`` does not have exactly ``size`` bytes."""
        self._begin(path, "file")
        self._tar.header("." + path, tarfile.REGTYPE, size=size, mode=mode)
        digest = hashlib.md5(usedforsecurity=False)
        self._files[path] = (size, digest)
        left = size
        while left:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise _refused(path, f"ended {left} bytes before its {size} bytes were read")
            left -= len(data)
            if len(data) <= _INLINE and size <= _INLINE:
                digest.update(data)
            else:
                self._lane.feed(digest, data)
            self._tar.data(data)
        if stream.read(1):
            raise _refused(path, f"has more than the {size} bytes that were announced")
        self._tar.pad()

    def add_symlink(self, path: str, target: str) -> None:
        """Add a symbolic link (see ``Sink``)."""
        if not target or "\n" in target or "\0" in target:
            raise _refused(path, f"is a symbolic link to {target!r}, which dpkg cannot carry")
        self._begin(path, "symlink")
        self._tar.header("." + path, tarfile.SYMTYPE, mode=0o777, target=target)

    def contents(self) -> Contents:
        """Return what passed through; only after the hash lane has been closed."""
        return Contents(
            tuple(
                Entry(path, kind, self._files[path][0], self._files[path][1].hexdigest())
                if kind == "file"
                else Entry(path, kind)
                for path, kind in self._kinds.items()
            )
        )

    def _begin(self, path: str, kind: Literal["file", "directory", "symlink"]) -> None:
        check_path(path)
        if path in self._kinds:
            raise _refused(path, f"was offered before, as a {self._kinds[path]}")
        self._make_parents(posixpath.dirname(path))
        self._kinds[path] = kind

    def _make_parents(self, path: str) -> None:
        kind = self._kinds.get(path)
        if path == "/" or kind == "directory":
            return
        if kind is not None:
            raise _refused(path, f"is a {kind}, and something was offered below it")
        self._make_parents(posixpath.dirname(path))
        self._kinds[path] = "directory"
        self._implied.add(path)
        self._tar.header(f".{path}/", tarfile.DIRTYPE, mode=0o755)


def _refused(path: str, problem: str) -> InputError:
    return InputError(
        Issue(f"the path {path} {problem}", fix="mend or exclude it where the package's files come from", field=path)
    )
