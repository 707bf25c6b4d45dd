"""PEP 440 specifiers as sets of versions in dpkg's order.

What a specifier of version X becomes (``X`` mapped by `versions.upstream_version`). Two facts drive it: a package's own
version carries a revision, so dpkg sees ``X-1`` above ``X``; and everything of X that is not a later release (its
revisions, its local versions) sorts below ``X++~``, where post-releases begin.

==========  ==========================================================
specifier   versions
==========  ==========================================================
``== X``    ``[X, X++~)``; with a local part ``[X, X0A)``
``== X.*``  ``[X~~, next X~~)``
``~= X.Y``  ``[X.Y, next X~~)``
``>= X``    ``[X, )``
``<= X``    ``[, X++~)``
``> X``     ``[X++q, )`` (PEP 440: no post-release of X), for a post-release X ``[X++~, )``
``< X``     ``[, X~~)`` (PEP 440: no pre-release of X), for a pre-release X ``[, X)``
``!= X``    all but ``== X``
``!= X.*``  all but ``== X.*``
``=== X``   ``[X, X+~)`` (no local version of X); with a local part like ``== X``
==========  ==========================================================

``0A`` is above the end and below everything that can follow a local part that ends in a letter: dpkg reads a missing
number as 0, local parts have small letters, and letters sort before dots. After a digit, ``A`` alone is. Bounds that no
pre-release may cross (``< X``, ``X.*``) leave trailing zeros of X out, so that they hold for 1 and 1.0 alike; all
others are written in the spelling of the locked version.

Source: PEP 440 "Version specifiers"; deb-version(7). docs/versions.md lists where dpkg and PEP 440 cannot agree;
tests/model/test_specifiers.py holds the laws.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from debtool.model.errors import InputError, Issue
from debtool.model.ranges import VersionRange
from debtool.model.versions import DebianVersion, upstream_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.specifiers import Specifier, SpecifierSet

    from debtool.model.relations import Clause


def requirement_clauses(package: str, specifiers: SpecifierSet, *, locked: Version | None = None) -> list[Clause]:
    """Return the fewest relations on ``package`` that say what all of ``specifiers`` say; see `requirement_range`.

    >>> from packaging.specifiers import SpecifierSet
    >>> from debtool.model.relations import join
    >>> join(requirement_clauses("python3-x", SpecifierSet("~=1.4.2,!=1.4.5,<3")))
    'python3-x (>= 1.4.2), python3-x (<< 1.5~~), python3-x (<< 1.4.5) | python3-x (>= 1.4.5++~)'
    """
    return requirement_range(specifiers, locked=locked).clauses(package)


def requirement_range(specifiers: Iterable[Specifier], *, locked: Version | None = None) -> VersionRange:
    """Return the versions that all of ``specifiers`` take, of which there is at least one.

    ``locked`` is the version that the stack ships: a specifier whose release differs from its release only by trailing
    zeros is written in its spelling, because dpkg, unlike PEP 440, tells 1.0 from 1.0.0. Specifiers that differ so from
    each other are written alike.

    Raises:
        InputError: ``===`` with a text that no version has, or specifiers that no version satisfies.
    """
    ordered = sorted(specifiers, key=str)
    spellings = _spellings(ordered, locked)
    ranges = (specifier_range(specifier, spellings) for specifier in ordered)
    found = reduce(and_, ranges, VersionRange.between(None, None))
    if not found:
        raise InputError(
            Issue(
                f"no version satisfies {','.join(map(str, ordered))}",
                rule="PEP 440 'Version specifiers': a comma means and",
                fix="write specifiers that some version satisfies",
            )
        )
    return found


def specifier_range(
    specifier: Specifier, spellings: Mapping[tuple[int, ...], tuple[int, ...]] | None = None
) -> VersionRange:
    """Return the versions of the module's table for ``specifier``.

    ``spellings`` has, by release without trailing zeros, how that release is written. Raises ``InputError`` for ``===``
    with a text that no version has.
    """
    low, high = _ends(specifier, spellings or {})
    if specifier.operator == "!=" and low is not None and high is not None:
        return VersionRange.outside(low, high)
    return VersionRange.between(low, high)


def in_words(specifier: Specifier) -> str:
    """Return what ``specifier`` says, for a reader who does not know PEP 440 by heart.

    >>> from packaging.specifiers import Specifier
    >>> in_words(Specifier("~=1.4"))
    '~=1.4 is every version from 1.4 up to, not including, 2'
    """
    text = specifier.version
    if text.endswith(".*"):
        begins = f"begins with {text.removesuffix('.*')}"
        said = f"every version that {begins}" if specifier.operator == "==" else f"every version but what {begins}"
        return f"{specifier} is {said}"
    match specifier.operator:
        case "~=":
            said = f"every version from {text} up to, not including, {_next(specifier)}"
        case ">=":
            said = f"{text} and everything above"
        case "<=":
            said = f"{text} and everything below"
        case ">":
            release = "" if Version(text).is_postrelease else ", but for its own post-releases"
            said = f"everything above {text}{release}"
        case "<":
            release = "" if Version(text).is_prerelease else ", but for its own pre-releases"
            said = f"everything below {text}{release}"
        case "!=":
            said = f"every version but {text}"
        case "===":
            said = f"the version that is written {text}"
        case _:  # "=="
            said = f"{text}" if Version(text).local else f"{text}, whatever its local version"
    return f"{specifier} is {said}"


def respelled(specifiers: Iterable[Specifier], locked: Version) -> bool:
    """Return whether `requirement_range` writes any of ``specifiers`` in the spelling of ``locked``, unlike its own."""
    named = [
        Version(one.version).release for one in specifiers if one.operator != "===" and not one.version.endswith(".*")
    ]
    return any(_stripped(one) == _stripped(locked.release) and one != locked.release for one in named)


def _spellings(specifiers: Iterable[Specifier], locked: Version | None) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return how releases are written, by release without trailing zeros.

    The locked version decides, then ``===``, which cannot be written otherwise, then the longest one.
    """
    exact: dict[tuple[int, ...], tuple[int, ...]] = {}
    longest: dict[tuple[int, ...], tuple[int, ...]] = {}
    for specifier in specifiers:
        if specifier.operator == "===":
            release = _exact(specifier).release
            exact[_stripped(release)] = release
        elif not specifier.version.endswith(".*"):
            release = Version(specifier.version).release
            longest[_stripped(release)] = max(release, longest.get(_stripped(release), ()), key=len)
    return longest | exact | ({_stripped(locked.release): locked.release} if locked else {})


