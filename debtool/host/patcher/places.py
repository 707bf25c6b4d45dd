"""Finding every copy: folders of packages, virtual and conda environments, below what the configuration names."""

# ruff: noqa: PTH119, PTH120
# Pathlib costs half a start of Python.
from __future__ import annotations

import fnmatch
import os
import stat

from .errors import OutsideError, PatchError
from .findings import Copy

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .configuration import Entry
    from .files import Folder, Tree

DEPTH = 5
"""How many folders below a ``search`` folder an environment may lie."""

NEVER = frozenset({".git", "__pycache__", "node_modules"})
"""Folders without environments and with many files."""

MARKS = ("pyvenv.cfg", "conda-meta")
"""What an environment has in its top folder (PEP 405; conda's records)."""


class Places:
    """Finds copies of ``file`` (below site-packages), and remembers every folder that it looked at.

    A folder that gets or loses a name gets another time: as long as none of them has, a search finds the same again.
    ``parents`` are those that were looked at for what a pattern fits only.
    """

    def __init__(self, tree: Tree, file: str, home: str) -> None:
        self.tree, self.file, self.home = tree, file, home
        self.looked: dict[str, os.stat_result | None] = {}
        self.parents: set[str] = set()
        self._known: set[tuple[int, int]] = set()

    def find(self, entries: list[Entry]) -> list[Copy]:
        """Return the copies that the entries lead to, each once, in their order."""
        copies: list[Copy] = []
        for entry in entries:
            if entry.of_user and self.tree.user == 0:
                continue
            value = self.home + entry.value[1:] if entry.of_user else entry.value
            if entry.key == "path":
                copies.append(self.named(value, entry.origin))
                continue
            for folder in self._expanded(value):
                found = self._searched(folder, entry) if entry.key == "search" else self._root(folder, entry)
                copies.extend(found)
        return [copy for copy in copies if copy.named or self._allowed(copy)]

    def named(self, path: str, origin: str) -> Copy:
        """Return the copy at a path that was given."""
        site = self.site(path)
        environment = self._environment_of(site)
        return Copy(path, None, self._python_of(site, environment), environment, origin, named=True)

    def site(self, path: str) -> str:
        """Return the folder that a copy is imported from."""
        for _ in self.file.split("/"):
            path = os.path.dirname(path)
        return path

    def python(self, path: str) -> str | None:
        """Return the interpreter that imports a copy, if one is found."""
        site = self.site(path)
        return self._python_of(site, self._environment_of(site))

    # -- looking ---------------------------------------------------------------------------------------------------

    def _open(self, path: str) -> Folder | None:
        try:
            folder = self.tree.folder(path)
        except FileNotFoundError:
            self.looked.setdefault(path, None)
            return None
        except (OSError, PatchError, OutsideError):
            return None
        self.looked.setdefault(path, os.fstat(folder.handle))
        return folder

    def _expanded(self, pattern: str) -> Iterator[str]:
        """Yield the folders that a pattern of folder names fits."""
        done = [""]
        for part in pattern.strip("/").split("/"):
            if not any(sign in part for sign in "*?["):
                done = [f"{folder}/{part}" for folder in done]
                continue
            found = []
            for folder in done:
                self.parents.add(folder or "/")
                opened = self._open(folder or "/")
                if opened is not None:
                    with opened:
                        names = opened.names()
                    found += [f"{folder}/{name}" for name in names if fnmatch.fnmatchcase(name, part)]
            done = found
        yield from done

    def _root(self, path: str, entry: Entry) -> Iterator[Copy]:
        """Yield the copies of an environment, or of a folder of packages."""
        folder = self._open(path)
        if folder is None:
            return
        with folder:
            if any(folder.status(mark) is not None for mark in MARKS):
                yield from self._environment(folder, path, entry)
            else:
                yield from self._site(folder, path, None, entry)

    def _environment(self, folder: Folder, path: str, entry: Entry) -> Iterator[Copy]:
        # lib64 is a link to lib in a virtual environment, and is not followed: no copy is found twice.
        library = folder.sub("lib")
        if library is None:
            return
        with library:
            self.looked.setdefault(f"{path}/lib", os.fstat(library.handle))
            versions = [name for name in library.names() if fnmatch.fnmatchcase(name, "python3*")]
        for version in versions:
            place = f"{path}/lib/{version}/site-packages"
            site = self._open(place)
            if site is not None:
                with site:
                    yield from self._site(site, place, path, entry)

    def _site(self, site: Folder, path: str, environment: str | None, entry: Entry) -> Iterator[Copy]:
        status = os.fstat(site.handle)
        if (status.st_dev, status.st_ino) in self._known:
            return
        # Named by its real path, so that a copy which two links lead to is one.
        copy = Copy(f"{site.path}/{self.file}", None, self._python_of(path, environment), environment, entry.origin)
        try:
            with self.tree.folder(copy.folder) as folder:
                there = folder.status(copy.name) is not None
        except (OSError, PatchError, OutsideError):
            there = False
        if there:
            self._known.add((status.st_dev, status.st_ino))
            yield copy

    def _searched(self, path: str, entry: Entry) -> Iterator[Copy]:
        """Walk a folder for environments: no links, no other file system, ``DEPTH`` folders down."""
        top = self._open(path)
        if top is None:
            return
        with top:
            yield from self._walk(top, path, os.fstat(top.handle).st_dev, 0, entry)

    def _walk(self, folder: Folder, path: str, device: int, depth: int, entry: Entry) -> Iterator[Copy]:
        environment = any(folder.status(mark) is not None for mark in MARKS)
        if environment:
            yield from self._environment(folder, path, entry)
        if depth == DEPTH:
            return
        # Inside an environment there are further ones only where conda keeps them.
        for name in ["envs"] if environment else folder.names():
            status = None if name in NEVER else folder.status(name)
            if status is None or not stat.S_ISDIR(status.st_mode) or status.st_dev != device:
                continue
            below = self._open(f"{path}/{name}")
            if below is not None:
                with below:
                    yield from self._walk(below, f"{path}/{name}", device, depth + 1, entry)

    def _allowed(self, copy: Copy) -> bool:
        """Say whether a found copy is this user's matter: what he may write to."""
        return self.tree.user == 0 or os.access(
            self.tree.at(copy.folder), os.W_OK, effective_ids=True
        ) or copy.path.startswith(self.home + "/")  # fmt: skip

    # -- interpreters ----------------------------------------------------------------------------------------------

    def _environment_of(self, site: str) -> str | None:
        """Return the environment that a site-packages folder belongs to, if it belongs to one."""
        top = os.path.dirname(os.path.dirname(os.path.dirname(site)))
        found = set(MARKS) & set(self.tree.names(top))
        return top if found and os.path.basename(site) == "site-packages" else None

    def _python_of(self, site: str, environment: str | None) -> str | None:
        """Return the interpreter that has this folder on its path."""
        if environment is not None:
            candidates = [f"{environment}/bin/python", f"{environment}/bin/python3"]
        else:
            parent = os.path.dirname(site)
            version = os.path.basename(parent)
            if not version.startswith("python3"):
                return None
            base = os.path.dirname(os.path.dirname(parent))
            tops = [base, "/usr", "/usr/local"] if base not in {"/usr/local", "/usr"} else ["/usr", "/usr/local"]
            candidates = [f"{top}/bin/{version}" for top in tops]
        return next((name for name in candidates if os.access(self.tree.at(name), os.X_OK)), None)
