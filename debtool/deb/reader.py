"""Reading a .deb: its control information at once, its file tree as a stream.

Nothing is unpacked to disk and no member is held in memory, so the size of a package does not matter.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

import zstandard
from debian.deb822 import Deb822

from debtool.deb import ar
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Kind = Literal["file", "directory", "symlink", "hardlink", "other"]

_CONTROL_LIMIT = 64 * 2**20
"""Bytes of control.tar after decompression; md5sums of a package of 300,000 files takes about half of this."""

_CHUNK = 2**20
_CORRUPT = (tarfile.TarError, zstandard.ZstdError, lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class DebInfo:
    """What a package says of itself.

    Attributes:
        path: The file that was read.
        control_text: The control file's one stanza, byte for byte (apt tells builds of one version apart by it).
        control_files: Every file of control.tar by name, ``control`` included.
        members: The ar members in order; ``size`` is the compressed size in bytes.
    """

    path: Path
    control_text: str
    control_files: Mapping[str, bytes]
    members: tuple[ar.Member, ...]

    @property
    def control(self) -> Deb822:
        """The control stanza, parsed."""
        return Deb822(self.control_text)


@dataclass(frozen=True, slots=True)
class DataEntry:
    """One entry of data.tar.

    Attributes:
        path: Absolute and without a trailing slash; the root directory is ``/``.
        kind: What it is.
        size: Bytes of a regular file, else 0.
        mode: Permission bits.
        target: Of a symlink or hard link (a hard link's is absolute), else empty.
    """

    path: str
    kind: Kind
    size: int
    mode: int
    target: str = ""


def read_deb(path: Path) -> DebInfo:
    """Read the control information of the package ``path``.

    Raises ``InputError`` if it is not a package as deb(5) describes, or its control.tar is damaged or over 64 MiB.
    """
    with path.open("rb") as stream:
        members = _checked_members(stream, path)
        with _tar(stream, members[1], path) as control:
            files = _read_control_files(control, path)
    if "control" not in files:
        raise _corrupt(path, "has no control file in control.tar")
    try:
        text = files["control"].decode("utf-8")
    except UnicodeDecodeError as error:
        raise _corrupt(path, "has a control file that is not UTF-8", rule="Debian Policy 5.1") from error
    missing = [field for field in ("Package", "Version", "Architecture") if field not in Deb822(text)]
    if missing:
        raise _corrupt(path, f"has no {' and no '.join(missing)} in its control file", rule="Debian Policy 5.3")
    return DebInfo(path, text, files, members)


def read_control(path: Path) -> Deb822:
    """Read only the control stanza of the package ``path``; raises what `read_deb` raises."""
    return read_deb(path).control


def iter_data(path: Path) -> Iterator[tuple[DataEntry, IO[bytes] | None]]:
    """Yield the entries of data.tar in order, a regular file with its contents.

    The contents can be read until the next entry is asked for. Raises ``InputError`` where the member is damaged.
    """
    with path.open("rb") as stream:
        data = next(member for member in _checked_members(stream, path) if member.name.startswith("data.tar"))
        with _tar(stream, data, path) as tar:
            for info in tar:
                entry = _entry(info)
                yield entry, tar.extractfile(info) if entry.kind == "file" else None


def iter_paths(path: Path) -> Iterator[DataEntry]:
    """Yield the entries of data.tar in order, contents skipped; raises what `iter_data` raises."""
    for entry, _ in iter_data(path):
        yield entry


def list_paths(path: Path) -> list[str]:
    """Return the absolute path of everything but the directories in the package ``path``, in its order."""
    return [entry.path for entry in iter_paths(path) if entry.kind != "directory"]


def _checked_members(stream: IO[bytes], path: Path) -> tuple[ar.Member, ...]:
    """Return debian-binary, control.tar.* and data.tar.*, in that order and without the members to be ignored."""
    found = tuple(member for member in ar.members(stream, path=path) if not member.name.startswith("_"))
    names = [member.name for member in found]
    for position, prefix in enumerate(("debian-binary", "control.tar", "data.tar")):
        if len(names) <= position or not names[position].startswith(prefix):
            raise _corrupt(path, f"has no {prefix} as member {position + 1}")
    stream.seek(found[0].offset)
    if not stream.read(min(found[0].size, 16)).startswith(b"2."):
        raise _corrupt(path, "is not in format 2 of deb(5)")
    return found


class _Section(io.RawIOBase):
    """Part of a file as a file of its own, read-only and forwards."""

    def __init__(self, stream: IO[bytes], offset: int, size: int) -> None:
        super().__init__()
        self._stream = stream
        self._left = size
        stream.seek(offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # any writable buffer is one here
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


@contextmanager
def _tar(stream: IO[bytes], member: ar.Member, path: Path) -> Iterator[tarfile.TarFile]:
    """Open an ar member as a tar stream; what is found damaged while it is read becomes an ``InputError``."""
    section = io.BufferedReader(_Section(stream, member.offset, member.size), _CHUNK)
    suffix = member.name.partition(".tar")[2]
    plain: IO[bytes]
    try:
        match suffix:
            case "":
                plain = section
            case ".gz":
                plain = gzip.GzipFile(fileobj=section)  # type: ignore[assignment] # typeshed: not an IO[bytes]
            case ".xz":
                plain = lzma.LZMAFile(section)  # noqa: SIM115 -- it owns nothing: the section's file is closed by the caller
            case ".zst":
                plain = zstandard.ZstdDecompressor().stream_reader(section, read_across_frames=True)
            case _:
                raise _corrupt(path, f"has a member {member.name}, compressed in a way that deb(5) does not know")
        with tarfile.open(fileobj=plain, mode="r|", bufsize=_CHUNK) as tar:
            yield tar
    except _CORRUPT as error:
        raise _corrupt(path, f"has a damaged {member.name} ({error})") from error


def _read_control_files(tar: tarfile.TarFile, path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = _CONTROL_LIMIT
    for info in tar:
        if not info.isreg():
            continue
        left -= info.size
        contents = tar.extractfile(info)
        if left < 0 or contents is None:
            raise _corrupt(path, f"has a control.tar of more than {_CONTROL_LIMIT} bytes")
        files[info.name.removeprefix("./")] = contents.read()
    return files


def _entry(info: tarfile.TarInfo) -> DataEntry:
    kind: Kind = "other"
    target = ""
    if info.isreg():
        kind = "file"
    elif info.isdir():
        kind = "directory"
    elif info.issym():
        kind, target = "symlink", info.linkname
    elif info.islnk():
        kind, target = "hardlink", "/" + info.linkname.removeprefix("./")
    path = "/" + info.name.removeprefix(".").strip("/")
    return DataEntry(path, kind, info.size if kind == "file" else 0, stat.S_IMODE(info.mode), target)


def _corrupt(path: Path, what: str, rule: str = "deb(5)") -> InputError:
    return InputError(Issue(f"the package {what}", fix="build or fetch the package again", file=path, rule=rule))
