"""The dynamic segment of an ELF file, read the way the dynamic linker reads it: by program headers alone.

Section headers are left alone: the dynamic linker does not read them either, they stand at a file's end, and stripped
files have none (System V ABI, chapter 5; symbol versions: LSB Core, "Symbol Versioning").
"""

from __future__ import annotations

import io
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from debtool.elf.stream import RestartableStream

MAGIC = b"\x7fELF"

DAMAGED = (ELFError, ConstructError, UnicodeDecodeError, struct.error)
"""What reading a damaged file raises."""

_DYNAMIC_LIMIT = 2**20
"""Bytes of a dynamic segment, or of notes, that are believed; real ones have a few kilobytes."""

_VERSIONS_LIMIT = 2**20
_SYMBOL_LIMIT = 2**22
"""Dynamic symbols that are believed; torch's largest library has 4 * 10**5."""

_NAME_LIMIT = 2**15
"""Bytes of a string that are believed; mangled names and the run paths that Bazel writes have thousands."""

_CHUNK = 2**16
_CLASS_OFFSET = 4
_SECTION_FIELDS = {1: ((32, 4), (46, 6)), 2: ((40, 8), (58, 6))}
"""By file class (32 bits, 64 bits): where e_shoff is, and where e_shentsize, e_shnum and e_shstrndx are."""

_TABLES = (
    "DT_STRTAB",
    "DT_VERSYM",
    "DT_VERNEED",
    "DT_VERDEF",
    "DT_HASH",
    "DT_GNU_HASH",
    "DT_RELA",
    "DT_REL",
    "DT_JMPREL",
)
"""The tables that linkers place after the symbols."""

_BINDINGS = {1, 2}
"""STB_GLOBAL and STB_WEAK."""

