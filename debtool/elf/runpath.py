"""Other folders in a binary's run path, without moving a byte of it.

The new path is as long as the old one: slashes between components count as one (POSIX, "Pathname Resolution"), so a
shorter folder is filled up with them. Nothing else in the file changes, which tools that lengthen run paths cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.elf.dynamic import DAMAGED, MAGIC, Dynamic, read_dynamic
from debtool.elf.stream import RestartableStream
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from debtool.deb.payload import Readable

_BEFORE = 2**15
"""Bytes before a run path that are searched for the start of a string that it is the end of."""

_STRING_TAGS = ("DT_NEEDED", "DT_SONAME", "DT_AUXILIARY", "DT_FILTER", "DT_CONFIG", "DT_DEPAUDIT", "DT_AUDIT")


@dataclass(frozen=True, slots=True)
class RunPathEdit:
    """Bytes of a file that become others.

    Attributes:
        offset: Where they are.
        data: What stands there instead, as many bytes.
    """

    offset: int
    data: bytes


def run_path_edits(
    reopen: Callable[[], Readable], size: int, folders: Mapping[str, str], *, name: str
) -> tuple[RunPathEdit, ...]:
    """Return what makes ``folders`` (absolute, new by old) those of a file's DT_RUNPATH and DT_RPATH.

    The file has ``size`` bytes, ``reopen`` gives its contents from the start each time it is called. A folder stands
    for those below it too; of several that fit, the longest counts. Nothing for files that have no run path, or none of
    the folders in it.

    Raises:
        InputError: A new folder is longer than the old one, or another string of the file is in the same bytes
            (linkers let strings share their ends), or nobody can tell, as the file is damaged; ``name`` is what the
            file is called there.
    """
    for old, new in folders.items():
        _check(old, new, name)
    stream = RestartableStream(reopen, size)
    if stream.read(len(MAGIC)) != MAGIC:
        return ()
    stream.seek(0)
    try:
        dynamic = read_dynamic(stream)
        return () if dynamic is None else _edits(dynamic, folders, name)
    except DAMAGED:
        return ()


class EditedReadable:
    """A file with edits applied while it is read from its start."""

    def __init__(self, stream: Readable, edits: Iterable[RunPathEdit]) -> None:
        self._stream = stream
        self._edits = tuple(edits)
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if negative."""
        data = bytearray(self._stream.read(size))
        start, end = self._position, self._position + len(data)
        for edit in self._edits:
            first, last = max(edit.offset, start), min(edit.offset + len(edit.data), end)
            if first < last:
                data[first - start : last - start] = edit.data[first - edit.offset : last - edit.offset]
        self._position = end
        return bytes(data)


def _check(old: str, new: str, name: str) -> None:
    problem = ""
    for folder in (old, new):
        if not folder.startswith("/") or not folder.rstrip("/") or ":" in folder or "\0" in folder:
            problem = f"{folder!r} is no absolute folder that a run path can have"
    if len(new.rstrip("/").encode()) > len(old.rstrip("/").encode()):
        problem = f"{new} is longer than {old}, and a run path keeps its length"
    if problem:
        raise InputError(Issue(problem, fix="name another folder, or make a symbolic link to it", field=name))


def _edits(dynamic: Dynamic, folders: Mapping[str, str], name: str) -> tuple[RunPathEdit, ...]:
    places = [*dynamic.tags["DT_RUNPATH"], *dynamic.tags["DT_RPATH"]]
    texts = {place: text.encode() for place, text in dynamic.strings(set(places)).items()}
    wanted = {place: _rewritten(text, folders) for place, text in texts.items()}
    changes: dict[int, int] = {}
    for place, text in texts.items():
        changes |= {place + i: wanted[place][i] for i, byte in enumerate(text) if wanted[place][i] != byte}
    if not changes:
        return ()
    for place, text in texts.items():
        if any(changes.get(place + i, byte) != wanted[place][i] for i, byte in enumerate(text)):
            raise _shared(name, text)
    try:
        others = _other_strings(dynamic)
    except DAMAGED as error:
        problem = f"has the run path {next(iter(texts.values())).decode()}, but damaged tables ({error})"
        raise InputError(Issue(problem, fix="take another copy of the file", field=name)) from error
    table = dynamic.offset("DT_STRTAB") or 0
    for place, text in texts.items():
        changed = [i for i in range(len(text)) if place + i in changes]
        if changed and any(_start(dynamic, table, place) <= other <= place + changed[-1] for other in others):
            raise _shared(name, text)
    return _runs(table, changes)


def _other_strings(dynamic: Dynamic) -> set[int]:
    """Return where all strings but run paths begin."""
    strings = {place for tag in _STRING_TAGS for place in dynamic.tags[tag]}
    strings |= {place for library, version, _ in dynamic.needed_versions() for place in (library, version)}
    return strings | {*dynamic.defined_versions()} | dynamic.symbols()


def _rewritten(text: bytes, folders: Mapping[str, str]) -> bytes:
    """Return a run path with other folders and the same length."""
    return ":".join(rewritten_folder(folder, folders) for folder in text.decode().split(":")).encode()


def rewritten_folder(folder: str, folders: Mapping[str, str]) -> str:
    """Return a run path's folder as `run_path_edits` writes it: another one, filled with slashes to the same length.

    >>> rewritten_folder("/opt/rocm-6.3.4/lib", {"/opt/rocm-6.3.4/lib": "/opt/rocm/lib"})
    '/opt/rocm///////lib'
    """
    for old, new in sorted(folders.items(), key=lambda item: -len(item[0])):
        before, after = old.rstrip("/"), new.rstrip("/")
        if folder == before or folder.startswith(f"{before}/"):
            # Before the last component, so that what the folder ends with stays where it is.
            parent, _, last = after.rpartition("/")
            filled = "/" * (len(before.encode()) - len(after.encode()) + 1)
            return parent + filled + last + folder[len(before) :]
    return folder


def _start(dynamic: Dynamic, table: int, place: int) -> int:
    """Return the first place whose string goes on into the one at ``place``."""
    first = max(place - _BEFORE, 0)
    dynamic.stream.seek(table + first)
    return first + dynamic.stream.read(place - first).rfind(b"\0") + 1


def _runs(table: int, changes: Mapping[int, int]) -> tuple[RunPathEdit, ...]:
    """Return neighbouring changes as one edit each."""
    edits: list[RunPathEdit] = []
    for place in sorted(changes):
        if edits and edits[-1].offset + len(edits[-1].data) == table + place:
            edits[-1] = RunPathEdit(edits[-1].offset, edits[-1].data + bytes([changes[place]]))
        else:
            edits.append(RunPathEdit(table + place, bytes([changes[place]])))
    return tuple(edits)


def _shared(name: str, text: bytes) -> InputError:
    problem = f"the run path {text.decode()} shares its bytes with another string of the file"
    return InputError(Issue(problem, fix="keep this run path, or link the file again", field=name))
