"""One ELF file: what its code uses beyond a baseline, and who calls what."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.audit.calls import CallGraph
from debtool.audit.decode import Decoded, Range, Use
from debtool.audit.image import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from debtool.audit.decode import Found
    from debtool.audit.image import FunctionTable, Image

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
    text = (image.sections[0].address, image.sections[-1].end)
    for section in image.sections:
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
                image.got,
            )
            row, start = following, end


def examine(image: Image, decode: Callable[[Iterable[Range]], Iterable[Decoded]]) -> Examined:
    """Examine ``image``; ``decode`` decodes ranges, in any order."""
    results = list(decode(ranges(image)))
    found: dict[int, Found] = {}
    for result in results:
        found.update(result.found)
    table = image.functions
    table.insert(pair for result in results for pair in zip(result.pieces[::2], result.pieces[1::2], strict=True))
    for result in results:
        for address in result.taken:
            if table.containing(address) == address:
                image.enter(address, ADDRESS)
    uses = [
        Use(
            table[start],
            tuple(sorted(one.features.values(), key=lambda feature: (-feature.count, feature.name))),
            frozenset(one.silent),
            data=False,
            asks_cpu=one.asks_cpu,
        )
        for start, one in sorted(found.items())
        if one.features or one.asks_cpu
    ]
    return Examined(
        uses=uses,
        graph=CallGraph.between(table.starts, _packed(results, table, image.stubs), image.entries),
        instructions=sum(result.instructions for result in results),
        undecoded=sum(result.undecoded for result in results),
    )


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