_VERSION_MASK = 0x7FFF
"""The bits of a DT_VERSYM entry that are the version's index; 0 and 1 are no version."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """An ELF file that the dynamic linker loads.

    Attributes:
        elf: It, without its sections.
        stream: Its bytes.
        tags: The values of its dynamic segment by tag, in order.
    """

    elf: Any
    stream: RestartableStream
    tags: Mapping[str, list[int]]

    def offset(self, tag: str) -> int | None:
        """Return where in the file the address in ``tag`` is loaded from, None if there is none."""
        if not self.tags[tag]:
            return None
        found = self._loaded(self.tags[tag][0])
        return None if found is None else found[0]

    def strings(self, offsets: Iterable[int]) -> dict[int, str]:
        """Return the strings at ``offsets`` of the string table, read in ascending order."""
        table = self.offset("DT_STRTAB") or 0
        strings = {}
        window, start = b"", 0
        for offset in sorted(offsets):
            # One window serves the strings that stand close together, so that the stream never has to go back.
            if offset + _NAME_LIMIT > start + len(window):
                kept = window[offset - start :] if offset < start + len(window) else b""
                self.stream.seek(table + offset + len(kept))
                window, start = kept + self.stream.read(_CHUNK - len(kept)), offset
            end = window.find(b"\0", offset - start)
            if end < 0:
                raise ELFError("a string without an end")
            strings[offset] = window[offset - start : end].decode("utf-8")
        return strings

    def needed_versions(self) -> list[tuple[int, int, int]]:
        """Return (library, version, index) of each needed symbol version: offsets in the string table, and its number.

        The number is what DT_VERSYM has for the symbols that ask for it.
        """
        return [
            (need["vn_file"], entry["vna_name"], entry["vna_other"] & _VERSION_MASK)
            for need, entry in self._versions("DT_VERNEED", ("Elf_Verneed", "vn"), ("Elf_Vernaux", "vna"))
        ]

    def defined_versions(self) -> list[int]:
        """Return the names in the file's own symbol versions, as offsets in the string table."""
        entries = self._versions("DT_VERDEF", ("Elf_Verdef", "vd"), ("Elf_Verdaux", "vda"))
        return [entry["vda_name"] for _, entry in entries]

    def _versions(self, tag: str, outer: tuple[str, str], inner: tuple[str, str]) -> Iterator[tuple[Any, Any]]:
        """Yield (entry, auxiliary entry) of a table of versions; of both, the structure and its fields' prefix."""
        offset = self.offset(tag)
        if offset is None:
            return
        (head, of), (tail, below) = outer, inner
        self.stream.seek(offset)
        table = io.BytesIO(self.stream.read(_VERSIONS_LIMIT))
        position = 0
        for _ in range(sum(self.tags[f"{tag}NUM"])):
            entry = struct_parse(getattr(self.elf.structs, head), table, position)
            place = position + entry[f"{of}_aux"]
            for _ in range(entry[f"{of}_cnt"]):
                auxiliary = struct_parse(getattr(self.elf.structs, tail), table, place)
                yield entry, auxiliary
                place += auxiliary[f"{below}_next"]
            if not entry[f"{of}_next"]:
                break
            position += entry[f"{of}_next"]

    def symbols(self) -> set[int]:
        """Return the names of all symbols, as offsets in the string table.

        Nothing says how many symbols there are: numbers behind the last one can be among them.
        """
        return {name for _, name, _, _ in self._symbols(self._room())}

    def undefined_symbols(self) -> list[tuple[int, int]]:
        """Return (name, index) of each undefined symbol: an offset in the string table, and its version's number.

        The number is one of `needed_versions`, or 0 where the symbol asks for no version.
        """
        undefined = {
            number: name
            for number, name, info, section in self._symbols(self._count())
            if not section and name and info >> 4 in _BINDINGS
        }
        versions = self.offset("DT_VERSYM")
        indices: tuple[int, ...] = ()
        if versions is not None and undefined:
            self.stream.seek(versions)
            table = self.stream.read(2 * (max(undefined) + 1))
            indices = struct.unpack_from(f"{self._order}{len(table) // 2}H", table)
        found = []
        for number, name in undefined.items():
            index = indices[number] & _VERSION_MASK if number < len(indices) else 0
            found.append((name, index if index > 1 else 0))
        return found

    def notes(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield owner, type and description of each note that is loaded."""
        header = struct.Struct(f"{self._order}III")
        for segment in self.elf.iter_segments():
            if segment["p_type"] != "PT_NOTE" or segment["p_filesz"] > _DYNAMIC_LIMIT:
                continue
            # Eight only where the segment says so, as for .note.gnu.property (Linux ABI extensions to the gABI).
            align = 8 if segment["p_align"] == 8 else 4  # noqa: PLR2004
            self.stream.seek(segment["p_offset"])
            data = self.stream.read(segment["p_filesz"])
            position = 0
            while position + header.size <= len(data):
                name_size, size, kind = header.unpack_from(data, position)
                name = position + header.size
                start = name + name_size + -(name + name_size) % align
                if start + size > len(data):
                    break
                yield data[name : name + name_size].rstrip(b"\0").decode("latin-1"), kind, data[start : start + size]
                position = start + size + -(start + size) % align

    @property
    def _order(self) -> str:
        return "<" if self.elf.little_endian else ">"

    def _loaded(self, address: int) -> tuple[int, int] | None:
        """Return where in the file ``address`` is loaded from, and where that segment ends; None if nowhere."""
        for segment in self.elf.iter_segments():
            start = segment["p_vaddr"]
            if segment["p_type"] == "PT_LOAD" and start <= address < start + segment["p_filesz"]:
                return segment["p_offset"] + address - start, segment["p_offset"] + segment["p_filesz"]
        return None

    def _count(self) -> int:
        """Return how many symbols there are, or a little more: only DT_HASH says it.

        DT_GNU_HASH does not help: GNU ld lists undefined symbols in it that are not called through the PLT.
        """
        if (offset := self.offset("DT_HASH")) is not None:
            self.stream.seek(offset)
            _, count = struct.unpack(f"{self._order}II", self.stream.read(8))
            return int(count)
        return min(self._room(), _SYMBOL_LIMIT)

    def _room(self) -> int:
        """Return how many symbols there can be: up to the next of the tables that the segment names."""
        tables = [offset for tag in _TABLES if (offset := self.offset(tag)) is not None]
        rooms = []
        for tag, size in (("DT_SYMTAB", self._symbol.size), ("DT_VERSYM", 2)):
            found = self._loaded(self.tags[tag][0]) if self.tags[tag] else None
            if found is not None:
                start, end = found
                rooms.append((min([end, *(table for table in tables if table > start)]) - start) // size)
        return int(min(rooms, default=0))

    @property
    def _symbol(self) -> struct.Struct:
        # st_name, st_info and st_shndx; what stands between them is skipped.
        return struct.Struct(self._order + ("IBxH16x" if self.elf.elfclass == 64 else "I8xBxH"))  # noqa: PLR2004

    def _symbols(self, limit: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield number, name, information and section of the first ``limit`` symbols."""
        table = self.offset("DT_SYMTAB")
        if table is None:
            return
        if limit > _SYMBOL_LIMIT:
            raise ELFError(f"{limit} symbols")
        layout = self._symbol
        step = _CHUNK // layout.size
        for first in range(0, limit, step):
            wanted = min(step, limit - first) * layout.size
            self.stream.seek(table + first * layout.size)
            data = self.stream.read(wanted)
            complete = data[: len(data) // layout.size * layout.size]
            for number, (name, info, section) in enumerate(layout.iter_unpack(complete), first):
                yield number, name, info, section
            if len(data) < wanted:
                break


def read_dynamic(stream: RestartableStream) -> Dynamic | None:
    """Return the dynamic segment of the ELF file in ``stream``.

    None if it has none (objects, static programs) or no string table. A damaged file raises one of `DAMAGED`, here or
    later.
    """
    elf = ELFFile(cast("BinaryIO", _WithoutSections(stream)))
    segment = next((segment for segment in elf.iter_segments() if segment["p_type"] == "PT_DYNAMIC"), None)
    if segment is None or segment["p_filesz"] > _DYNAMIC_LIMIT:
        return None
    dynamic = Dynamic(elf, stream, _tags(elf, segment))
    return None if dynamic.offset("DT_STRTAB") is None else dynamic


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


def _tags(elf: Any, segment: Any) -> defaultdict[str, list[int]]:
    elf.stream.seek(segment["p_offset"])
    table = io.BytesIO(elf.stream.read(segment["p_filesz"]))
    tags: defaultdict[str, list[int]] = defaultdict(list)
    for _ in range(segment["p_filesz"] // elf.structs.Elf_Dyn.sizeof()):
        entry = struct_parse(elf.structs.Elf_Dyn, table)
        if entry["d_tag"] == "DT_NULL":
            break
        tags[str(entry["d_tag"])].append(entry["d_val"])
    return tags
