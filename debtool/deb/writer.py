"""Writing a .deb in one pass over its files.

data.tar is compressed into an anonymous file beside the destination while the files pass through; then everything that
control.tar must say of them is known, and the package is put together under a temporary name, synced and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING

from debtool.deb import ar
from debtool.deb.compression import SUFFIX, Compression, open_compressor
from debtool.deb.control import render_stanza
from debtool.deb.data_tar import DataTar, HashLane, TarStream
from debtool.deb.workers import is_alive
from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from debtool.deb.contents import Contents
    from debtool.deb.control import Control
    from debtool.deb.payload import Payload

_FORMAT = b"2.0\n"
_COPY_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Built:
    """A package that was written.

    Attributes:
        path: The file.
        size: Its bytes.
        sha256: Its hexadecimal digest.
        contents: The files in it.
    """

    path: Path
    size: int
    sha256: str
    contents: Contents


def write_deb(
    destination: Path,
    payload: Payload,
    make_control: Callable[[Contents], Control],
    *,
    date: datetime | int,
    compression: Compression = "zstd",
    level: int | None = None,
    threads: int = 2,
) -> Built:
    """Write the package ``destination`` from the files of ``payload``.

    The same files, control information, date, compression and level give the same bytes, whatever ``threads`` is.
    ``make_control`` is called once, when the files have passed through. ``date`` (seconds since 1970 if an int) becomes
    every modification time. A file that is already there is replaced in one step; until then, and after any error or
    interruption, it stays as it was, and nothing is left beside it. A killed process can leave ``.NAME.PID.tmp``, which
    the next call for the same destination clears away.

    Raises ``InputError`` for files or control information that a package cannot hold, among them a data.tar that grows
    over 9,999,999,999 bytes (deb(5)), ``OutsideError`` if the disk is full or not writable.
    """
    mtime = int(date.timestamp()) if isinstance(date, datetime) else date
    with _disk_errors(destination), tempfile.TemporaryFile(dir=destination.parent, buffering=0) as data:
        clear_leftovers(destination)
        member = _Member(data, destination, f"data.tar{SUFFIX[compression]}")
        contents = _write_data(member, payload, mtime, (compression, level, threads))
        control = _control_tar(make_control(contents), contents, mtime, (compression, level, threads))
        if len(control) > ar.MEMBER_LIMIT:
            raise member.too_large()
        header = b"".join(
            (
                ar.MAGIC,
                ar.header("debian-binary", len(_FORMAT), mtime=mtime),
                _FORMAT,
                ar.header(f"control.tar{SUFFIX[compression]}", len(control), mtime=mtime),
                control + b"\n" * (len(control) % 2),
                ar.header(member.name, member.size, mtime=mtime),
            )
        )
        size, sha256 = _assemble(destination, header, data, member.size)
    return Built(destination, size, sha256, contents)


class _Member:
    """The compressed data.tar while it grows, watched against ar's limit."""

    def __init__(self, stream: IO[bytes], package: Path, name: str) -> None:
        self._stream = stream
        self._package = package
        self.name = name
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > ar.MEMBER_LIMIT:
            raise self.too_large()
        _write_all(self._stream, data)

    def too_large(self) -> InputError:
        return InputError(
            Issue(
                f"{self.name} has grown over the {ar.MEMBER_LIMIT} bytes that a member of a .deb can have",
                fix="split the files into several packages, or compress at a higher level",
                file=self._package,
                rule="deb(5): ar's size field has ten digits",
            )
        )


def _write_data(
    member: _Member, payload: Payload, mtime: int, compression: tuple[Compression, int | None, int]
) -> Contents:
    compressor = open_compressor(*compression)

    def write(data: bytes | bytearray) -> None:
        if out := compressor.compress(data):
            member.write(out)

    tar = TarStream(write, mtime=mtime)
    with HashLane() as lane:
        sink = DataTar(tar, lane)
        payload.emit(sink)
        tar.close()
        member.write(compressor.flush())
    return sink.contents()


def _control_tar(
    control: Control, contents: Contents, mtime: int, compression: tuple[Compression, int | None, int]
) -> bytes:
    """Return the compressed control.tar."""
    conffiles = contents.conffiles if control.conffiles is None else control.conffiles
    stanza = render_stanza({**control.fields, "Installed-Size": str(contents.installed_size)})
    sums = "".join(
        f"{entry.md5}  {entry.path[1:]}\n"
        for entry in sorted(contents.entries, key=lambda entry: entry.path)
        if entry.kind == "file" and entry.path not in conffiles
    )
    files: dict[str, tuple[bytes, int]] = {
        "conffiles": ("".join(f"{path}\n" for path in conffiles).encode(), 0o644),
        "control": (stanza, 0o644),
        "md5sums": (sums.encode(), 0o644),
        "triggers": (control.triggers.encode(), 0o644),
        **{name: (text.encode(), 0o755) for name, text in control.scripts.items()},
    }
    compressor = open_compressor(*compression)
    out = bytearray()
    tar = TarStream(lambda data: out.extend(compressor.compress(data)), mtime=mtime)
    tar.header("./", tarfile.DIRTYPE, mode=0o755)
    for name, (data, mode) in sorted(files.items()):
        if data:
            tar.header(f"./{name}", tarfile.REGTYPE, size=len(data), mode=mode)
            tar.data(data)
            tar.pad()
    tar.close()
    return bytes(out + compressor.flush())


def _assemble(destination: Path, header: bytes, data: IO[bytes], data_size: int) -> tuple[int, str]:
    """Put the package together under a temporary name and rename it; return its size in bytes and its SHA-256."""
    digest = hashlib.sha256(header)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    data.seek(0)
    try:
        with HashLane() as lane, temporary.open("wb", buffering=0) as out:
            _write_all(out, header)
            while chunk := data.read(_COPY_CHUNK):
                lane.feed(digest, chunk)
                _write_all(out, chunk)
            padding = b"\n" * (data_size % 2)
            _write_all(out, padding)
            lane.feed(digest, padding)
            os.fsync(out.fileno())
        temporary.replace(destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return len(header) + data_size + len(padding), digest.hexdigest()


def _write_all(stream: IO[bytes], data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file, which may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def clear_leftovers(destination: Path) -> None:
    """Remove the temporary files that killed processes left for ``destination``."""
    pattern = re.compile(rf"\.{re.escape(destination.name)}\.(\d+)\.tmp")
    for path in destination.parent.iterdir():
        found = pattern.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not is_alive(int(found[1]))):
            with suppress(FileNotFoundError):
                path.unlink()


@contextmanager
def _disk_errors(destination: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the folder."""
    folder = destination.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        problem = f"cannot write {destination.name}: the folder is missing or read-only"
        raise OutsideError(Issue(problem, fix="choose a folder that exists and that you may write to", file=folder))
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        fix = "free some space, or choose another folder: writing needs twice the size of the finished package"
        raise OutsideError(Issue(f"cannot write {destination.name}: {error.strerror}", fix=fix, file=folder)) from error
