"""The structures of an x86 ELF file as tables of numbers, fast enough for half a million symbols.

Read by the System V ABI (chapters 4 and 5) and the LSB's "Exception Frames". Whatever a file claims, no more is read
than it has, so that a hostile one costs no more memory than its own size.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

MAGIC: Final = b"\x7fELF"

EM_386: Final = 3
EM_X86_64: Final = 62
_MACHINES = {
    2: "SPARC", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S/390", 40: "ARM", 43: "SPARC v9", 183: "AArch64",
    190: "NVIDIA GPUs", 224: "AMD GPUs", 243: "RISC-V", 247: "BPF", 258: "LoongArch",
}  # fmt: skip

ET_REL: Final = 1
ET_EXEC: Final = 2
_ET_DYN = 3
_ET_CORE = 4

SHT_PROGBITS: Final = 1
SHT_SYMTAB: Final = 2
SHT_RELA: Final = 4
SHT_NOBITS: Final = 8
SHT_REL: Final = 9
SHT_DYNSYM: Final = 11
SHT_INIT_ARRAY: Final = 14
SHT_PREINIT_ARRAY: Final = 16
SHT_RELR: Final = 19
SHF_ALLOC: Final = 2
SHF_EXECINSTR: Final = 4
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_GNU_EH_FRAME = 0x6474E550
_PF_X = 1

_DT_PLTRELSZ, _DT_PLTGOT, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_INIT = 2, 3, 5, 6, 7, 8, 12
_DT_REL, _DT_RELSZ, _DT_PLTREL, _DT_JMPREL, _DT_INIT_ARRAY, _DT_INIT_ARRAYSZ = 17, 18, 20, 23, 25, 27
_DT_PREINIT_ARRAY, _DT_PREINIT_ARRAYSZ, _DT_RELRSZ, _DT_RELR = 32, 33, 35, 36

R_RELATIVE: Final = 8
"""R_X86_64_RELATIVE and R_386_RELATIVE."""

_DISTANCES = 0x1B
"""DW_EH_PE_pcrel | DW_EH_PE_sdata4: how nearly every file writes the addresses in its unwinding information."""
_DISTANCE_AND_SIZE = struct.Struct("<iI")

DAMAGED: Final = (struct.error, ValueError, IndexError, OverflowError)
"""What reading a damaged file raises, besides `NotAudited`."""


class NotAudited(Exception):  # noqa: N818 -- an outcome, told as a note
    """A file has no code that can be audited; the text says why."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section, or the part of a segment that stands for one.

    Attributes:
        name: Its name.
        kind: SHT_*.
        flags: SHF_*.
        address: Where it is loaded. Objects (ET_REL) are not loaded: there it is the place in the file, so that
            addresses are unique.
        offset: Where it is in the file.
        size: Its bytes.
        link: The number of the section that it refers to.
        info: The number of the section that it is about.
        step: Bytes of one entry of a table.
    """

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int = 0
    info: int = 0
    step: int = 0

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.size

    @property
    def is_stubs(self) -> bool:
        """Whether it is a procedure linkage table: jumps to functions of other files, and nothing else."""
        return self.name.startswith(".plt")


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: PT_* and PF_*, addresses and bytes as there."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int


def is_initial(section: Section) -> bool:
    """Return whether a section has the addresses of functions that run when the file is loaded."""
    return section.kind in (SHT_INIT_ARRAY, SHT_PREINIT_ARRAY) or section.name.startswith(".ctors")


class Layout:
    """An open ELF file for x86.

    Attributes:
        bits: The size of addresses in its tables: 64 or 32.
        mode: How its instructions are decoded: 64 or 32.
        kind: ET_*.
        entry: Where a program starts, 0 if nowhere.
        sections: All of its sections, by number.
        segments: All of its program headers.
        mapping: Its bytes.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            NotAudited: It is no code for x86 processors.
        """
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                raise NotAudited("not an ELF file")
            self.mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read_headers()
        except NotAudited:
            self.close()
            raise
        except DAMAGED as error:
            self.close()
            raise NotAudited(f"damaged: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.mapping.close()

    def _read_headers(self) -> None:
        data = self.mapping
        if data[:4] != MAGIC:
            raise NotAudited("not an ELF file")
        if len(data) < 52:  # noqa: PLR2004 -- the smaller header's size
            raise NotAudited("damaged: it ends in its header")
        order = {1: "<", 2: ">"}.get(data[5])
        if order is None or data[4] not in (1, 2):
            raise NotAudited("damaged: no byte order or no word size")
        self.bits = 32 * data[4]
        self.kind, machine = struct.unpack_from(f"{order}HH", data, 16)
        if machine not in (EM_386, EM_X86_64) or order == ">":
            raise NotAudited(f"code for {_MACHINES.get(machine, f'machine {machine}')}")
        if self.kind == _ET_CORE:
            raise NotAudited("a core dump")
        if self.kind not in (ET_REL, ET_EXEC, _ET_DYN):
            raise NotAudited(f"damaged: no such kind of file as {self.kind}")
        wide = self.bits == 64  # noqa: PLR2004
        # What the x32 ABI makes is 64-bit code in a 32-bit file.
        self.mode = 64 if machine == EM_X86_64 else 32
        fields = struct.unpack_from("<QQQIHHHHHH" if wide else "<IIIIHHHHHH", data, 24)
        self.entry, segments, sections = fields[:3]
        segment_step, segment_count, section_step, section_count, names = fields[5:]
        self.segments = self._read_segments(segments, segment_step, segment_count, wide=wide)
        self.sections = self._read_sections(sections, section_step, section_count, names, wide=wide)
        self._dynamic = self._read_dynamic()

    def _read_segments(self, offset: int, step: int, count: int, *, wide: bool) -> tuple[Segment, ...]:
        found = []
        for number in range(count):
            place = offset + number * step
            if wide:
                kind, flags, start, address, _, size = struct.unpack_from("<IIQQQQ", self.mapping, place)
            else:
                kind, start, address, _, size, _, flags = struct.unpack_from("<IIIIIII", self.mapping, place)
            found.append(Segment(kind, flags, start, address, max(0, min(size, len(self.mapping) - start))))
        return tuple(found)

    def _read_sections(self, offset: int, step: int, count: int, names: int, *, wide: bool) -> tuple[Section, ...]:
        layout = struct.Struct("<IIQQQQIIQQ" if wide else "<IIIIIIIIII")
        # A file that was cut off has lost its section headers, which stand at the end; segments say what is left.
        if not offset or offset + layout.size > len(self.mapping):
            return ()
        if not count:  # more than 65,279: the first header says how many
            count = layout.unpack_from(self.mapping, offset)[5]
        count = min(count, (len(self.mapping) - offset) // max(step, layout.size))
        rows = [layout.unpack_from(self.mapping, offset + number * step) for number in range(count)]
        if rows and names == 0xFFFF:  # noqa: PLR2004 -- SHN_XINDEX
            names = rows[0][6]
        table = rows[names][4] if names < len(rows) else 0
        found = []
        for name, kind, flags, address, start, size, link, info, _, entry in rows:
            held = 0 if kind == SHT_NOBITS else max(0, min(size, len(self.mapping) - start))
            place = start if self.kind == ET_REL else address
            text = self.text(table + name) if table else ""
            found.append(Section(text, kind, flags, place, start, held, link, info, entry))
        return tuple(found)

    def text(self, offset: int) -> str:
        """Return the string at a place in the file."""
        if offset >= len(self.mapping):
            return ""
        end = self.mapping.find(b"\0", offset)
        return self.mapping[offset : max(end, offset)].decode("utf-8", "replace")

    def string(self, table: int, offset: int) -> str:
        """Return the string at ``offset`` of the string table that is section ``table``."""
        if table >= len(self.sections):
            return ""
        section = self.sections[table]
        return self.text(section.offset + offset) if offset < section.size else ""

    def offset(self, address: int) -> int | None:
        """Return where in the file ``address`` is loaded from, None if from nowhere."""
        if self.kind == ET_REL:
            return address
        for segment in self.segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        return None

    def executable(self) -> tuple[Section, ...]:
        """Return what can be executed, by address: sections, or segments where there are no section headers."""
        # Overlapping sections would be decoded twice; only damaged files have some.
        found = [s for s in self.sections if s.kind == SHT_PROGBITS and s.flags & SHF_EXECINSTR and s.size]
        if not self.sections:
            found = [
                Section("", SHT_PROGBITS, SHF_EXECINSTR, segment.address, segment.offset, segment.size)
                for segment in self.segments
                if segment.kind == _PT_LOAD and segment.flags & _PF_X and segment.size
            ]
        kept: list[Section] = []
        for section in sorted(found, key=lambda section: section.address):
            if not kept or section.address >= kept[-1].end:
                kept.append(section)
        return tuple(kept)

    def symbol_tables(self) -> list[tuple[Section, int]]:
        """Return the tables of symbols, each with the place in the file of its names."""
        found = [
            (section, self.sections[section.link].offset)
            for section in self.sections
            if section.kind in (SHT_SYMTAB, SHT_DYNSYM) and section.link < len(self.sections)
        ]
        tags = self._dynamic
        names, table = self.offset(tags.get(_DT_STRTAB, 0)), tags.get(_DT_SYMTAB, 0)
        # Linkers place the names behind the symbols: nothing else says how many there are.
        if not found and names and table and tags[_DT_STRTAB] > table and (place := self.offset(table)) is not None:
            found.append((Section("", SHT_DYNSYM, SHF_ALLOC, table, place, tags[_DT_STRTAB] - table), names))
        return found

    def initial(self) -> tuple[list[Section], list[int]]:
        """Return the arrays of functions that run when the file is loaded, and the addresses of other such code."""
        if self._dynamic:
            pairs = ((_DT_PREINIT_ARRAY, _DT_PREINIT_ARRAYSZ), (_DT_INIT_ARRAY, _DT_INIT_ARRAYSZ))
            tables = [self._table(SHT_INIT_ARRAY, place, size) for place, size in pairs]
            return [table for table in tables if table is not None], [self._dynamic.get(_DT_INIT, 0)]
        arrays = [section for section in self.sections if is_initial(section)]
        return arrays, [section.address for section in self.sections if section.name == ".init"]

    def relocation_tables(self) -> list[Section]:
        """Return the tables of relocations that are done when the file is loaded, or when it is linked if an object."""
        if self._dynamic:
            linked = SHT_RELA if self._dynamic.get(_DT_PLTREL) == _DT_RELA else SHT_REL
            tables = (
                self._table(SHT_RELA, _DT_RELA, _DT_RELASZ),
                self._table(SHT_REL, _DT_REL, _DT_RELSZ),
                self._table(SHT_RELR, _DT_RELR, _DT_RELRSZ),
                self._table(linked, _DT_JMPREL, _DT_PLTRELSZ),
            )
            return [table for table in tables if table is not None]
        linked_later = self.kind == ET_REL
        return [
            section
            for section in self.sections
            if section.kind in (SHT_REL, SHT_RELA) and (section.flags & SHF_ALLOC or linked_later)
        ]

    @property
    def got(self) -> int:
        """What 32-bit position-independent code counts addresses from, 0 if there is none (psABI i386, 3.5.2)."""
        return self._dynamic.get(_DT_PLTGOT, 0) if self.mode == 32 and self.kind == _ET_DYN else 0  # noqa: PLR2004

    def _table(self, kind: int, address: int, size: int) -> Section | None:
        place = self.offset(self._dynamic.get(address, 0))
        if place is None or not self._dynamic.get(address):
            return None
        held = max(0, min(self._dynamic.get(size, 0), len(self.mapping) - place))
        return Section("", kind, SHF_ALLOC, self._dynamic[address], place, held)

    def _read_dynamic(self) -> dict[int, int]:
        segment = next((one for one in self.segments if one.kind == _PT_DYNAMIC), None)
        if segment is None or self.kind == ET_REL:
            return {}
        layout = struct.Struct("<QQ" if self.bits == 64 else "<II")  # noqa: PLR2004
        data = self.mapping[segment.offset : segment.offset + segment.size]
        tags: dict[int, int] = {}
        for tag, value in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
            if not tag:
                break
            tags.setdefault(tag, value)
        return tags

    def symbols(self, section: Section) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Yield name, info, other, section number, value and size of each symbol in a table of symbols."""
        data = self.mapping[section.offset : section.offset + section.size]
        if self.bits == 64:  # noqa: PLR2004
            layout = struct.Struct("<IBBHQQ")
            yield from layout.iter_unpack(data[: len(data) // layout.size * layout.size])
        else:
            layout = struct.Struct("<IIIBBH")
            for name, value, size, info, other, number in layout.iter_unpack(
                data[: len(data) // layout.size * layout.size]
            ):
                yield name, info, other, number, value, size

    def relocations(self, section: Section) -> Iterator[tuple[int, int, int, int | None]]:
        """Yield place, kind, symbol's number and addend of each relocation; None: the addend is at the place."""
        if section.kind == SHT_RELR:
            yield from ((place, R_RELATIVE, 0, None) for place in self._relative(section))
            return
        data = self.mapping[section.offset : section.offset + section.size]
        explicit = section.kind == SHT_RELA
        wide = self.bits == 64  # noqa: PLR2004
        layout = struct.Struct("<" + ("QQ" if wide else "II") + (("q" if wide else "i") if explicit else ""))
        shift, mask = (32, 0xFFFFFFFF) if wide else (8, 0xFF)
        for row in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
            yield row[0], row[1] & mask, row[1] >> shift, row[2] if explicit else None

    def _relative(self, section: Section) -> Iterator[int]:
        """Yield the places of relative relocations, packed as addresses and bitmaps (gABI draft, SHT_RELR)."""
        size = self.bits // 8
        data = self.mapping[section.offset : section.offset + section.size]
        place = 0
        for (entry,) in struct.iter_unpack("<Q" if size == 8 else "<I", data[: len(data) // size * size]):  # noqa: PLR2004
            if entry & 1:
                yield from (place + bit * size for bit in range(8 * size - 1) if entry >> bit + 1 & 1)
                place += (8 * size - 1) * size
            else:
                yield entry
                place = entry + size

    def word(self, address: int) -> int:
        """Return the pointer that the file has at ``address``, 0 if there is none."""
        place = self.offset(address)
        size = self.bits // 8
        if place is None or place + size > len(self.mapping):
            return 0
        return int.from_bytes(self.mapping[place : place + size], "little")

    def unwound(self) -> Iterator[tuple[int, int]]:
        """Yield start and size of each range that .eh_frame says how to unwind: with compilers, of each function."""
        for section in self.sections:
            if section.name == ".eh_frame" and section.kind != SHT_NOBITS:
                yield from self._frames(section.offset, section.address, section.size)
                return
        for segment in self.segments:
            if segment.kind == _PT_GNU_EH_FRAME and self.mapping[segment.offset + 1 : segment.offset + 2] == b"\x1b":
                (distance,) = struct.unpack_from("<i", self.mapping, segment.offset + 4)
                address = segment.address + 4 + distance
                place = self.offset(address)
                if place is not None:
                    yield from self._frames(place, address, len(self.mapping) - place)

    def _frames(self, offset: int, address: int, size: int) -> Iterator[tuple[int, int]]:
        data = self.mapping
        end = min(offset + size, len(data))
        head = struct.Struct("<II")
        encodings: dict[int, int] = {}
        place = offset
        while place + 12 <= end:
            length, owner = head.unpack_from(data, place)
            if not length or length == 0xFFFFFFFF:  # noqa: PLR2004 -- the end, or a form that no linker writes here
                return
            body = place + 8
            if owner:
                common = place + 4 - owner
                encoding = encodings.get(common)
                if encoding is None:
                    encoding = encodings[common] = self._encoding(common)
                found = self._range(encoding, body, body - offset + address)
                if found is not None:
                    yield found
            place += 4 + length

    def _range(self, encoding: int, place: int, address: int) -> tuple[int, int] | None:
        if encoding == _DISTANCES:
            distance, size = _DISTANCE_AND_SIZE.unpack_from(self.mapping, place)
            return distance + address & 2**self.bits - 1, size
        form, relative = encoding & 0x0F, encoding & 0x70
        width = {0x0: self.bits // 8, 0x3: 4, 0xB: 4, 0x4: 8, 0xC: 8}.get(form)
        if width is None or relative not in (0x00, 0x10) or encoding & 0x80:
            return None
        start = int.from_bytes(self.mapping[place : place + width], "little", signed=bool(form & 8))
        size = int.from_bytes(self.mapping[place + width : place + 2 * width], "little")
        return (start + (address if relative else 0)) & (2**self.bits - 1), size

    def _encoding(self, place: int) -> int:
        """Return how pointers are written in the frames of the CIE at ``place``; 0xFF if that cannot be read."""
        if place < 0 or self.mapping[place + 4 : place + 8] != b"\0\0\0\0":
            return 0xFF
        augmentation = self.text(place + 9)
        if not augmentation.startswith("z"):
            return 0xFF if augmentation else 0x00
        place += 9 + len(augmentation) + 1
        for _ in range(2):  # code and data alignment
            place = self._skip_leb128(place)
        place = self._skip_leb128(place) if self.mapping[place : place + 1] else place  # return address register
        place = self._skip_leb128(place)  # bytes of augmentation data
        for letter in augmentation[1:]:
            if letter == "R":
                return self.mapping[place]
            if letter == "L":
                place += 1
            elif letter == "P":
                form = self.mapping[place] & 0x0F
                place += 1 + {0x3: 4, 0xB: 4, 0x4: 8, 0xC: 8, 0x2: 2, 0xA: 2}.get(form, self.bits // 8)
            elif letter != "S":
                return 0xFF
        return 0x00

    def _skip_leb128(self, place: int) -> int:
        while self.mapping[place] & 0x80:
            place += 1
        return place + 1
