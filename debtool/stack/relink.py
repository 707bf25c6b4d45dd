"""Run paths that the stack wants otherwise: in what is resolved, and in the files as they pass into the package."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from debtool.elf.runpath import EditedReadable, rewritten_folder, run_path_edits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.deb.payload import Readable, Sink
    from debtool.elf.needs import ElfNeeds
    from debtool.elf.runpath import RunPathEdit
    from debtool.wheel.payload import Layout
    from debtool.wheel.source import Wheel


def relinked(files: Mapping[str, ElfNeeds], folders: Mapping[str, str]) -> dict[str, ElfNeeds]:
    """Return what ``files`` (by path) say once ``folders`` (new by old) are rewritten in their run paths."""
    return {
        path: replace(
            needs,
            rpath=tuple(rewritten_folder(folder, folders) for folder in needs.rpath),
            runpath=tuple(rewritten_folder(folder, folders) for folder in needs.runpath),
        )
        for path, needs in files.items()
    }


class RelinkingSink:
    """Passes a wheel's files on, with other folders in the run paths of its ELF files."""

    def __init__(
        self, sink: Sink, wheel: Wheel, layout: Layout, files: Mapping[str, ElfNeeds], folders: Mapping[str, str]
    ) -> None:
        """Find what changes in which of ``files`` (by path in the wheel); see `run_path_edits` for what it raises."""
        self._sink = sink
        self._edits: dict[str, tuple[RunPathEdit, ...]] = {}
        for path, needs in relinked(files, folders).items():
            if needs != files[path]:
                edits = run_path_edits(partial(wheel.open, path), wheel.sizes[path], folders, name=path)
                self._edits[layout.installed(path, wheel.data_dir)] = edits

    def add_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Pass it on."""
        self._sink.add_directory(path, mode=mode)

    def add_file(self, path: str, stream: Readable, size: int, *, mode: int = 0o644) -> None:
        """Pass it on, with its edits."""
        edits = self._edits.get(path)
        self._sink.add_file(path, EditedReadable(stream, edits) if edits else stream, size, mode=mode)

    def add_symlink(self, path: str, target: str) -> None:
        """Pass it on."""
        self._sink.add_symlink(path, target)
