"""An ELF file for audits: where its functions are, what they are called, and from where they can be entered."""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from debtool.audit.layout import (
    DAMAGED,
    ET_EXEC,
    ET_REL,
    PT_DYNAMIC,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_DYNSYM,
    SHT_INIT_ARRAY,
    SHT_NOBITS,
    SHT_PREINIT_ARRAY,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    Layout,
    NotAudited,
    Section,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

ENTRY_KINDS: Final = ("exported", "init", "ifunc", "address")
"""Why a function can be entered from outside of the call graph; the bits of an entry's mask, the lowest first."""
EXPORTED, INIT, IFUNC, ADDRESS = 1, 2, 4, 8

_NOTYPE, _OBJECT, _FUNC, _FILE, _GNU_IFUNC = 0, 1, 2, 4, 10
_BINDINGS = {0: "local", 1: "global", 2: "weak", 10: "unique"}
_STRENGTH = {1: 0, 10: 1, 2: 2, 0: 3}
"""Of several names for one function the strongest is shown: global, unique, weak, local; by STB_*."""

_VISIBLE = (0, 3)
"""STV_DEFAULT and STV_PROTECTED."""
_RESERVED = 0xFF00
"""SHN_LORESERVE: section numbers from here on are none."""

_RELATIVE, _JUMP_SLOT = 8, 7
_IRELATIVE = {64: 37, 32: 42}
_SYMBOLIC = (1, 6)
"""R_X86_64_64 or R_386_32, and R_*_GLOB_DAT: the symbol's address."""
_PC_RELATIVE = (2, 4)
"""R_X86_64_PC32 and R_X86_64_PLT32; R_386_PC32 and R_386_PLT32 have the same numbers."""
_FROM_GOT = {64: (9, 41, 42), 32: (3, 43)}
"""R_X86_64_GOTPCREL, GOTPCRELX and REX_GOTPCRELX; R_386_GOT32 and GOT32X."""

_DT_PLTRELSZ, _DT_PLTGOT, _DT_RELA, _DT_RELASZ, _DT_INIT, _DT_REL, _DT_RELSZ = 2, 3, 7, 8, 12, 17, 18
_DT_PLTREL, _DT_JMPREL, _DT_INIT_ARRAY, _DT_INIT_ARRAYSZ = 20, 23, 25, 27
_DT_PREINIT_ARRAY, _DT_PREINIT_ARRAYSZ, _DT_RELRSZ, _DT_RELR = 32, 33, 35, 36
_DT_SYMTAB, _DT_STRTAB = 6, 5

_JUMP_THROUGH = re.compile(rb"\xff([\x25\xa3])(....)", re.DOTALL)
"""``jmp *slot`` of a procedure linkage table: a slot by its address or distance, or from the GOT's register."""

_DATA = 0x20
_EXPORTED_MARK = 0x40
_BINDING_BITS = 0x0F
_NAMED = 0x80


@dataclass(frozen=True, slots=True)
class Function:
    """One function of an ELF file, or code that no symbol names.

    Attributes:
        start: The virtual address that it starts at.
        end: The virtual address behind it.
        symbol: Its symbol, as the file has it; empty if none is known.
        unit: The compile unit (STT_FILE) of its local symbol, empty if it has none.
        section: The section that it is in.
        binding: ``local``, ``global``, ``weak`` or ``unique``; empty without a symbol.
        exported: Whether other files can be linked to it.
    """

    start: int
    end: int
    symbol: str
    unit: str
    section: str
    binding: str
    exported: bool


class FunctionTable(Mapping[int, Function]):
    """The functions of a file by where they start, in ascending order; each is made when it is asked for.

    They do not overlap. Between them there can be padding, and data.

    Attributes:
        starts: Their addresses.
        ends: The addresses behind them.
    """

    def __init__(self, layout: Layout, sections: tuple[Section, ...]) -> None:
        self.starts = array("Q")
        self.ends = array("Q")
        self._names = array("Q")  # where in the file the name is, 0 if there is none
        self._units = array("Q")
        self._marks = bytearray()
        self._layout = layout
        self._sections = sections
        self._places = [section.address for section in sections]

    def append(self, start: int, end: int, name: int, unit: int, mark: int) -> None:
        """Add the next function."""
        self.starts.append(start)
        self.ends.append(end)
        self._names.append(name)
        self._units.append(unit)
        self._marks.append(mark)

    def insert(self, pieces: Iterable[tuple[int, int]]) -> None:
        """Add code that nothing names: (start, end) between the functions that there are."""
        rows = [*zip(self.starts, self.ends, self._names, self._units, self._marks, strict=True)]
        rows += [(start, end, 0, 0, 0) for start, end in pieces]
        rows.sort()
        empty = FunctionTable(self._layout, self._sections)
        for row in rows:
            empty.append(*row)
        self.starts, self.ends, self._marks = empty.starts, empty.ends, empty._marks  # noqa: SLF001 -- its own kind
        self._names, self._units = empty._names, empty._units  # noqa: SLF001

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[int]:
        return iter(self.starts)

    def __getitem__(self, start: int) -> Function:
        row = self.row(start)
        if row is None or self.starts[row] != start:
            raise KeyError(start)
        mark, name, unit = self._marks[row], self._names[row], self._units[row]
        return Function(
            start=start,
            end=self.ends[row],
            symbol=self._layout.text(name) if name else "",
            unit=self._layout.text(unit) if unit else "",
            section=self._sections[bisect_right(self._places, start) - 1].name,
            binding=_BINDINGS.get(mark & _BINDING_BITS, "") if mark & _NAMED else "",
            exported=bool(mark & _EXPORTED_MARK),
        )

    def row(self, address: int) -> int | None:
        """Return the number of the function that ``address`` is in, None if it is in none."""
        row = bisect_right(self.starts, address) - 1
        return row if row >= 0 and address < self.ends[row] else None

    def containing(self, address: int) -> int | None:
        """Return the start of the function that ``address`` is in, None if it is in none."""
        row = self.row(address)
        return None if row is None else self.starts[row]

    def objects(self) -> frozenset[int]:
        """Return the starts of those that are no code but objects, as their symbols say."""
        return frozenset(start for start, mark in zip(self.starts, self._marks, strict=True) if mark & _DATA)


class Image:
    """An open ELF file for x86.

    Attributes:
        layout: Its structures.
        bits: How instructions are decoded: 64 or 32.
        sections: What can be executed, by address.
        functions: Its functions.
        symbols: Where their names came from: ``symtab``, ``dynsym`` or ``none``.
        entries: By the start of a function, a mask of why it can be entered from outside (see `ENTRY_KINDS`).
        stubs: The functions that stubs of the procedure linkage table lead to, by the stubs' addresses; 0 where that
            is in another file.
        slots: The functions that slots of the global offset table lead to, by the slots' addresses.
        got: What 32-bit position-independent code counts addresses from, 0 if there is none.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            NotAudited: It is no ELF file, is for another processor, has no code or is damaged; the text says which.
        """
        self.layout = Layout(path)
        try:
            self._read()
        except DAMAGED as error:
            self.close()
            raise NotAudited(f"damaged: {error}") from error
        except NotAudited:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.layout.close()

    def _read(self) -> None:
        self.bits = self.layout.mode
        self.sections = self.layout.executable()
        if not self.sections:
            raise NotAudited("no code")
        self._places = [section.address for section in self.sections]
        self._ends = [section.end for section in self.sections]
        self.functions = FunctionTable(self.layout, self.sections)
        self.symbols = "none"
        self.entries: dict[int, int] = {}
        self.slots: dict[int, int] = {}
        self.got = 0
        self._values: dict[int, array[int]] = {}
        self._find_functions()
        self._find_entries()
        self.stubs = dict(self._find_stubs())

    def section_of(self, address: int) -> Section | None:
        """Return the executable section that ``address`` is in."""
        number = bisect_right(self._places, address) - 1
        return self.sections[number] if number >= 0 and address < self._ends[number] else None

    def code(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of code at a place in the file."""
        return self.layout.mapping[offset : offset + size]

    # --- functions --------------------------------------------------------------------------------------------------

    def _find_functions(self) -> None:
        rows: dict[int, tuple[int, int, int, int]] = {}  # start: strength, -size, name, mark
        units: dict[int, int] = {}
        loose: dict[int, tuple[int, int]] = {}
        for section in self.layout.sections:
            if section.kind in (SHT_SYMTAB, SHT_DYNSYM):
                found = self._read_symbols(section, rows, units, loose)
                if found and self.symbols != "symtab":
                    self.symbols = "symtab" if section.kind == SHT_SYMTAB else "dynsym"
        ends = self._covered(rows)
        # Labels without a type are functions where no function is: hand-written code often has nothing better.
        for start, (name, binding) in loose.items():
            if not _within(ends, start):
                rows.setdefault(start, (_STRENGTH.get(binding, 3), 0, name, binding | _NAMED))
        for start, size in self.layout.unwound():
            section = self.section_of(start)
            if section is None or section.name.startswith(".plt"):
                continue
            if start in rows:
                strength, held, name, mark = rows[start]
                rows[start] = (strength, held or -size, name, mark)
            elif not _within(ends, start):
                rows[start] = (9, -size, 0, 0)
        self._fill(rows, units)

    def _read_symbols(
        self,
        table: Section,
        rows: dict[int, tuple[int, int, int, int]],
        units: dict[int, int],
        loose: dict[int, tuple[int, int]],
    ) -> bool:
        layout = self.layout
        names = layout.sections[table.link].offset if table.link < len(layout.sections) else 0
        exporting = table.kind == SHT_DYNSYM
        by_section = layout.kind == ET_REL
        low, high = self.sections[0].address, self.sections[-1].end
        unit = 0
        values = array("Q")
        for name, info, other, number, value, size in layout.symbols(table):
            kind = info & 0x0F
            if kind == _FILE:
                unit = names + name if name else 0
            if not 0 < number < _RESERVED:
                values.append(0)
                continue
            if by_section:
                if number >= len(layout.sections):
                    values.append(0)
                    continue
                value += layout.sections[number].address  # noqa: PLW2901 -- the value as everywhere else
            values.append(value & 0xFFFFFFFFFFFFFFFF)
            if kind not in (_NOTYPE, _OBJECT, _FUNC, _GNU_IFUNC) or not low <= value < high:
                continue
            if not name or self.section_of(value) is None:
                continue
            binding = info >> 4
            if kind == _NOTYPE:
                loose.setdefault(value, (names + name, binding))
                continue
            mark = binding & _BINDING_BITS | _NAMED
            if kind == _OBJECT:
                mark |= _DATA
            elif kind == _GNU_IFUNC:
                self.enter(value, IFUNC)
            if exporting and binding and other & 3 in _VISIBLE:
                mark |= _EXPORTED_MARK
                if kind != _OBJECT:
                    self.enter(value, EXPORTED)
            if not binding and unit and value not in units:
                units[value] = unit
            row = (_STRENGTH.get(binding, 3), -size, names + name, mark)
            held = rows.get(value)
            if held is None:
                rows[value] = row
            else:
                strength, negative, text, marks = min(row, held)
                rows[value] = (strength, min(negative, row[1], held[1]), text, marks | (mark | held[3]) & _EXPORTED_MARK)
        self._values[len(self._values)] = values
        if exporting:
            self._dynamic_values = values
        return bool(rows)

    def _covered(self, rows: dict[int, tuple[int, int, int, int]]) -> tuple[array[int], array[int]]:
        """Return starts and ends of the ranges that sized symbols cover, overlaps joined."""
        starts, ends = array("Q"), array("Q")
        for start in sorted(rows):
            end = start - rows[start][1]
            if end == start:
                continue
            if starts and start < ends[-1]:
                ends[-1] = max(ends[-1], min(end, 2**64 - 1))
            else:
                starts.append(start)
                ends.append(min(end, 2**64 - 1))
        return starts, ends

    def _fill(self, rows: dict[int, tuple[int, int, int, int]], units: dict[int, int]) -> None:
        covered = 0
        order = sorted(rows)
        for number, start in enumerate(order):
            section = self.section_of(start)
            if section is None:
                continue
            _, negative, name, mark = rows[start]
            following = min(order[number + 1], section.end) if number + 1 < len(order) else section.end
            # Without a size it reaches to the next one. What an outer function has behind an inner one is the inner
            # one's here: it is one piece of code, and no address is in two functions.
            covered = max(covered, start - negative)
            end = min(covered, following) if negative else following
            self.functions.append(start, max(end, start + 1), name, units.get(start, 0), mark)

    # --- entries ----------------------------------------------------------------------------------------------------

    def enter(self, address: int, kind: int) -> None:
        """Note one more reason why ``address`` can be entered."""
        self.entries[address] = self.entries.get(address, 0) | kind

    def _find_entries(self) -> None:
        layout = self.layout
        if layout.entry and layout.kind != ET_REL:
            self.enter(layout.entry, EXPORTED)
        tables = self._tables()
        arrays = [table for table in tables if table.kind in (SHT_INIT_ARRAY, SHT_PREINIT_ARRAY)]
        relocated: set[int] = set()
        for table in tables:
            if table.kind in (SHT_REL, SHT_RELA):
                self._read_relocations(table, arrays, relocated)
        size = layout.bits // 8
        for table in arrays:
            for address in range(table.address, table.address + table.size // size * size, size):
                if address not in relocated:
                    self.enter(layout.word(address), INIT)
        if layout.kind == ET_EXEC:
            self._find_pointers()
        self.entries = {address: mask for address, mask in self.entries.items() if self.section_of(address) is not None}

    def _tables(self) -> list[Section]:
        """Return the tables of relocations and of functions that are called first."""
        return [
            section
            for section in self.layout.sections
            if (section.kind in (SHT_REL, SHT_RELA) and (section.flags & SHF_ALLOC or self.layout.kind == ET_REL))
            or section.kind in (SHT_INIT_ARRAY, SHT_PREINIT_ARRAY)
            or section.name == ".ctors"
        ]

    def _read_relocations(self, table: Section, arrays: list[Section], relocated: set[int]) -> None:
        layout = self.layout
        values = getattr(self, "_dynamic_values", array("Q"))
        irelative = _IRELATIVE[layout.bits]
        low, high = self.sections[0].address, self.sections[-1].end
        for place, kind, symbol, addend in layout.relocations(table):
            if kind == _RELATIVE or kind == irelative:
                target = layout.word(place) if addend is None else addend
            elif kind in _SYMBOLIC or kind == _JUMP_SLOT:
                target = (values[symbol] if symbol < len(values) else 0) + (addend or 0)
            else:
                continue
            if not low <= target < high:
                continue
            if kind == _JUMP_SLOT or kind == _SYMBOLIC[1]:
                self.slots[place] = target
            if kind == _JUMP_SLOT:
                continue
            entry = IFUNC if kind == irelative else ADDRESS
            for initial in arrays:
                if initial.address <= place < initial.address + initial.size:
                    entry = INIT
                    relocated.add(place)
            self.enter(target, entry)

    def _find_pointers(self) -> None:
        """In a program that is not relocated, a word of data that is a function's address is its address taken."""
        code = "Q" if self.layout.bits == 64 else "I"  # noqa: PLR2004
        starts = set(self.functions.starts)
        for section in self.layout.sections:
            if section.kind == SHT_NOBITS or not section.flags & SHF_ALLOC or section.flags & SHF_EXECINSTR:
                continue
            words = array(code)
            data = self.layout.mapping[section.offset : section.offset + section.size]
            words.frombytes(data[: len(data) // words.itemsize * words.itemsize])
            for address in starts.intersection(words):
                self.enter(address, ADDRESS)

    def _find_stubs(self) -> Iterator[tuple[int, int]]:
        for section in self.sections:
            if not section.name.startswith(".plt"):
                continue
            step = section.step or 16
            for match in _JUMP_THROUGH.finditer(self.code(section.offset, section.size)):
                (distance,) = struct.unpack("<i", match[2])
                after = section.address + match.end()
                if match[1] == b"\xa3":
                    slot = self.got + distance
                else:
                    slot = after + distance if self.bits == 64 else distance & 0xFFFFFFFF  # noqa: PLR2004
                yield section.address + match.start() // step * step, self.slots.get(slot, 0)


def _within(ranges: tuple[array[int], array[int]], address: int) -> bool:
    """Return whether one of ``ranges`` (starts, ends) goes over ``address``; its start counts too."""
    starts, ends = ranges
    number = bisect_right(starts, address) - 1
    return number >= 0 and address < ends[number]
