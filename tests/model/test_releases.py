"""Specifiers as ranges of releases."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.model.releases import release_ranges, within

if TYPE_CHECKING:
    from debtool.model.releases import ReleaseRange


# Spelled with three numbers, so that ~= has a series; small, so that bounds meet versions.
releases = st.tuples(*[st.integers(0, 3)] * 3).map(lambda parts: ".".join(map(str, parts)))
specifiers = st.lists(
    st.one_of(
        st.builds(lambda operator, text: f"{operator}{text}", st.sampled_from([">=", "<", "~="]), releases),
        st.builds(
            lambda operator, text: f"{operator}{text.rpartition('.')[0]}.*", st.sampled_from(["==", "!="]), releases
        ),
    ),
    max_size=4,
).map(",".join)


def ranges_or_none(text: str) -> tuple[ReleaseRange, ...]:
    with contextlib.suppress(InputError):
        return release_ranges(SpecifierSet(text))
    return ()


@given(specifiers, releases)
def test_a_release_is_within_exactly_where_pip_takes_it(text: str, release: str) -> None:
    assert within(Version(release), ranges_or_none(text)) is (Version(release) in SpecifierSet(text))


@given(specifiers)
def test_ranges_ascend_and_are_apart(text: str) -> None:
    ranges = ranges_or_none(text)
    assert all(low is None or high is None or low < high for low, high in ranges)
    for (_, high), (low, _) in pairwise(ranges):
        assert high is not None
        assert low is not None
        assert high <= low


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("<=1.7.2", "write < and the first release that needs nothing"),
        (">1.0", "write >= and the first release that is meant"),
        ("==1.2.0", r"write ==1.2.0.\*, or two bounds"),
        ("!=1.2.0", r"write !=1.2.0.\*, or two bounds"),
        ("===1.2.0", r"write ==1.2.0.\*, or two bounds"),
        (">=1.0rc1", "write a plain release"),
        ("<1!2", "write a plain release"),
        ("~=1.4.post1", "write a plain release"),
    ],
)
def test_what_is_no_range_is_refused_with_what_to_write(text: str, fix: str) -> None:
    with pytest.raises(InputError, match=f"is no range of releases .*; fix: {fix}"):
        release_ranges(SpecifierSet(text))
