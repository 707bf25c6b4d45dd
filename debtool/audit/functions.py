"""Where the functions of an ELF file are, and what they are called: symbols, and what is unwound."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from debtool.audit.layout import ET_REL, SHF_EXECINSTR, SHT_DYNSYM, SHT_SYMTAB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from debtool.audit.layout import Layout, Section

_NOTYPE, _OBJECT, _FUNC, _FILE, _GNU_IFUNC = 0, 1, 2, 4, 10
_CODE = (_NOTYPE, _OBJECT, _FUNC, _GNU_IFUNC)
_BINDINGS: Final = {0: "local", 1: "global", 2: "weak", 10: "unique"}
_STRENGTH: Final = {1: 0, 10: 1, 2: 2, 0: 3}
"""Of several names for one function the strongest is shown: global, unique, weak, local; by STB_*."""
_UNNAMED = 9

_VISIBLE = (0, 3)
"""STV_DEFAULT and STV_PROTECTED."""
_RESERVED = 0xFF00
"""SHN_LORESERVE: section numbers from here on are none."""

_BINDING, _NAMED, _DATA, _EXPORTED = 0x0F, 0x10, 0x20, 0x40
"""What is in a function's mark."""
_ADDRESSES = 2**64 - 1


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

    def __init__(self, layout: Layout, sections: Sequence[Section]) -> None:
        self.starts = array("Q")
        self.ends = array("Q")
        self._names = array("Q")  # where in the file the name is, 0 if there is none
        self._units = array("Q")
        self._marks = bytearray()
        self._layout = layout
        self._sections = sections
        self._places = [section.address for section in sections]

    def append(self, start: int, end: int, name: int = 0, unit: int = 0, mark: int = 0) -> None:
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
        self.starts, self.ends, self._names, self._units = array("Q"), array("Q"), array("Q"), array("Q")
        self._marks = bytearray()
        for row in rows:
            self.append(*row)

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
            binding=_BINDINGS.get(mark & _BINDING, "local") if mark & _NAMED else "",
            exported=bool(mark & _EXPORTED),
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


class _Row(NamedTuple):
    """One name of a function; the smallest of several is shown."""

    strength: int
    shortage: int  # the size, negated
    name: int
    mark: int


@dataclass(slots=True)
class Symbols:
    """What the tables of symbols say.

    Attributes:
        source: Where the names are from: ``symtab``, ``dynsym`` or ``none``.
        exported: Addresses that other files can be linked to.
        resolvers: Addresses of functions that choose an implementation (STT_GNU_IFUNC).
        values: The address of each symbol of the table that relocations refer to; 0 if it is not defined.
    """

    source: str = "none"
    exported: set[int] = field(default_factory=set)
    resolvers: set[int] = field(default_factory=set)
    values: array[int] = field(default_factory=lambda: array("Q"))


