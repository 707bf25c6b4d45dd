"""What an ELF file asks of the system that runs it: shared libraries, symbol versions, run paths.

Section headers are left alone: the dynamic linker does not read them either, they stand at a file's end, and stripped
files have none. Everything comes from the program headers and the dynamic segment (System V ABI, chapter 5; symbol
versions: LSB Core, "Symbol Versioning").
"""

from __future__ import annotations

import io
import struct
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile

from debtool.elf.stream import RestartableStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from debtool.deb.payload import Readable

MAGIC = b"\x7fELF"

_DYNAMIC_LIMIT = 2**20
"""Bytes of a dynamic segment that are believed; real ones have a few kilobytes."""

_VERNEED_LIMIT = 2**20
_NAME_LIMIT = 4096
_CLASS_OFFSET = 4
_SECTION_FIELDS = {1: ((32, 4), (46, 6)), 2: ((40, 8), (58, 6))}
"""By file class (32 bits, 64 bits): where e_shoff is, and where e_shentsize, e_shnum and e_shstrndx are."""


@dataclass(frozen=True, slots=True)
class DlopenNote:
    """Libraries that a program opens at run time and says so in its ``.note.dlopen``.

    Attributes:
        sonames: The libraries, any one of which will do, the preferred first.
        priority: ``required``, ``recommended`` or ``suggested``.
        feature: What it is opened for; empty if the note does not say.
    """

    sonames: tuple[str, ...]
    priority: Literal["required", "recommended", "suggested"]
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
        symbols: The symbols without a version that it asks of others, sorted.
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
    end, and two more times to its string table, which is near the start.
    """
    stream = RestartableStream(reopen, size)
    if stream.read(len(MAGIC)) != MAGIC:
        return None
    stream.seek(0)
    try:
        return _read(ELFFile(cast("BinaryIO", _WithoutSections(stream))))
    except (ELFError, ConstructError, UnicodeDecodeError, struct.error):
        return None


class _WithoutSections:
    """An ELF file whose header says that it has no sections."""

    def __init__(self, stream: RestartableStream) -> None:
        self._stream = stream
        stream.seek(0)
        head = bytearray(stream.read(64))
        stream.seek(0)
        for offset, size in _SECTION_FIELDS.get(head[_CLASS_OFFSET] if len(head) == 64 else 0, ()):  # noqa: PLR2004
            head[offset : offset + size] = bytes(size)
        self._head = bytes(head)
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1, /) -> bytes:
        position = self._stream.tell()
        data = self._stream.read(size)
        if position >= len(self._head):
            return data
        head = self._head[position : position + len(data)]
        return head + data[len(head) :]


def _read(elf: Any) -> ElfNeeds | None:
    segment = next((segment for segment in elf.iter_segments() if segment["p_type"] == "PT_DYNAMIC"), None)
    if segment is None or segment["p_filesz"] > _DYNAMIC_LIMIT:
        return None
    tags = _dynamic_tags(elf, segment)
    table = _file_offset(elf, tags["DT_STRTAB"])
    if table is None:
        return None
    wanted = _version_offsets(elf, _file_offset(elf, tags["DT_VERNEED"]), sum(tags["DT_VERNEEDNUM"]))
    names = {tag: tags[tag] for tag in ("DT_SONAME", "DT_NEEDED", "DT_RUNPATH", "DT_RPATH")}
    strings = _strings(elf.stream, table, {*chain(*names.values()), *chain(*wanted)})
    versions: dict[str, set[str]] = defaultdict(set)
    for library, version in wanted:
        versions[strings[library]].add(strings[version])
    return ElfNeeds(
        machine=str(elf["e_machine"]),
        bits=elf.elfclass,
        soname=next((strings[offset] for offset in names["DT_SONAME"]), ""),
        needed=tuple(strings[offset] for offset in names["DT_NEEDED"]),
        rpath=() if names["DT_RUNPATH"] else _folders(strings[offset] for offset in names["DT_RPATH"]),
        runpath=_folders(strings[offset] for offset in names["DT_RUNPATH"]),
        versions={library: tuple(sorted(found)) for library, found in sorted(versions.items())},
    )


def _folders(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for text in texts for part in text.split(":") if part)


def _dynamic_tags(elf: Any, segment: Any) -> defaultdict[str, list[int]]:
    """Return the values of the dynamic segment by tag, read at once."""
    elf.stream.seek(segment["p_offset"])
    table = io.BytesIO(elf.stream.read(segment["p_filesz"]))
    tags: defaultdict[str, list[int]] = defaultdict(list)
    for _ in range(segment["p_filesz"] // elf.structs.Elf_Dyn.sizeof()):
        entry = struct_parse(elf.structs.Elf_Dyn, table)
        if entry["d_tag"] == "DT_NULL":
            break
        tags[str(entry["d_tag"])].append(entry["d_val"])
    return tags


def _file_offset(elf: Any, addresses: list[int]) -> int | None:
    """Return where in the file the first of ``addresses`` is loaded from, None if there is none."""
    if not addresses:
        return None
    address = addresses[0]
    for segment in elf.iter_segments():
        start = segment["p_vaddr"]
        if segment["p_type"] == "PT_LOAD" and start <= address < start + segment["p_filesz"]:
            return int(segment["p_offset"] + address - start)
    return None


def _version_offsets(elf: Any, offset: int | None, count: int) -> list[tuple[int, int]]:
    """Return (library, version) of each needed symbol version, as offsets in the string table."""
    if offset is None:
        return []
    elf.stream.seek(offset)
    table = io.BytesIO(elf.stream.read(_VERNEED_LIMIT))
    found = []
    position = 0
    for _ in range(count):
        need = struct_parse(elf.structs.Elf_Verneed, table, position)
        version = position + need["vn_aux"]
        for _ in range(need["vn_cnt"]):
            entry = struct_parse(elf.structs.Elf_Vernaux, table, version)
            found.append((need["vn_file"], entry["vna_name"]))
            version += entry["vna_next"]
        if not need["vn_next"]:
            break
        position += need["vn_next"]
    return found


def _strings(stream: RestartableStream, table: int, offsets: Iterable[int]) -> dict[int, str]:
    """Return the strings at ``offsets`` of the string table, read in ascending order."""
    strings = {}
    window, start = b"", 0
    for offset in sorted(offsets):
        # One window serves the strings that stand close together, so that the stream never has to go back.
        if offset + _NAME_LIMIT > start + len(window):
            kept = window[offset - start :] if offset < start + len(window) else b""
            stream.seek(table + offset + len(kept))
            window, start = kept + stream.read(2 * _NAME_LIMIT - len(kept)), offset
        raw = window[offset - start :].partition(b"\0")[0]
        strings[offset] = raw.decode("utf-8")
    return strings


def elf_files(sizes: Mapping[str, int], open_file: Callable[[str], Readable]) -> dict[str, ElfNeeds]:
    """Return what every ELF file among the files of ``sizes`` (bytes by path) says, by path; see `read_needs`."""
    found = {}
    for path, size in sizes.items():
        needs = read_needs(partial(open_file, path), size)
        if needs is not None:
            found[path] = needs
    return found
