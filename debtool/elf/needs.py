"""What an ELF file asks of the system that runs it: libraries, symbols and their versions, run paths."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from debtool.elf.dynamic import DAMAGED, MAGIC, Dynamic, read_dynamic
from debtool.elf.stream import RestartableStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from debtool.deb.payload import Readable

Priority = Literal["required", "recommended", "suggested"]

_GLIBC = re.compile(
    r"(?:ld-linux-x86-64|lib(?:c|m|mvec|dl|pthread|rt|util|resolv|anl|nsl|BrokenLocale|thread_db|crypt_r))\.so\.[0-9]+"
)
"""Libraries that are glibc's own (package libc6); libcrypt is not."""

_CXX_RUNTIME = {"libstdc++.so.6", "libgcc_s.so.1"}
_DLOPEN_NOTE = ("FDO", 0x407C0C0A)
_PRIORITIES: tuple[Priority, ...] = ("required", "recommended", "suggested")


@dataclass(frozen=True, slots=True)
class DlopenNote:
    """Libraries that a program opens at run time and says so in its ``.note.dlopen``.

    Attributes:
        sonames: The libraries, any one of which will do, the preferred first.
        priority: ``required``, ``recommended`` or ``suggested``.
        feature: What it is opened for; empty if the note does not say.
    """

    sonames: tuple[str, ...]
    priority: Priority
    feature: str = ""


@dataclass(frozen=True, slots=True)
class ElfNeeds:
    """What one ELF file says of itself.

    Attributes:
        machine: Its architecture, such as ``EM_X86_64``.
        bits: 32 or 64.
        soname: Its own DT_SONAME, empty if it has none.
        needed: The libraries in DT_NEEDED, in order.
        rpath: DT_RPATH, split at colons; empty if there is a DT_RUNPATH, which makes the linker ignore it.
        runpath: DT_RUNPATH, split at colons.
        versions: The symbol versions that it asks of each library.
        symbols: The symbols that it asks of others, sorted; ``name@VERSION`` where it asks for a version.
        dlopen: The libraries that its notes say it opens at run time.
    """

    machine: str
    bits: int
    soname: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    symbols: tuple[str, ...] = ()
    dlopen: tuple[DlopenNote, ...] = ()


def read_needs(reopen: Callable[[], Readable], size: int) -> ElfNeeds | None:
    """Return what a file of ``size`` bytes says; ``reopen`` gives its contents from the start each time it is called.

    None if it is no ELF file, or one that the dynamic linker does not load (objects, static programs, damaged files).
    Memory is constant; a compressed file is inflated about once to its dynamic segment, which linkers place near the
    end, and two or three more times to its symbols and strings, which are near the start.
    """
    stream = RestartableStream(reopen, size)
    if stream.read(len(MAGIC)) != MAGIC:
        return None
    stream.seek(0)
    try:
        dynamic = read_dynamic(stream)
        return None if dynamic is None else _read(dynamic)
    except DAMAGED:
        return None


def _read(dynamic: Dynamic) -> ElfNeeds:
    notes = tuple(chain.from_iterable(_dlopen(text) for *kind, text in dynamic.notes() if tuple(kind) == _DLOPEN_NOTE))
    symbols = dynamic.undefined_symbols()
    wanted = dynamic.needed_versions()
    names = {tag: dynamic.tags[tag] for tag in ("DT_SONAME", "DT_NEEDED", "DT_RUNPATH", "DT_RPATH")}
    places = {place for library, version, _ in wanted for place in (library, version)}
    strings = dynamic.strings({*chain(*names.values()), *places, *(name for name, _ in symbols)})
    versions: dict[str, set[str]] = defaultdict(set)
    for library, version, _ in wanted:
        versions[strings[library]].add(strings[version])
    suffixes = {0: ""} | {index: f"@{strings[version]}" for _, version, index in wanted}
    return ElfNeeds(
        machine=str(dynamic.elf["e_machine"]),
        bits=dynamic.elf.elfclass,
        soname=next((strings[offset] for offset in names["DT_SONAME"]), ""),
        needed=tuple(strings[offset] for offset in names["DT_NEEDED"]),
        rpath=() if names["DT_RUNPATH"] else _folders(strings[offset] for offset in names["DT_RPATH"]),
        runpath=_folders(strings[offset] for offset in names["DT_RUNPATH"]),
        versions={library: tuple(sorted(found)) for library, found in sorted(versions.items())},
        symbols=tuple(sorted({strings[name] + suffixes.get(index, "") for name, index in symbols})),
        dlopen=notes,
    )


def _folders(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for text in texts for part in text.split(":") if part)


def _dlopen(text: bytes) -> list[DlopenNote]:
    """Return what a ``.note.dlopen`` says, nothing if any of it is malformed.

    UAPI.8, "dlopen() Metadata for ELF Files": a JSON array; without a priority, "recommended" is assumed.
    """
    try:
        entries: Any = json.loads(text.rstrip(b"\0").decode("utf-8"))
        if not isinstance(entries, list):
            return []
        return [
            DlopenNote(_sonames(entry["soname"]), _priority(entry.get("priority")), _text(entry.get("feature", "")))
            for entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _sonames(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise TypeError("no list of sonames")
    return tuple(_text(name) for name in value)


def _priority(value: object) -> Priority:
    for priority in _PRIORITIES:
        if value == priority:
            return priority
    if value is not None:
        raise ValueError(value)
    return "recommended"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def elf_files(sizes: Mapping[str, int], open_file: Callable[[str], Readable]) -> dict[str, ElfNeeds]:
    """Return what every ELF file among the files of ``sizes`` (bytes by path) says, by path; see `read_needs`.

    Symbols without a version are kept only where somebody asks for them: for files that need a library which is neither
    among the files, by file name or soname, nor the C or C++ runtime, whose symbols all have versions.
    """
    found = {}
    for path, size in sizes.items():
        needs = read_needs(partial(open_file, path), size)
        if needs is not None:
            found[path] = needs
    inside = {path.rpartition("/")[2] for path in sizes} | {needs.soname for needs in found.values()} | _CXX_RUNTIME
    return {
        path: needs
        if any(name not in inside and not _GLIBC.fullmatch(name) for name in needs.needed)
        else replace(needs, symbols=tuple(name for name in needs.symbols if "@" in name))
        for path, needs in found.items()
    }