def _exact(specifier: Specifier) -> Version:
    """Return the version that ``===`` names; it compares texts (PEP 440 "Arbitrary equality")."""
    try:
        version = Version(specifier.version)
    except InvalidVersion:
        version = None
    if version is None or str(version) != specifier.version.lower():
        raise InputError(
            Issue(
                f"{specifier} compares texts, and no version is written so",
                rule="PEP 440 'Arbitrary equality'",
                fix=f"write =={version}" if version else "write the requirement with == != ~= >= <= > or <",
            )
        )
    return version


def _ends(
    specifier: Specifier, spellings: Mapping[tuple[int, ...], tuple[int, ...]]
) -> tuple[DebianVersion | None, DebianVersion | None]:
    """Return the ends of the interval that ``specifier`` takes, or leaves out if it is ``!=``."""
    if specifier.operator == "===":
        version = _exact(specifier)
        return _bound(version), _above(version) if version.local else _bound(version, "+~")
    written = Version(specifier.version.removesuffix(".*"))
    if specifier.version.endswith(".*"):
        return _bound(_respelled(written, _stripped(written.release)), "~~"), _bound(_next(specifier), "~~")
    version = _respelled(written, spellings.get(_stripped(written.release), written.release))
    low, high = None, None
    match specifier.operator:
        case "==" | "!=":
            low, high = _bound(version), _above(version)
        case "~=":
            low, high = _bound(version), _bound(_next(specifier), "~~")
        case ">=":
            low = _bound(version)
        case "<=":
            high = _above(version)
        case ">":
            low = _above(version) if version.is_postrelease else _bound(version, "++q")
        case "<":
            high = _below(version)
    return low, high


def _bound(version: Version, end: str = "") -> DebianVersion:
    return DebianVersion(f"{upstream_version(version)}{end}")


def _above(version: Version) -> DebianVersion:
    """Return the bound above ``version`` with every revision and local version of it, and below all that follows."""
    if version.local is None:
        return _bound(version, "++~")
    return _bound(version, "A" if version.local[-1].isdigit() else "0A")


def _below(version: Version) -> DebianVersion:
    """Return the bound for ``< version``."""
    if version.is_prerelease:
        return _bound(version)
    if not version.is_postrelease:
        version = _respelled(version, _stripped(version.release))
    return _bound(version, "~~")


def _stripped(release: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``release`` without trailing zeros; one number always stays."""
    length = max((index + 1 for index, number in enumerate(release) if number), default=1)
    return release[:length]


def _respelled(version: Version, release: tuple[int, ...]) -> Version:
    """Return ``version`` with an equal release of another number of zeros."""
    rest = str(version).removeprefix(version.base_version)
    return Version(f"{version.epoch}!{'.'.join(map(str, release))}{rest}")


def _next(specifier: Specifier) -> Version:
    """Return the release that follows every one of the series that ``== X.*`` or ``~= X.Y`` names."""
    version = Version(specifier.version.removesuffix(".*"))
    series = version.release if specifier.version.endswith(".*") else version.release[:-1]
    return Version(f"{version.epoch}!{'.'.join(map(str, (*series[:-1], series[-1] + 1)))}")
