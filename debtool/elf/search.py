"""Where the dynamic linker finds the libraries that a binary needs, among files that are installed together.

The rules are those of ld.so(8): DT_RPATH of the binary and of those that load it, unless it has a DT_RUNPATH; then its
own DT_RUNPATH; then the system's folders. A library is looked for by file name; one that is loaded already counts by
its DT_SONAME wherever it is.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from posixpath import dirname, normpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from debtool.elf.needs import ElfNeeds


class LibrarySearch:
    """The search in one set of files.

    Args:
        files: What the ELF files say of themselves, by path; all paths are relative to one folder.
    """

    def __init__(self, files: Mapping[str, ElfNeeds]) -> None:
        self._files = files

    def folders(self, path: str) -> Iterator[str]:
        """Yield the folders that are searched for what ``path`` needs, in order, ``$ORIGIN`` expanded.

        Relative ones are below the folder that the files' paths are relative to; ``..`` leads out of it.
        """
        needs = self._files[path]
        if not needs.runpath:
            for loader in (path, *self._loaders[path]):
                for folder in self._files[loader].rpath:
                    yield _expanded(folder, loader)
        for folder in needs.runpath:
            yield _expanded(folder, path)

    def find(self, path: str, soname: str) -> str | None:
        """Return the file that ``path`` gets when it asks for ``soname``, None if no run path leads to one."""
        if "/" in soname:
            found = normpath(_expanded(soname, path))
            return found if found in self._files else None
        candidates = (normpath(f"{folder}/{soname}") for folder in self.folders(path))
        return next((file for file in candidates if file in self._files), None)

    def loaded(self, soname: str) -> str | None:
        """Return a file that serves ``soname`` if it has been loaded before, whatever the run paths say."""
        return self._by_name.get(soname)

    @cached_property
    def _by_name(self) -> dict[str, str]:
        names = {path.rpartition("/")[2]: path for path in sorted(self._files, reverse=True)}
        return names | {needs.soname: path for path, needs in sorted(self._files.items()) if needs.soname}

    @cached_property
    def _loaders(self) -> dict[str, list[str]]:
        """For each file, those that load it, directly or not, and whose DT_RPATH is searched for what it needs."""
        direct: dict[str, set[str]] = defaultdict(set)
        for path, needs in self._files.items():
            if needs.rpath:
                for soname in needs.needed:
                    own = (f"{_expanded(folder, path)}/{soname}" for folder in needs.rpath)
                    found = next((file for file in map(normpath, own) if file in self._files), None)
                    if found is not None and found != path:
                        direct[found].add(path)
        loaders: dict[str, list[str]] = defaultdict(list)
        for path in list(direct):
            waiting = sorted(direct[path])
            while waiting:
                loader = waiting.pop(0)
                if loader not in loaders[path] and loader != path:
                    loaders[path].append(loader)
                    waiting += sorted(direct.get(loader, ()))
        return loaders


def _expanded(folder: str, path: str) -> str:
    """Return a run path's folder with ``$ORIGIN`` as the folder of the binary at ``path`` (ld.so(8))."""
    origin = dirname(path) or "."
    return normpath(folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
