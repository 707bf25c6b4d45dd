"""An ELF file for audits: its functions, and from where they can be entered."""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final

from debtool.audit.functions import Finder, Function, FunctionTable
from debtool.audit.layout import (
    DAMAGED,
    ET_EXEC,
    ET_REL,
    R_RELATIVE,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_NOBITS,
    Layout,
    NotAudited,
    is_initial,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from debtool.audit.layout import Section

__all__ = ["ADDRESS", "ENTRY_KINDS", "EXPORTED", "IFUNC", "INIT", "Function", "FunctionTable", "Image"]

ENTRY_KINDS: Final = ("exported", "init", "ifunc", "address")
"""Why a function can be entered from outside of the call graph; the bits of an entry's mask, the lowest first."""
EXPORTED, INIT, IFUNC, ADDRESS = 1, 2, 4, 8

_SYMBOLIC, _GLOB_DAT, _JUMP_SLOT = 1, 6, 7
"""R_X86_64_64 or R_386_32, R_*_GLOB_DAT and R_*_JUMP_SLOT: the symbol's address."""
_IRELATIVE: Final = {64: 37, 32: 42}
_PC_RELATIVE = (2, 4)
"""R_X86_64_PC32 and R_X86_64_PLT32; R_386_PC32 and R_386_PLT32 have the same numbers."""

_JUMP_THROUGH: Final = re.compile(rb"\xff([\x25\xa3])(....)", re.DOTALL)
"""``jmp *slot`` of a procedure linkage table: a slot by its address or distance, or from the GOT's register."""
_FROM_GOT = b"\xa3"
_STUB = 16
"""Bytes of a stub, where the section does not say it."""


class Image:
    """An open ELF file for x86.

    Attributes:
        layout: Its structures.
        bits: How instructions are decoded: 64 or 32.
        sections: What can be executed, by address.
        functions: Its functions.
        symbols: Where their names came from: ``symtab``, ``dynsym`` or ``none``.
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

    def section_of(self, address: int) -> Section | None:
        """Return the executable section that ``address`` is in."""
        number = bisect_right(self._places, address) - 1
        return self.sections[number] if number >= 0 and address < self._ends[number] else None

    def code(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of code at a place in the file; an object's calls lead to their functions."""
        if self._linked is not None:
            return bytes(self._linked[offset : offset + size])
        return self.layout.mapping[offset : offset + size]

    def enter(self, address: int, kind: int) -> None:
        """Note one more reason why ``address`` can be entered."""
        self._entries[address] = self._entries.get(address, 0) | kind

    def _read(self) -> None:
        layout = self.layout
        self.bits = layout.mode
        self.sections = layout.executable()
        if not self.sections:
            raise NotAudited("no code")
        self._places = [section.address for section in self.sections]
        self._ends = [section.end for section in self.sections]
        finder = Finder(layout, self.sections)
        self.functions = finder.find()
        self.symbols = finder.symbols.source
        self._values = finder.symbols.values
        self._entries: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self._linked: bytearray | None = None
        for address in finder.symbols.exported:
            self.enter(address, EXPORTED)
        for address in finder.symbols.resolvers:
            self.enter(address, IFUNC)
        if layout.kind == ET_REL:
            self._link(self._values)

    @property
    def entries(self) -> Mapping[int, int]:
        """By address, a mask of why code can be entered from outside (see `ENTRY_KINDS`).

        Found when it is first asked for, which takes a while: a large file can be decoded by others meanwhile.

        Raises:
            NotAudited: The file is damaged.
        """
        return self._ways[0]

    @property
    def stubs(self) -> Mapping[int, int]:
        """Where stubs of the procedure linkage table and slots of the global offset table lead to, by their addresses.

        0 is another file. Raises what `entries` raises.
        """
        return self._ways[1]

    @cached_property
    def _ways(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        try:
            if self.layout.kind != ET_REL:
                self._load(self._values)
        except DAMAGED as error:
            raise NotAudited(f"damaged: {error}") from error
        for address in [address for address in self._entries if self.section_of(address) is None]:
            del self._entries[address]
        return self._entries, {**self._slots, **dict(self._find_stubs())}

    def _load(self, values: Sequence[int]) -> None:
        """Do what the dynamic linker does, as far as it says from where code is entered."""
        layout = self.layout
        self.enter(layout.entry, EXPORTED)
        arrays, addresses = layout.initial()
        for address in addresses:
            self.enter(address, INIT)
        relocated: set[int] = set()
        for table in layout.relocation_tables():
            self._relocate(table, arrays, relocated, values)
        size = layout.bits // 8
        for table in arrays:
            for place in range(table.address, table.address + table.size // size * size, size):
                if place not in relocated:
                    self.enter(layout.word(place), INIT)
        if layout.kind == ET_EXEC:
            self._find_pointers()

    def _relocate(self, table: Section, arrays: Sequence[Section], relocated: set[int], values: Sequence[int]) -> None:
        layout = self.layout
        resolver = _IRELATIVE[layout.mode]
        low, high = self._places[0], self._ends[-1]
        for place, kind, symbol, addend in layout.relocations(table):
            if kind in (R_RELATIVE, resolver):
                target = layout.word(place) if addend is None else addend
            elif kind in (_SYMBOLIC, _GLOB_DAT, _JUMP_SLOT) and symbol < len(values) and values[symbol]:
                target = values[symbol] + (addend or 0)
            else:
                continue
            if not low <= target < high:
                continue
            if kind in (_GLOB_DAT, _JUMP_SLOT):
                self._slots[place] = target
            if kind == _JUMP_SLOT:  # a call's, which the call graph has
                continue
            entry = IFUNC if kind == resolver else ADDRESS
            for initial in arrays:
                if initial.address <= place < initial.end:
                    entry = INIT
                    relocated.add(place)
            self.enter(target, entry)

    def _find_pointers(self) -> None:
        """In a program that is not relocated, a word of data that is a function's address is its address taken."""
        starts = set(self.functions.starts)
        for section in self.layout.sections:
            if section.kind == SHT_NOBITS or not section.flags & SHF_ALLOC or section.flags & SHF_EXECINSTR:
                continue
            words = array("Q" if self.layout.bits == 64 else "I")  # noqa: PLR2004
            data = self.layout.mapping[section.offset : section.offset + section.size]
            words.frombytes(data[: len(data) // words.itemsize * words.itemsize])
            for address in starts.intersection(words):
                self.enter(address, ADDRESS)

    def _link(self, values: Sequence[int]) -> None:
        """Do what the linker does to an object's calls; see `Section.address` for its addresses."""
        layout = self.layout
        self._linked = bytearray(layout.mapping)
        for table in layout.relocation_tables():
            section = layout.sections[table.info]
            if not section.flags & SHF_ALLOC or section.name == ".eh_frame":
                continue
            in_code = bool(section.flags & SHF_EXECINSTR)
            for offset, kind, symbol, addend in layout.relocations(table):
                place = section.address + offset
                if addend is None:
                    (addend,) = struct.unpack_from("<i", layout.mapping, place)  # noqa: PLW2901 -- where it is
                value = values[symbol] if symbol < len(values) else 0
                if in_code and kind in _PC_RELATIVE:
                    # Of what is in another file, nothing is at the address 0.
                    distance = value + addend - place if value else -place
                    struct.pack_into("<I", self._linked, place, distance & 0xFFFFFFFF)
                elif value:
                    self.enter(value if in_code else value + addend, INIT if is_initial(section) else ADDRESS)

    def _find_stubs(self) -> Iterator[tuple[int, int]]:
        wide = self.bits == 64  # noqa: PLR2004
        for section in self.sections:
            if not section.is_stubs:
                continue
            step = section.step or _STUB
            for match in _JUMP_THROUGH.finditer(self.code(section.offset, section.size)):
                (distance,) = struct.unpack("<i", match[2])
                if match[1] == _FROM_GOT:
                    slot = self.layout.got + distance
                else:
                    slot = section.address + match.end() + distance if wide else distance & 0xFFFFFFFF
                yield section.address + match.start() // step * step, self._slots.get(slot, 0)
