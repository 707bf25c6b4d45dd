"""What is audited: wheels, packages, folders and single files, and the ELF files in them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from packaging.utils import canonicalize_name

from debtool.audit.layout import MAGIC
from debtool.deb.files import sha256_of
from debtool.deb.reader import iter_data
from debtool.model.errors import InputError, Issue
from debtool.wheel.archive import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from debtool.deb.payload import Readable

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Listed:
    """An ELF file of a subject that was not opened yet: its path below the subject, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Member:
    """An ELF file of a subject that can be opened.

    Attributes:
        path: Its path below the subject; of a single file, its name.
        file: A file with its contents.
        size: Its bytes.
        sha256: The hash of its contents.
    """

    path: str
    file: Path
    size: int
    sha256: str


class Copy:
    """The contents of a stream as a file without a name: gone with the process that made it, however that ends."""

    def __init__(self, begin: bytes, stream: Readable | IO[bytes], scratch: Path) -> None:
        """Copy ``begin`` and the rest of ``stream`` to the file system of the folder ``scratch``."""
        scratch.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        self.size = 0
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 -- closed by `close`
        data = begin or stream.read(_CHUNK)
        while data:
            digest.update(data)
            self.size += self._file.write(data)
            data = stream.read(_CHUNK)
        self._file.flush()
        self.sha256 = digest.hexdigest()

    @property
    def path(self) -> Path:
        """The file, for this process and for those that it started (proc(5))."""
        return Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def distribution_of(path: Path) -> str:
    """Return the normalised name of the distribution that a wheel is of, empty for anything else.

    >>> distribution_of(Path("jax_rocm60_plugin-0.5.0-cp312-cp312-manylinux_2_28_x86_64.whl"))
    'jax-rocm60-plugin'
    """
    return canonicalize_name(path.name.partition("-")[0]) if path.suffix == ".whl" else ""


def is_package(path: Path) -> bool:
    """Return whether ``path`` is a Debian package, whose files can only be had in its order (`packaged`)."""
    return path.suffix == ".deb" and path.is_file()


def listed(path: Path) -> list[Listed]:
    """Return the ELF files in a wheel or a folder, or the file itself; symbolic links are not followed.

    Raises:
        InputError: There is nothing at ``path``, it is a damaged wheel, or a file that is no ELF file.
    """
    if path.is_dir():
        return list(_in_folder(path))
    if not path.is_file():
        raise InputError(Issue("there is no such file", fix="check the path", file=path))
    if path.suffix == ".whl":
        with Archive(path) as archive:
            return [
                Listed(member.name, member.size)
                for member in archive
                if member.size > len(MAGIC) and archive.open(member).read(len(MAGIC)) == MAGIC
            ]
    if not _is_elf(path):
        fix = "give a wheel (.whl), a package (.deb), a folder or an ELF file"
        raise InputError(Issue("not an ELF file", fix=fix, file=path))
    return [Listed(path.name, path.stat().st_size)]


@contextmanager
def opened(path: Path, names: Sequence[str], scratch: Path) -> Iterator[Iterator[Member]]:
    """Give the files that `listed` found under ``names``, of a wheel as copies below ``scratch``, one at a time.

    Raises:
        InputError: The wheel is damaged.
    """
    if path.suffix == ".whl" and path.is_file():
        with Archive(path) as archive:
            yield _from_wheel(archive, names, scratch)
    else:
        files = ((name, path / name if path.is_dir() else path) for name in names)
        yield (Member(name, file, file.stat().st_size, sha256_of(file)) for name, file in files)


def packaged(path: Path, scratch: Path) -> Iterator[tuple[str, Copy]]:
    """Yield path and contents of each ELF file in the Debian package ``path``; the caller closes the copies.

    Raises:
        InputError: The package is damaged.
    """
    for entry, stream in iter_data(path):
        if stream is not None and (begin := stream.read(len(MAGIC))) == MAGIC:
            yield entry.path, Copy(begin, stream, scratch)


def _from_wheel(archive: Archive, names: Sequence[str], scratch: Path) -> Iterator[Member]:
    for name in names:
        with Copy(b"", archive.open(archive.members[name]), scratch) as copy:
            yield Member(name, copy.path, copy.size, copy.sha256)


def _in_folder(folder: Path) -> Iterator[Listed]:
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder):
        folders.sort()
        for file in (Path(root, name) for name in sorted(names)):
            if file.is_symlink() or not file.is_file():
                continue
            status = file.stat()
            if (status.st_dev, status.st_ino) not in seen and _is_elf(file):
                seen.add((status.st_dev, status.st_ino))
                yield Listed(str(file.relative_to(folder)), status.st_size)


def _is_elf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
