"""Source trees: fetched once into the cache, filtered, patched, and read as a sorted list of files."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from debtool.build.series import apply_patch, read_series
from debtool.build.source import fetch_commit
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from debtool.model.stack import Source

    _Matcher = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree.

    Attributes:
        name: Its path below the tree, POSIX.
        path: Where it can be read.
        size: Bytes; 0 for a link.
        executable: Whether its owner may execute it.
        link: What a symbolic link says, else None.
    """

    name: str
    path: Path
    size: int
    executable: bool
    link: str | None = None


def fetch_tree(source: Source, folder: Path, cache: Path) -> Path:
    """Return a folder with the files of ``source``; paths in it are relative to ``folder``.

    A commit is fetched from git once and kept in ``cache``.

    Raises:
        InputError: The source is no folder.
        OutsideError: git is missing, or the repository or commit cannot be had.
    """
    if source.path is not None:
        path = (folder / source.path).resolve()
        if not path.is_dir():
            raise InputError(
                Issue(
                    "there is no such source tree",
                    file=path,
                    fix="correct the source's path, or give --source NAME=PATH",
                )
            )
        return path
    if source.git is None or source.commit is None:
        raise InputError(
            Issue("a tree comes from a git commit or a folder", fix="give the source as { git, commit } or { path }")
        )
    return fetch_commit(source.git, source.commit, cache)


def tree_files(root: Path, *, exclude: Sequence[str] = (), include: Sequence[str] = ()) -> Iterator[TreeFile]:
    """Yield the files and links below ``root`` in path order.

    A pattern (fnmatch) that matches a path or any of a path's components leaves it out; one with a leading slash is
    for the path from the tree's top only. With ``include``, only paths that one of those patterns matches are kept.

    Raises:
        InputError: A link that leaves the tree, or a file that is neither file, folder nor link.
    """
    excluded, included = _matcher(exclude), _matcher(include or ["*"])
    for folder, folders, names in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(n for n in folders if n not in links and not _left_out(str(here / n), excluded))
        for name in sorted([*names, *links]):
            relative = str(here / name)
            if included(relative) and not _left_out(relative, excluded):
                yield _tree_file(root, relative)


def _tree_file(root: Path, relative: str) -> TreeFile:
    path = root / relative
    if path.is_symlink():
        link = str(path.readlink())
        if not path.resolve().is_relative_to(root.resolve()):
            raise InputError(
                Issue(f"link to {link} leaves the tree", file=path, fix="exclude it in the package's 'exclude' key")
            )
        return TreeFile(relative, path, 0, executable=False, link=link)
    if not path.is_file():
        raise InputError(Issue("is neither file, folder nor link", file=path, fix="exclude it in 'exclude'"))
    status = path.stat()
    return TreeFile(relative, path, status.st_size, executable=bool(status.st_mode & 0o100))


def _left_out(relative: str, excluded: _Matcher) -> bool:
    # The folders above were looked at on the way down.
    return bool(excluded(relative) or excluded(relative.rpartition("/")[2]) or excluded(f"/{relative}"))


def _matcher(patterns: Sequence[str]) -> _Matcher:
    """Return what matches a text that one of ``patterns`` (fnmatch) matches; no pattern matches nothing."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)").match


def tree_digest(files: Sequence[TreeFile]) -> str:
    """Return the SHA-256 of names, modes, links and contents."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{file.executable}\0{file.link}\0{file.size}\0".encode())
        if file.link is None:
            with file.path.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def patch_tree(
    tree: Path, series: Path | None, cache: Path, *, exclude: Sequence[str] = (), commit: str | None = None
) -> Path:
    """Return ``tree`` with the quilt series in the folder ``series`` applied, as a copy kept in ``cache``.

    What ``exclude`` matches (see `tree_files`) is not copied: a tree in use may hold models without number. ``commit``
    says what the tree holds, if it came from git; else its files are read to find out.

    Raises:
        InputError: A patch of the series is missing or does not apply without fuzz.
        OutsideError: patch(1) is missing.
    """
    if series is None:
        return tree
    patches = read_series(series)
    files = list(tree_files(tree, exclude=(".git", *exclude)))
    key = hashlib.sha256("\0".join([commit or tree_digest(files), *exclude]).encode())
    for patch in patches:
        key.update(patch.read_bytes())
    destination = cache / "patched" / key.hexdigest()
    if destination.is_dir():
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".patch-") as scratch:
        work = Path(scratch, "tree")
        for file in files:
            copy = work / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file.path, copy, follow_symlinks=False)
        for patch in patches:
            apply_patch(patch, work)
        try:
            work.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    return destination
