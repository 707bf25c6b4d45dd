"""PEP 440 specifiers as ranges of releases, for programs that have no PEP 440 at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from packaging.specifiers import Specifier, SpecifierSet

    # From, inclusive, and to, exclusive; None has no end there.
    ReleaseRange = tuple[Version | None, Version | None]

_RULE = "ranges of releases: >=, <, ~=, ==X.* and !=X.*, each with a plain release (docs/patches.md)"


def release_ranges(specifiers: SpecifierSet) -> tuple[ReleaseRange, ...]:
    """Return the releases that all of ``specifiers`` take, ascending; a pre-release counts as its release.

    Raises:
        InputError: One of them is no range of releases, such as ``<=1.7.2`` (is 1.7.2.1 in it?), or none is left.

    >>> from packaging.specifiers import SpecifierSet
    >>> [(str(low), str(high)) for low, high in release_ranges(SpecifierSet(">=0.7.0,<1.8.0,!=1.3.*"))]
    [('0.7.0', '1.3'), ('1.4', '1.8.0')]
    """
    ranges: list[ReleaseRange] = [(None, None)]
    for specifier in sorted(specifiers, key=str):
        ranges = [both for one in ranges for other in _ranges(specifier) if (both := _shared(one, other)) is not None]
    if not ranges:
        problem = f"no release satisfies {specifiers}"
        raise InputError(Issue(problem, rule=_RULE, fix="write specifiers that some version satisfies"))
    return tuple(sorted(ranges, key=lambda one: one[0] or Version("0")))


def within(version: Version, ranges: tuple[ReleaseRange, ...]) -> bool:
    """Return whether the release of ``version`` is in one of ``ranges``.

    >>> within(Version("1.8.0rc1"), ((None, Version("1.8")),))
    False
    """
    release = Version(version.base_version)
    return any((low is None or release >= low) and (high is None or release < high) for low, high in ranges)


def _ranges(specifier: Specifier) -> list[ReleaseRange]:
    text = specifier.version
    series = text.endswith(".*")
    version = Version(text.removesuffix(".*")) if specifier.operator != "===" else None
    if version is not None and not version.epoch and str(version) == version.base_version:
        match specifier.operator, series:
            case ">=", False:
                return [(version, None)]
            case "<", False:
                return [(None, version)]
            case "~=", False:
                return [(version, _following(version.release[:-1]))]
            case "==", True:
                return [(version, _following(version.release))]
            case "!=", True:
                return [(None, version), (_following(version.release), None)]
    raise InputError(Issue(f"{specifier} is no range of releases", rule=_RULE, fix=_fix(specifier)))


def _fix(specifier: Specifier) -> str:
    match specifier.operator:
        case "<=":
            return "write < and the first release that needs nothing"
        case ">":
            return "write >= and the first release that is meant"
        case "==" | "===" | "!=":
            operator = specifier.operator.replace("===", "==")
            return f"write {operator}{specifier.version.removesuffix('.*')}.*, or two bounds with >= and <"
    return "write a plain release, such as 1.8.0"


def _following(release: tuple[int, ...]) -> Version:
    return Version(".".join(map(str, (*release[:-1], release[-1] + 1))))


def _shared(one: ReleaseRange, other: ReleaseRange) -> ReleaseRange | None:
    lows = [low for low, _ in (one, other) if low is not None]
    highs = [high for _, high in (one, other) if high is not None]
    low, high = max(lows, default=None), min(highs, default=None)
    return None if low is not None and high is not None and low >= high else (low, high)
