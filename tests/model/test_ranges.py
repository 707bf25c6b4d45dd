from __future__ import annotations

import itertools
import operator
from functools import reduce
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.model.ranges import VersionRange
from debtool.model.relations import Clause, Relation, join
from debtool.model.specifiers import specifier_range
from debtool.model.versions import DebianVersion, upstream_version, with_revision
from tests.support.versions import LAW, specifiers_near, versions

if TYPE_CHECKING:
    from packaging.version import Version

OPERATORS = {"<<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">>": operator.gt}
EVERYTHING = VersionRange.between(None, None)
NOTHING = VersionRange(())


@st.composite
def range_near(draw: st.DrawFn, version: Version) -> VersionRange:
    """Draw what one to three specifiers say; often nothing."""
    return reduce(operator.and_, map(specifier_range, draw(specifiers_near(version))))


@st.composite
def ranges(draw: st.DrawFn, count: int) -> tuple[DebianVersion, list[VersionRange]]:
    """Draw a package's version and ``count`` ranges whose ends are mostly near it."""
    version = draw(versions())
    return packaged(version), [draw(range_near(version)) for _ in range(count)]


def packaged(version: Version) -> DebianVersion:
    return with_revision(upstream_version(version), 1, "deb12")


def dpkg_takes(version: DebianVersion, clauses: list[Clause]) -> bool:
    """Evaluate relations as dpkg does; tests/model/test_versions.py holds the order to dpkg's."""
    return all(any(_holds(version, relation) for relation in one.alternatives) for one in clauses)


def _holds(version: DebianVersion, relation: Relation) -> bool:
    if relation.operator is None:
        return True
    return bool(OPERATORS[relation.operator](version, DebianVersion(str(relation.version))))


def between(low: str | None, high: str | None) -> VersionRange:
    return VersionRange.between(low and DebianVersion(low), high and DebianVersion(high))  # type: ignore[arg-type]


def outside(low: str, high: str) -> VersionRange:
    return VersionRange.outside(DebianVersion(low), DebianVersion(high))


@given(ranges(2))
@LAW
def test_an_intersection_has_what_both_have(drawn: tuple[DebianVersion, list[VersionRange]]) -> None:
    version, (one, other) = drawn
    assert (version in one & other) == (version in one and version in other)


@given(ranges(2))
@LAW
def test_intersection_is_commutative_and_idempotent(drawn: tuple[DebianVersion, list[VersionRange]]) -> None:
    _, (one, other) = drawn
    assert one & other == other & one
    assert one & one == one
    assert (one & other) & other == one & other


@given(ranges(3))
@LAW
def test_intersection_is_associative(drawn: tuple[DebianVersion, list[VersionRange]]) -> None:
    _, (one, two, three) = drawn
    assert (one & two) & three == one & (two & three)


@given(ranges(2))
@LAW
def test_relations_say_the_range(drawn: tuple[DebianVersion, list[VersionRange]]) -> None:
    version, (one, other) = drawn
    for some in (one, one & other):
        assert not some or dpkg_takes(version, some.clauses("x")) == (version in some)


@given(ranges(2))
@LAW
def test_intervals_ascend_with_gaps_between(drawn: tuple[DebianVersion, list[VersionRange]]) -> None:
    _, (one, other) = drawn
    intervals = (one & other).intervals
    assert all(intervals)
    for before, after in itertools.pairwise(intervals):
        assert before.high is not None
        assert after.low is not None
        assert before.high < after.low


def test_everything_and_nothing() -> None:
    some = between("1", "2")
    assert EVERYTHING & some == some
    assert NOTHING & some == NOTHING
    assert not NOTHING
    assert DebianVersion("1") in EVERYTHING
    assert DebianVersion("1") not in NOTHING
    assert join(EVERYTHING.clauses("x")) == "x"
    with pytest.raises(ValueError, match="no version of x"):
        NOTHING.clauses("x")


@pytest.mark.parametrize(
    ("made", "same"),
    [
        (between("2", "1"), NOTHING),
        (between("1", "1"), NOTHING),
        (outside("1", "1"), EVERYTHING),
        (between("1", "3") & between("2", None), between("2", "3")),
        (between("1", "2") & between("2", "3"), NOTHING),
        (between("1", "2") & outside("1", "2"), NOTHING),
        (between("1", "3") & outside("0", "2"), between("2", "3")),
        (outside("1", "3") & outside("2", "4"), outside("1", "4")),
        (outside("1", "2") & outside("2", "3"), outside("1", "3")),
    ],
)
def test_empty_intervals_are_left_out(made: VersionRange, same: VersionRange) -> None:
    assert made == same


def test_one_clause_for_each_end_and_each_gap() -> None:
    some = between("1", "9") & outside("2", "3") & outside("5", "6") & between("0", "8")
    assert join(some.clauses("x")) == "x (>= 1), x (<< 8), x (<< 2) | x (>= 3), x (<< 5) | x (>= 6)"
    assert [DebianVersion(f"{n}") in some for n in range(10)] == [n in {1, 3, 4, 6, 7} for n in range(10)]
