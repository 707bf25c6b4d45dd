"""Files that are whole or absent, and on the disk before anything refers to them."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644


def sync_directory(path: Path) -> None:
    """Put a directory's entries on the disk (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, mode: int = DIRECTORY_MODE) -> None:
    """Make ``path`` and its missing parents with exactly ``mode``, whatever the umask; each is put on the disk."""
    if path.is_dir():
        return
    make_directory(path.parent, mode=mode)
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    sync_directory(path.parent)


def write_new(path: Path, data: bytes, *, mode: int = FILE_MODE) -> int:
    """Write a file that must not exist yet, put it on the disk and return its size; the caller syncs the directory."""
    with path.open("xb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return len(data)


def replace_file(path: Path, data: bytes, *, mode: int = FILE_MODE) -> None:
    """Make ``path`` hold ``data`` in one step, on the disk when it returns; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.unlink(missing_ok=True)  # left by a process of this number that was killed
    try:
        write_new(temporary, data, mode=mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_if_changed(path: Path, data: bytes, *, mode: int = FILE_MODE) -> bool:
    """Make ``path`` hold ``data`` by replacing it in one step; return False, writing nothing, where it did already."""
    if path.is_file() and path.read_bytes() == data:
        return False
    replace_file(path, data, mode=mode)
    return True


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's contents in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def outside_errors(doing: str) -> Iterator[None]:
    """Turn the operating system's refusals (a full disk, a missing permission) into an ``OutsideError``."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        name = f" ({error.filename})" if error.filename else ""
        issue = Issue(f"{doing} failed: {reason}{name}", fix="make room or mend the permissions, then run it again")
        raise OutsideError(issue) from error
