"""A wheel's zip file: its central directory is checked first, then members are inflated as streams.

Everything in a wheel is somebody else's input, and what is wrong with it is told before anything is written. Names that
differ in case only are no error: they are different files wherever dpkg unpacks.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from isal import isal_zlib
from isal.isal_zlib import IsalError

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_STORED = zipfile.ZIP_STORED
_DEFLATED = zipfile.ZIP_DEFLATED
_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""General purpose bits of encrypted members, strong encryption and masked headers (APPNOTE.TXT 4.4.4)."""

_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC = b"PK\x03\x04"
_UNIX = 3

_TOTAL_LIMIT = 64 * 2**30
"""Bytes a wheel may unpack to. The largest that are known, torch for every GPU of ROCm, unpack to some 20 GB."""

_RATIO_LIMIT = 100
_RATIO_FREE = 2**28
"""A wheel that unpacks to over this many bytes may not unpack to over a hundred times its own size (torch: 4 times)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_READ = 2**16
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a wheel.

    Attributes:
        name: Its path, relative, normalised and with forward slashes.
        size: Bytes when inflated.
        packed_size: Bytes in the zip.
        executable: Whether any execute permission is set.
        crc: Its CRC-32.
        deflated: Whether it is deflated or stored.
        offset: Of its local header in the zip.
    """

    name: str
    size: int
    packed_size: int
    executable: bool
    crc: int
    deflated: bool
    offset: int


class Archive:
    """An open wheel file whose central directory is sound.

    Raises ``InputError`` with every problem found if it is not: a truncated or foreign file, encryption, a compression
    other than stored and deflated, names that leave the wheel or are there twice, symbolic links and devices, members
    that overlap, and sizes that only a zip bomb has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
                self._end = archive.start_dir
        except FileNotFoundError as error:
            raise InputError(Issue("there is no such wheel", fix="check the path", file=path)) from error
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error, ValueError) as error:
            raise _broken(path, f"is no complete zip file ({error})") from error
        problems = [problem for info in infos for problem in _member_problems(info)]
        problems += _name_problems(infos)
        problems += _layout_problems(infos, self._end, path.stat().st_size)
        if problems:
            raise InputError(*(_issue(path, problem) for problem in problems))
        self.members: dict[str, Member] = {
            info.filename: _member(info)
            for info in sorted(infos, key=lambda info: info.header_offset)
            if not info.is_dir()
        }
        self._stream = path.open("rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in the order in which they lie in the file."""
        return iter(self.members.values())

    def open(self, member: Member) -> MemberStream:
        """Return the inflated contents of ``member``.

        Reading raises ``InputError`` where the data is damaged, is not as long as the central directory says, or does
        not have its CRC; the last two show when the end is read. Streams of one archive can be read in turns.
        """
        return MemberStream(self._stream, self.path, member)

    def read(self, member: Member, *, limit: int) -> bytes:
        """Return all of ``member``, which must not be over ``limit`` bytes."""
        if member.size > limit:
            raise _broken(self.path, f"has {member.size} bytes, more than {limit}", field=member.name)
        return self.open(member).read()


