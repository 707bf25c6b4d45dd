"""Sets of versions in dpkg's order, and the relations that say them.

A set is a union of half-open intervals ``[low, high)``. That is enough for all of PEP 440 (debtool/model/specifiers.py)
and for all that a relationship field can say of one package: ``>=`` and ``<<`` are its two ends, and an alternative
``(<< a) | (>= b)`` is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from debtool.model.relations import Clause, Relation, clause

if TYPE_CHECKING:
    from debtool.model.versions import DebianVersion


@dataclass(frozen=True, slots=True)
class Interval:
    """The versions from ``low`` up to, not including, ``high``; None has no end there."""

    low: DebianVersion | None
    high: DebianVersion | None

    def __contains__(self, version: DebianVersion) -> bool:
        return (self.low is None or version >= self.low) and (self.high is None or version < self.high)

    def __bool__(self) -> bool:
        return self.low is None or self.high is None or self.low < self.high

    def __and__(self, other: Interval) -> Interval:
        lows = [one.low for one in (self, other) if one.low is not None]
        highs = [one.high for one in (self, other) if one.high is not None]
        return Interval(max(lows, default=None), min(highs, default=None))


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A set of versions; false if it is empty.

    ``intervals`` ascend, none is empty and none touches the next, so that equal sets have equal ones. `between` and
    `outside` make sets that keep to this, and ``&`` keeps it.

    >>> from debtool.model.versions import DebianVersion
    >>> low, one, two, high = map(DebianVersion, ["1", "1.5", "1.6", "2~~"])
    >>> versions = VersionRange.between(low, high) & VersionRange.outside(one, two)
    >>> DebianVersion("1.7-1") in versions, DebianVersion("1.5-1") in versions
    (True, False)
    >>> print(*versions.clauses("x"), sep=", ")
    x (>= 1), x (<< 2~~), x (<< 1.5) | x (>= 1.6)
    """

    intervals: tuple[Interval, ...]

    @classmethod
    def between(cls, low: DebianVersion | None, high: DebianVersion | None) -> VersionRange:
        """Return the versions from ``low`` up to, not including, ``high``; None has no end there."""
        interval = Interval(low, high)
        return cls((interval,) if interval else ())

    @classmethod
    def outside(cls, low: DebianVersion, high: DebianVersion) -> VersionRange:
        """Return all versions but those from ``low`` up to, not including, ``high``."""
        if not Interval(low, high):
            return cls.between(None, None)
        return cls((Interval(None, low), Interval(high, None)))

    def __contains__(self, version: DebianVersion) -> bool:
        return any(version in interval for interval in self.intervals)

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __and__(self, other: VersionRange) -> VersionRange:
        # Both ascend and have gaps between their intervals, so what they share ascends and has gaps too.
        shared = (one & another for one in self.intervals for another in other.intervals)
        return VersionRange(tuple(interval for interval in shared if interval))

    def clauses(self, package: str) -> list[Clause]:
        """Return the relations that exactly these versions of ``package`` satisfy: both ends, then the gaps.

        Raises ``ValueError`` for the empty set, which no relation says.
        """
        if not self:
            raise ValueError(f"no version of {package} is in an empty range")
        ends = ((">=", self.intervals[0].low), ("<<", self.intervals[-1].high))
        found = [clause(package, operator, str(end)) for operator, end in ends if end is not None]
        for before, after in pairwise(self.intervals):
            gap = Relation(package, "<<", str(before.high)), Relation(package, ">=", str(after.low))
            found.append(Clause(gap))
        return found or [clause(package)]