class Finder:
    """Finds the functions of one file."""

    def __init__(self, layout: Layout, sections: Sequence[Section]) -> None:
        self.symbols = Symbols()
        self._layout = layout
        self._sections = sections
        self._places = [section.address for section in sections]
        self._ends = [section.end for section in sections]
        self._rows: dict[int, _Row] = {}
        self._units: dict[int, int] = {}
        self._labels: dict[int, _Row] = {}

    def find(self) -> FunctionTable:
        """Return the functions."""
        # .symtab comes first: it has more names.
        for table, names in sorted(self._layout.symbol_tables(), key=lambda pair: pair[0].kind == SHT_DYNSYM):
            before = len(self._rows)
            self._read(table, names)
            if len(self._rows) > before and self.symbols.source == "none":
                self.symbols.source = "symtab" if table.kind == SHT_SYMTAB else "dynsym"
        covered = self._covered()
        # Labels without a type are functions where no function is: hand-written code often has nothing better.
        for start, row in self._labels.items():
            if not _within(covered, start):
                self._rows.setdefault(start, row)
        if self._layout.kind != ET_REL:
            self._read_unwound(covered)
        return self._table()

    def _section(self, address: int) -> int | None:
        number = bisect_right(self._places, address) - 1
        return number if number >= 0 and address < self._ends[number] else None

    def _read(self, table: Section, names: int) -> None:
        low, high = self._places[0], self._ends[-1]
        largest = max(self._sections, key=attrgetter("size"))
        inner, outer = largest.address, largest.end
        object_file = self._layout.kind == ET_REL
        exporting = table.kind == SHT_DYNSYM or object_file
        unit = 0
        values = array("Q")
        for name, info, other, number, value, size in self._layout.symbols(table):
            kind = info & 0x0F
            if kind == _FILE:
                unit = names + name if name else 0
            place = self._place(number, value) if object_file else value if 0 < number < _RESERVED else 0
            if exporting:
                values.append(place)
            if not low <= place < high or kind not in _CODE or not name:
                continue
            if inner <= place < outer or self._section(place) is not None:
                visible = exporting and other & 3 in _VISIBLE
                self._name(place, size, kind, info >> 4, names + name, unit, visible=visible)
        if exporting:
            self.symbols.values = values

    def _name(self, place: int, size: int, kind: int, binding: int, name: int, unit: int, *, visible: bool) -> None:
        """Note a symbol of ``place``."""
        mark = min(binding, _BINDING) | _NAMED
        # Nothing says how far data without a size goes.
        if kind == _NOTYPE or (kind == _OBJECT and not size):
            self._labels.setdefault(place, _Row(_STRENGTH.get(binding, 3), 0, name, mark))
            return
        if kind == _OBJECT:
            mark |= _DATA
        elif binding and visible:
            mark |= _EXPORTED
            self.symbols.exported.add(place)
        if kind == _GNU_IFUNC:
            self.symbols.resolvers.add(place)
        if not binding and unit:
            self._units.setdefault(place, unit)
        self._add(place, _Row(_STRENGTH.get(binding, 3), -size, name, mark))

    def _place(self, section: int, value: int) -> int:
        """Return the address of an object's symbol, 0 if it is not defined here, or no code."""
        # Places in an object's file are its addresses: a section without contents shares them with the next one.
        sections = self._layout.sections
        if not 0 < section < min(len(sections), _RESERVED) or not sections[section].flags & SHF_EXECINSTR:
            return 0
        return value + sections[section].address & _ADDRESSES

    def _add(self, place: int, row: _Row) -> None:
        held = self._rows.get(place)
        if held is not None:
            shown = min(row, held)
            exported = (row.mark | held.mark) & _EXPORTED
            row = _Row(shown.strength, min(row.shortage, held.shortage), shown.name, shown.mark | exported)
        self._rows[place] = row

    def _covered(self) -> tuple[array[int], array[int]]:
        """Return starts and ends of the ranges that symbols with a size cover, those that overlap joined."""
        starts, ends = array("Q"), array("Q")
        for start in sorted(self._rows):
            end = min(start - self._rows[start].shortage, _ADDRESSES)
            if end == start:
                continue
            if starts and start < ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        return starts, ends

    def _read_unwound(self, covered: tuple[array[int], array[int]]) -> None:
        for start, size in self._layout.unwound():
            row = self._rows.get(start)
            if row is not None:
                if not row.shortage:
                    self._rows[start] = row._replace(shortage=-size)
                continue
            section = self._section(start)
            if section is None or not size or _within(covered, start) or self._sections[section].is_stubs:
                continue
            self._rows[start] = _Row(_UNNAMED, -size, 0, 0)

    def _table(self) -> FunctionTable:
        table = FunctionTable(self._layout, self._sections)
        order = sorted(self._rows)
        covered = 0
        for start, following in pairwise([*order, _ADDRESSES]):
            _, shortage, name, mark = self._rows[start]
            section = self._section(start)
            limit = min(following, self._ends[section]) if section is not None else following
            # Without a size it reaches to the next one. What an outer function has behind an inner one is the inner
            # one's here: it is one piece of code, and no address is in two functions.
            covered = max(covered, start - shortage)
            table.append(start, min(covered, limit) if shortage else limit, name, self._units.get(start, 0), mark)
        return table


def _within(ranges: tuple[array[int], array[int]], address: int) -> bool:
    """Return whether one of ``ranges`` (starts, ends) goes over ``address``; its start counts too."""
    starts, ends = ranges
    number = bisect_right(starts, address) - 1
    return number >= 0 and address < ends[number]
