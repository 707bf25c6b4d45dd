"""Random PEP 440 versions and requirements, close enough to each other to meet every rule."""

from __future__ import annotations

import itertools
import os

from hypothesis import assume, settings
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

# A nightly run sets DEBTOOL_EXAMPLES=100000.
LAW = settings(max_examples=int(os.environ.get("DEBTOOL_EXAMPLES", "2000")), deadline=None)

_NUMBERS = [0, 1, 2, 9, 10, 11]
_WORDS = ["0", "1", "2", "10", "2024", "a", "a0", "a1", "a01", "ab", "b", "cpu", "post1", "rocm6", "rocm10", "z"]
# Few draws from long lists: much faster than many draws from short ones.
_RELEASES = sorted(
    f"{epoch}{'.'.join(map(str, numbers[:length]))}"
    for epoch in ("", "1!")
    for length in (1, 2, 3, 4)
    for numbers in itertools.product(_NUMBERS, _NUMBERS, [0, 1, 10], [0, 1])
    if not any(numbers[length:])
)
_SUFFIXES = [
    "".join(f"{kind}{number}" for kind, number in zip(kinds, numbers, strict=True) if kind)
    for kinds in itertools.product(["", "a", "b", "rc"], ["", ".post"], ["", ".dev"])
    for numbers in itertools.product([0, 1, 10], repeat=3)
]
_LOCALS = ["", *(f"+{'.'.join(words)}" for n in (1, 2) for words in itertools.product(_WORDS, repeat=n))]

_RELEASE = st.sampled_from(_RELEASES)
_SUFFIX = st.one_of(st.just(""), st.sampled_from(_SUFFIXES))
_LOCAL = st.one_of(st.just(""), st.sampled_from(_LOCALS))
_CHANGE = st.integers(0, 15)


@st.composite
def versions(draw: st.DrawFn) -> Version:
    """Draw a version: every part of PEP 440, with numbers from a small set."""
    return Version(draw(_RELEASE) + draw(_SUFFIX) + draw(_LOCAL))


def changed(version: Version, change: int) -> Version:
    """Return a version that differs from ``version`` a little; change 0 is none."""
    base, public = version.base_version, version.public
    texts = [str(version), public, base, f"{base}.0", f"{base}.1", f"{base}rc1", f"{base}.post1", f"{base}.dev1"]
    texts += [f"{public}+cpu", f"{public}+1", base.removesuffix(".0"), base.rpartition(".")[0] or base, f"{base}.0rc1"]
    local = version.local or "cpu"
    texts += [f"{public}+{text}" for text in (f"{local}b", f"{local}.1", local[:-1].rstrip(".") or "a")]
    return Version(texts[change])


_VERSION = versions()
_EITHER = st.booleans()
_MOSTLY = st.sampled_from([True, True, True, False])
_OPERATOR = ["==", "!=", "==.*", "!=.*", "~=", ">=", "<=", "<", ">", "==="]
_OPERATORS = st.one_of(*(st.sampled_from(list(itertools.product(_OPERATOR, repeat=n))) for n in (1, 2, 3)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Version, Version]:
    """Draw two versions, half of the time near each other."""
    first = draw(_VERSION)
    return first, changed(first, draw(_CHANGE)) if draw(_EITHER) else draw(_VERSION)


@st.composite
def requirements(draw: st.DrawFn) -> tuple[Version, SpecifierSet]:
    """Draw a version and up to three specifiers whose versions are mostly near it."""
    version = draw(_VERSION)
    return version, draw(specifiers_near(version))


@st.composite
def specifiers_near(draw: st.DrawFn, version: Version) -> SpecifierSet:
    """Draw up to three specifiers whose versions are mostly near ``version``."""
    specifiers = []
    for operator in draw(_OPERATORS):
        bound = changed(version, draw(_CHANGE)) if draw(_MOSTLY) else draw(_VERSION)
        text = bound.public
        if operator.endswith(".*"):
            text = f"{bound.base_version}.*"
        elif operator in {"==", "!=", "==="}:
            text = str(bound)
        specifiers.append(operator.removesuffix(".*") + text)
    try:
        return SpecifierSet(",".join(specifiers))
    except InvalidSpecifier:  # ~= with one number
        assume(False)
        raise


def stripped(version: Version) -> tuple[int, ...]:
    """Return the release without trailing zeros."""
    release = list(version.release)
    while len(release) > 1 and not release[-1]:
        release.pop()
    return tuple(release)


def differ_in_zeros(first: Version, second: Version) -> bool:
    """Return whether the releases are equal and written with another number of zeros."""
    return first.epoch == second.epoch and stripped(first) == stripped(second) and first.release != second.release
