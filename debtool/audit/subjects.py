"""What is audited: wheels, packages, folders and single files, as ELF files that can be opened."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from packaging.utils import canonicalize_name

from debtool.audit.layout import MAGIC
from debtool.deb.files import sha256_of
from debtool.deb.reader import iter_data
from debtool.model.errors import InputError, Issue
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.deb.payload import Readable

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Member:
    """An ELF file of a subject.

    Attributes:
        path: Its path below the subject; of a single file, its name.
        file: A file with its contents.
        sha256: The hash of its contents.
    """

    path: str
    file: Path
    sha256: str


def distribution_of(path: Path) -> str:
    """Return the normalised distribution name of a wheel, empty for anything else."""
    return canonicalize_name(path.name.partition("-")[0]) if path.suffix == ".whl" else ""


def members(path: Path, scratch: Path) -> Iterator[Member]:
    """Yield the ELF files at ``path``.

    Those of wheels and packages are copied below ``scratch`` one at a time, and are gone when the next is asked for.

    Raises:
        InputError: There is nothing at ``path``, or it is a single file that is no ELF file, or damaged.
    """
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix == ".whl":
        with open_wheel(path) as wheel:
            for name in wheel.sizes:
                with _copied(wheel.open(name), scratch) as copy:
                    if copy is not None:
                        yield Member(name, *copy)
    elif path.suffix == ".deb":
        for entry, stream in iter_data(path):
            if stream is not None:
                with _copied(stream, scratch) as copy:
                    if copy is not None:
                        yield Member(entry.path, *copy)
    elif not path.is_file():
        raise InputError(Issue("there is no such file", fix="check the path", file=path))
    elif not _is_elf(path):
        fix = "give a wheel (.whl), a package (.deb), a folder or an ELF file"
        raise InputError(Issue("not an ELF file", fix=fix, file=path))
    else:
        yield Member(path.name, path, sha256_of(path))


def _in_folder(folder: Path) -> Iterator[Member]:
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder):
        folders.sort()
        for file in (Path(root, name) for name in sorted(names)):
            if file.is_symlink() or not file.is_file():
                continue
            status = file.stat()
            if (status.st_dev, status.st_ino) in seen or not _is_elf(file):
                continue
            seen.add((status.st_dev, status.st_ino))
            yield Member(str(file.relative_to(folder)), file, sha256_of(file))


def _is_elf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


@contextmanager
def _copied(stream: Readable | IO[bytes], scratch: Path) -> Iterator[tuple[Path, str] | None]:
    """Give the contents of ``stream`` as a file, with its hash; None if they are no ELF file."""
    begin = stream.read(len(MAGIC))
    if begin != MAGIC:
        yield None
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="elf-") as copy:
        digest = hashlib.sha256()
        while begin:
            digest.update(begin)
            copy.write(begin)
            begin = stream.read(_CHUNK)
        copy.flush()
        yield Path(copy.name), digest.hexdigest()