class MemberStream:
    """One member's contents, inflated while they are read."""

    def __init__(self, stream: IO[bytes], path: Path, member: Member) -> None:
        self.member = member
        self._stream = stream
        self._path = path
        self._packed_left = member.packed_size
        self._left = member.size
        self._crc = 0
        self._ended = False
        self._inflater = isal_zlib.decompressobj(-15) if member.deflated else None
        self._position = self._data_offset()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if negative, none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if not self._left or not size:
            self._finish(size)
            return b""
        data = self._next(min(size, self._left))
        if not data:
            raise self._damaged(f"ends {self._left} bytes early")
        self._left -= len(data)
        self._crc = isal_zlib.crc32(data, self._crc)
        return data

    def _next(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only where the data ends."""
        if self._inflater is None:
            return self._packed(size)
        pieces: list[bytes] = []
        while size and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._packed(_READ)
            try:
                data = self._inflater.decompress(packed, size)
            except IsalError as error:  # type: ignore[misc] # its stub takes the class for an instance
                raise self._damaged(f"cannot be inflated ({error})") from error
            if not packed and not data:
                break
            size -= len(data)
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _packed(self, size: int) -> bytes:
        """Return up to ``size`` bytes as they are in the zip."""
        self._stream.seek(self._position)
        data = self._stream.read(min(size, self._packed_left))
        self._position += len(data)
        self._packed_left -= len(data)
        return data

    def _finish(self, size: int) -> None:
        """At the end: nothing may be left over, and the CRC must be right."""
        if self._ended or not size:
            return
        if self._next(1):
            raise self._damaged(f"goes on after its {self.member.size} bytes")
        if self._crc != self.member.crc:
            raise self._damaged("does not have its CRC-32")
        self._ended = True

    def _data_offset(self) -> int:
        """Return where the data begins: after the local header, which must agree with the central directory."""
        self._stream.seek(self.member.offset)
        raw = self._stream.read(_LOCAL_HEADER.size)
        if len(raw) < _LOCAL_HEADER.size or raw[:4] != _LOCAL_MAGIC:
            raise self._damaged("has no local header")
        fields = _LOCAL_HEADER.unpack(raw)
        flags, method, name_size, extra_size = fields[2], fields[3], fields[9], fields[10]
        name = self._stream.read(name_size)
        expected = self.member.name
        if name not in (expected.encode(), expected.encode("cp437", "replace")):
            raise self._damaged(f"is called {name!r} in its local header")
        if flags & _ENCRYPTED or method != (_DEFLATED if self.member.deflated else _STORED):
            raise self._damaged("has a local header that contradicts the central directory")
        return self.member.offset + _LOCAL_HEADER.size + int(name_size) + int(extra_size)

    def _damaged(self, what: str) -> InputError:
        return _broken(self._path, what, field=self.member.name)


def _member(info: zipfile.ZipInfo) -> Member:
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    return Member(
        name=info.filename,
        size=info.file_size,
        packed_size=info.compress_size,
        executable=bool(mode & 0o111),
        crc=info.CRC,
        deflated=info.compress_type == _DEFLATED,
        offset=info.header_offset,
    )


def _member_problems(info: zipfile.ZipInfo) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with one central directory entry, as (member, problem)."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or "\\" in name or ":" in parts[0] or not {"", ".", ".."}.isdisjoint(parts):
        yield name, "does not have a plain relative path, so it could be written outside its package"
    if _CONTROL.search(name):
        yield name, "has a control character in its name"
    if info.flag_bits & _ENCRYPTED:
        yield name, "is encrypted"
    if info.compress_type not in (_STORED, _DEFLATED):
        yield name, f"is compressed by method {info.compress_type}; wheels are stored or deflated"
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield name, "is a symbolic link or a device; wheels hold regular files"
    if info.compress_type == _STORED and info.file_size != info.compress_size:
        yield name, f"is stored, but has {info.compress_size} bytes in the zip and {info.file_size} outside it"


def _name_problems(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[str, str]]:
    """Yield the names that cannot be files of one tree."""
    files: set[str] = set()
    for info in infos:
        if not info.filename:  # or it begins with NUL, where zipfile cuts names off
            yield info.orig_filename, "has no name"
            continue
        if info.is_dir():
            continue
        if info.filename in files:
            yield info.filename, "is there twice"
        files.add(info.filename)
    for name in files:
        parent = name.rpartition("/")[0]
        while parent:
            if parent in files:
                yield parent, f"is a file, and {name} is below it"
            parent = parent.rpartition("/")[0]


def _layout_problems(infos: list[zipfile.ZipInfo], end: int, size: int) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with where the members lie in a zip of ``size`` bytes, and with their sizes together."""
    position, previous = 0, ""
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < position:
            yield info.filename, f"overlaps {previous}"
        smallest = _LOCAL_HEADER.size + len(info.orig_filename) + info.compress_size
        position, previous = info.header_offset + smallest, info.filename
    if position > end:
        yield previous, "runs into the zip's central directory"
    total = sum(info.file_size for info in infos)
    if total > _TOTAL_LIMIT or (total > _RATIO_FREE and total > _RATIO_LIMIT * size):
        yield "", f"would unpack from {size} to {total} bytes, as zip bombs do"


def _issue(path: Path, problem: tuple[str, str]) -> Issue:
    name, text = problem
    return Issue(
        f"the member {text}" if name else f"the wheel {text}",
        fix="take the wheel from another source, or have it rebuilt",
        file=path,
        field=name or None,
        rule="binary distribution format",
    )


def _broken(path: Path, what: str, field: str | None = None) -> InputError:
    return InputError(
        Issue(
            f"the {'member' if field else 'wheel'} {what}",
            fix="fetch the wheel again",
            file=path,
            field=field,
            rule="binary distribution format",
        )
    )
