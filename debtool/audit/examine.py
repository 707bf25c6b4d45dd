"""One ELF file: what its code uses beyond a baseline, and who calls what."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from debtool.audit.calls import CallGraph
from debtool.audit.decode import Decoded, Range, Use, joined
from debtool.audit.image import ADDRESS
from debtool.audit.layout import ET_EXEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from debtool.audit.decode import Found
    from debtool.audit.image import Function, FunctionTable, Image

    Decode = Callable[[Iterable[Range]], Iterable[Decoded]]

RANGE = 4 * 2**20
"""Bytes of code that are decoded in one go, at least: some tenths of a second."""

_ROUNDS = 8
"""How often code without names is divided at what is called in it; real files need two or three."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What is in a file's code.

    Attributes:
        uses: What is of interest in each function, by address.
        graph: Who calls what.
        instructions: How many there are.
        undecoded: Bytes that are none.
    """

    uses: list[Use]
    graph: CallGraph
    instructions: int
    undecoded: int


def ranges(image: Image, size: int = RANGE) -> Iterator[Range]:
    """Divide the code of ``image`` between functions, into ranges of at least ``size`` bytes."""
    table = image.functions
    objects = table.objects()
    text = (image.sections[0].address, image.sections[-1].end)
    for section in image.sections:
        if section.is_stubs:
            continue
        row = bisect_left(table.starts, section.address)
        last = bisect_left(table.starts, section.end)
        start = section.address
        while start < section.end:
            following = min(bisect_left(table.starts, start + size, row), last)
            end = table.starts[following] if following < last else section.end
            yield Range(
                start,
                end - start,
                section.offset + start - section.address,
                table.starts[row:following],
                table.ends[row:following],
                image.bits,
                text,
                image.layout.got,
                image.layout.kind == ET_EXEC,
                objects.intersection(table.starts[row:following]) if objects else objects,
            )
            row, start = following, end


def examine(image: Image, decode: Decode, divided: Decode) -> Examined:
    """Examine ``image``.

    ``decode`` decodes ranges here and now; ``divided`` may have others do it while this goes on, and return results in
    any order.
    """
    table = image.functions
    results_to_come = divided(ranges(image))
    entries = image.entries
    results = list(results_to_come)
    pieces = sorted(pair for result in results for pair in zip(result.pieces[::2], result.pieces[1::2], strict=True))
    loose = _Loose(image, pieces)
    loose.divide(results, decode)
    table.insert(pair for work in loose.works.values() for pair in zip(work.starts, work.ends, strict=True))
    results += loose.results.values()
    for result in results:
        for address in result.taken:
            if table.containing(address) == address:
                image.enter(address, ADDRESS)
    objects = table.objects()
    if objects:  # what is called is no data, whatever its symbol says
        for result in results:
            pairs = zip(result.edges[::2], result.edges[1::2], strict=True)
            objects -= {target for caller, target in pairs if target in objects and caller not in objects}
    uses: list[Use] = []
    for start, found in sorted((pair for result in results for pair in result.found.items()), key=itemgetter(0)):
        uses += _uses(table[start], found, is_data=start in objects or loose.is_data(start, found))
    return Examined(
        uses=uses,
        graph=CallGraph.between(table.starts, _packed(results, table, image.stubs), entries),
        instructions=sum(result.instructions for result in results),
        undecoded=sum(result.undecoded for result in results),
    )


class _Loose:
    """What is between functions, divided at what refers to it.

    Hand-written code in a stripped file has neither symbols nor unwinding information: there, what is called is where
    functions start.

    Attributes:
        referred: Where anything refers to.
        works: The ranges, by where they start, each with its divisions.
        results: What decoding them found.
    """

    def __init__(self, image: Image, pieces: Sequence[tuple[int, int]]) -> None:
        self._image = image
        self._pieces = pieces
        self._starts = [start for start, _ in pieces]
        self._cuts: dict[int, set[int]] = {start: {start} for start, _ in pieces}
        self.referred: set[int] = set()
        self._jumped: set[int] = set()
        self.works: dict[int, Range] = {}
        self.results: dict[int, Decoded] = {}

    def divide(self, results: Sequence[Decoded], decode: Decode) -> None:
        """Decode it all, until nothing refers into the middle of anything; ``results`` are those of the functions."""
        changed = set(self._starts)
        self._refer([self._image.entries])
        self._jumped.update(address for address, mask in self._image.entries.items() if mask != ADDRESS)
        self._follow(results)
        for _ in range(_ROUNDS):
            if not changed:
                return
            works = [self._work(start, end) for start, end in self._pieces if start in changed]
            found = dict(zip((work.address for work in works), decode(works), strict=True))
            self.works.update((work.address, work) for work in works)
            self.results.update(found)
            changed = self._follow(list(found.values()))

    def is_data(self, start: int, found: Found) -> bool:
        """Return whether what is at ``start`` cannot be code; in doubt it is.

        With bytes in it that are no instruction it is data if nothing refers to it, or nothing jumps to it and its
        beginning leads to such bytes: a table, whose address is computed or in a pointer.
        """
        if not found.invalid or start in self._jumped or not self._holds(start):
            return False
        return start not in self.referred or found.runs_dry

    def _holds(self, address: int) -> bool:
        number = bisect_right(self._starts, address) - 1
        return number >= 0 and address < self._pieces[number][1]

    def _follow(self, results: Sequence[Decoded]) -> set[int]:
        targets = set[int]().union(*(result.edges[1::2] for result in results))
        self._jumped.update(filter(self._holds, targets))
        return self._refer([targets, *(result.taken for result in results)])

    def _refer(self, parts: Iterable[Iterable[int]]) -> set[int]:
        """Note addresses that are referred to, and return the starts of what is divided by that."""
        changed = set()
        for address in set[int]().union(*parts) - self.referred:
            if self._holds(address):
                self.referred.add(address)
                piece = self._starts[bisect_right(self._starts, address) - 1]
                if address not in self._cuts[piece]:
                    self._cuts[piece].add(address)
                    changed.add(piece)
        return changed

    def _work(self, start: int, end: int) -> Range:
        image = self._image
        section = image.section_of(start)
        assert section is not None  # noqa: S101 -- pieces are parts of sections
        starts = array("Q", sorted(self._cuts[start]))
        ends = array("Q", [*starts[1:], end])
        text = (image.sections[0].address, image.sections[-1].end)
        offset = section.offset + start - section.address
        return Range(
            start,
            end - start,
            offset,
            starts,
            ends,
            image.bits,
            text,
            image.layout.got,
            image.layout.kind == ET_EXEC,
            named=False,
        )


def _uses(function: Function, found: Found, *, is_data: bool) -> Iterator[Use]:
    """Yield what is to be told of a function: code and data apart."""
    if is_data:
        parts = [(joined(found.features, found.unreached), True)]
    else:
        parts = [(found.features, False), (found.unreached, True)]
    for features, data in parts:
        if features or (found.asks_cpu and not data):
            ordered = sorted(features.values(), key=lambda feature: (-feature.count, feature.name))
            silent = frozenset() if data else frozenset(found.silent)
            yield Use(function, tuple(ordered), silent, data=data, asks_cpu=found.asks_cpu and not data)


def _packed(results: Sequence[Decoded], table: FunctionTable, stubs: Mapping[int, int]) -> list[int]:
    """Return caller and callee of each edge as numbers of rows, the caller's in the upper 32 bits."""
    rows = {start: row for row, start in enumerate(table.starts)}
    packed: list[int] = []
    for result in results:
        pairs = iter(result.edges)
        for caller, target in zip(pairs, pairs, strict=True):
            target = stubs.get(target, target)  # noqa: PLW2901 -- where the stub leads to
            callee = rows.get(target)
            if callee is None and target:
                callee = table.row(target)
            if callee is not None:
                packed.append(rows[caller] << 32 | callee)
    return packed
