"""The tree of one generation: what apt reads of a suite, complete and signed before anyone can see it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from debtool.archive.indices import served_forms
from debtool.archive.layout import PAGE
from debtool.archive.release import ListedFile
from debtool.deb.files import make_directory, sync_directory, write_new

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from debtool.archive.signing import Signatures


@dataclass(frozen=True, slots=True)
class WrittenIndices:
    """What `write_indices` wrote.

    Attributes:
        listed: For the Release file: the served forms, and the uncompressed ones that apt checks after unpacking.
        served: Directory (relative to the tree) and SHA-256 of each served form.
        bytes_written: By this; links count nothing.
    """

    listed: tuple[ListedFile, ...]
    served: tuple[tuple[str, str], ...]
    bytes_written: int


def write_indices(tree: Path, indices: Mapping[str, bytes]) -> WrittenIndices:
    """Write the served forms of ``indices`` under their hash and their name; a file that is sound by hash is kept."""
    listed: list[ListedFile] = []
    served: list[tuple[str, str]] = []
    written = 0
    for path, plain in indices.items():
        listed.append(ListedFile(path, len(plain), hashlib.sha256(plain).hexdigest()))
        for name, data in served_forms(path, plain).items():
            sha256 = hashlib.sha256(data).hexdigest()
            listed.append(ListedFile(name, len(data), sha256))
            directory = str(PurePosixPath(name).parent)
            served.append((directory, sha256))
            by_hash = tree / by_hash_path(directory, sha256)
            if not (by_hash.exists() and by_hash.read_bytes() == data):
                make_directory(by_hash.parent)
                by_hash.unlink(missing_ok=True)
                written += write_new(by_hash, data)
            (tree / name).hardlink_to(by_hash)
    return WrittenIndices(tuple(sorted(listed, key=lambda file: file.path)), tuple(served), written)


def keep_by_hash(tree: Path, previous: Path, files: Iterable[tuple[str, str]]) -> None:
    """Link index files of earlier generations from the tree ``previous`` into the by-hash directories of ``tree``.

    A client that read an earlier Release still finds what that lists.
    """
    for directory, sha256 in files:
        source = previous / by_hash_path(directory, sha256)
        target = tree / by_hash_path(directory, sha256)
        if source.exists() and not target.exists():
            make_directory(target.parent)
            target.hardlink_to(source)


def write_release(tree: Path, release: bytes, signatures: Signatures, page: bytes, *, date: int) -> int:
    """Write the Release file, its signatures and the suite's page; return the bytes written.

    Their modification time is the Release's Date (Unix seconds), which no two generations share: web servers compare
    times to the second, and would tell a client of two quick publications that nothing had changed.
    """
    files = {"Release": release, "Release.gpg": signatures.detached, "InRelease": signatures.inline, PAGE: page}
    for name, data in files.items():
        write_new(tree / name, data)
        os.utime(tree / name, (date, date))
    return sum(map(len, files.values()))


def sync_tree(tree: Path) -> None:
    """Put the entries of every directory of ``tree`` on the disk; its files are there already."""
    for directory, _, _ in os.walk(tree):
        sync_directory(Path(directory))


def by_hash_path(directory: str, sha256: str) -> str:
    """Return where a file lies by its hash (Debian Repository Format, "Acquiring index files by hash").

    >>> by_hash_path("main/binary-amd64", "00ff")
    'main/binary-amd64/by-hash/SHA256/00ff'
    """
    return f"{directory}/by-hash/SHA256/{sha256}"
