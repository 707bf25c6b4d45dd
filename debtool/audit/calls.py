"""Who calls whom in a file: direct near calls and jumps between functions."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from debtool.audit.image import ENTRY_KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_KINDS = [
    frozenset(kind for bit, kind in enumerate(ENTRY_KINDS) if mask >> bit & 1) for mask in range(1 << len(ENTRY_KINDS))
]

_LOW = 0xFFFFFFFF


class CallGraph:
    """Direct near calls, jumps and falls into the next function, by the addresses that functions start at.

    Indirect calls are not in it: a function whose address is taken anywhere has the entry ``address`` instead.

    >>> graph = CallGraph([(1, 2), (2, 3), (4, 3)], {1: 1, 4: 8})
    >>> sorted(graph.callers(3)), sorted(graph.callees(1))
    ([2, 4], [2])
    >>> graph.entries[1]
    frozenset({'exported'})
    >>> graph.reached_from({"exported"}, 3)
    (1, 2, 3)
    >>> graph.reached_from({"exported"}, 3, avoiding={2})
    ()
    """

    def __init__(self, edges: Iterable[tuple[int, int]], entries: Mapping[int, int]) -> None:
        """Make a graph of pairs (caller, callee) of addresses; ``entries`` are masks of `ENTRY_KINDS`."""
        pairs = list(edges)
        self._starts = array("Q", sorted({start for pair in pairs for start in pair}))
        rows = {start: row for row, start in enumerate(self._starts)}
        self._set([rows[caller] << 32 | rows[callee] for caller, callee in pairs])
        self.entries: Mapping[int, frozenset[str]] = _Entries(entries)

    @classmethod
    def between(cls, starts: array[int], edges: Iterable[int], entries: Mapping[int, int]) -> CallGraph:
        """Make a graph of functions at ``starts``, ascending; an edge is their numbers, the caller's in bits 32-63."""
        graph = cls((), entries)
        graph._starts = starts
        graph._set(edges)
        return graph

    def _set(self, edges: Iterable[int]) -> None:
        # Eight bytes for an edge and eight for the way back: two million edges are 32 MB.
        self._forward = array("Q", sorted(edges))
        self._back = array("Q", sorted((edge & _LOW) << 32 | edge >> 32 for edge in self._forward))

    def _beside(self, edges: array[int], start: int) -> frozenset[int]:
        row = bisect_left(self._starts, start)
        if row == len(self._starts) or self._starts[row] != start:
            return frozenset()
        found = edges[bisect_left(edges, row << 32) : bisect_left(edges, row + 1 << 32)]
        return frozenset(self._starts[edge & _LOW] for edge in found)

    def callees(self, start: int) -> frozenset[int]:
        """Return the functions that the one at ``start`` calls, jumps to or falls into."""
        return self._beside(self._forward, start)

    def callers(self, start: int) -> frozenset[int]:
        """Return the functions that call, jump to or fall into the one at ``start``."""
        return self._beside(self._back, start)

    def reached_from(self, kinds: Collection[str], start: int, *, avoiding: Collection[int] = ()) -> tuple[int, ...]:
        """Return the shortest chain of calls from an entry of one of ``kinds`` to ``start``, both included.

        ``avoiding`` are functions that it may not go through. Empty if there is none.
        """
        wanted = frozenset(kinds)
        if start in avoiding:
            return ()
        next_on_chain = {start: start}
        queue = deque([start])
        while queue:
            function = queue.popleft()
            if not wanted.isdisjoint(self.entries.get(function, ())):
                chain = [function]
                while chain[-1] != start:
                    chain.append(next_on_chain[chain[-1]])
                return tuple(chain)
            for caller in self.callers(function):
                if caller not in next_on_chain and caller not in avoiding:
                    next_on_chain[caller] = function
                    queue.append(caller)
        return ()

    def reachable(self, kinds: Collection[str], *, avoiding: Collection[int] = ()) -> Mapping[int, int]:
        """Return every function that calls lead to from entries of ``kinds``, each with the one that leads to it.

        An entry leads to itself. Follow it with `chain`. ``avoiding`` are functions that are not entered.
        """
        wanted = frozenset(kinds)
        came: dict[int, int] = {
            start: start for start, of in self.entries.items() if not wanted.isdisjoint(of) and start not in avoiding
        }
        queue = deque(came)
        while queue:
            function = queue.popleft()
            for callee in self.callees(function):
                if callee not in came and callee not in avoiding:
                    came[callee] = function
                    queue.append(callee)
        return came

    @staticmethod
    def chain(came: Mapping[int, int], start: int) -> tuple[int, ...]:
        """Return the chain from an entry to ``start`` in what `reachable` returned; empty if it is not in there."""
        if start not in came:
            return ()
        chain = [start]
        while came[chain[-1]] != chain[-1]:
            chain.append(came[chain[-1]])
        return tuple(reversed(chain))


class _Entries(Mapping[int, frozenset[str]]):
    """Masks, read as the names of their bits."""

    def __init__(self, masks: Mapping[int, int]) -> None:
        self._masks = masks

    def __getitem__(self, start: int) -> frozenset[str]:
        return _KINDS[self._masks[start]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)
