"""Debian relationship fields, and PEP 440 specifiers as such relations.

How a specifier of version X becomes relations (``X`` mapped by `versions.upstream_version`). Two facts drive it: a
package's own version carries a revision, so dpkg sees ``X-1`` above ``X``; and everything of X that is not a later
release (its revisions, its local versions) sorts below ``X++~``, where post-releases begin.

==========  ==========================================================
specifier   relations
==========  ==========================================================
``== X``    ``(>= X), (<< X++~)``; with a local part ``(<< X0A)`` above
``== X.*``  ``(>= X~~), (<< next X~~)``
``~= X.Y``  ``(>= X.Y), (<< next X~~)``
``>= X``    ``(>= X)``
``<= X``    ``(<< X++~)``
``> X``     ``(>= X++q)`` (PEP 440: no post-release of X), for a post-release X ``(>= X++~)``
``< X``     ``(<< X~~)`` (PEP 440: no pre-release of X), for a pre-release X ``(<< X)``
``!= X``    ``(<< X) | (>= X++~)``; with a local part ``(>= X0A)``
``!= X.*``  ``(<< X~~) | (>= next X~~)``
``=== X``   ``(>= X), (<< X+~)`` (no local version of X); with a local part like ``== X``
==========  ==========================================================

``0A`` is above the end and below everything that can follow a local part that ends in a letter: dpkg reads a missing
number as 0, local parts have small letters, and letters sort before dots. After a digit, ``A`` alone is. Bounds that no
pre-release may cross (``< X``, ``X.*``) leave trailing zeros of X out, so that they hold for 1 and 1.0 alike; all
others are written in the spelling of the locked version.

Source: PEP 440 "Version specifiers"; deb-version(7). docs/versions.md lists where dpkg and PEP 440 cannot agree;
tests/model/test_relations.py holds the laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from debtool.model.errors import InputError, Issue
from debtool.model.versions import upstream_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.specifiers import Specifier, SpecifierSet


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """One package with an optional bound; ``operator`` is one of ``<< <= = >= >>``.

    >>> str(Relation("libc6", ">=", "2.34"))
    'libc6 (>= 2.34)'
    """

    package: str
    operator: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        return self.package if self.operator is None else f"{self.package} ({self.operator} {self.version})"


@dataclass(frozen=True, slots=True, order=True)
class Clause:
    """Alternatives, the first preferred: ``a | b``."""

    alternatives: tuple[Relation, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.alternatives))


def clause(package: str, operator: str | None = None, version: str | None = None) -> Clause:
    """Return a clause of one relation."""
    return Clause((Relation(package, operator, version),))


def join(clauses: Iterable[Clause]) -> str:
    """Return a relationship field's text: every clause once, in the order of first appearance."""
    return ", ".join(map(str, dict.fromkeys(clauses)))


def requirement_clauses(package: str, specifiers: SpecifierSet, *, locked: Version | None = None) -> list[Clause]:
    """Return the relations on ``package`` for a requirement's specifiers (the table above).

    ``locked`` is the version that the stack ships: a specifier whose release differs from its release only by trailing
    zeros is written in its spelling, because dpkg, unlike PEP 440, tells 1.0 from 1.0.0.

    Raises:
        InputError: ``===`` with a text that no version has.

    >>> from packaging.specifiers import SpecifierSet
    >>> join(requirement_clauses("python3-x", SpecifierSet("~=1.4.2,!=1.4.5")))
    'python3-x (<< 1.4.5) | python3-x (>= 1.4.5++~), python3-x (>= 1.4.2), python3-x (<< 1.5~~)'
    """
    clauses: list[Clause] = []
    for specifier in sorted(specifiers, key=str):
        clauses += _specifier_clauses(package, specifier, locked)
    return list(dict.fromkeys(clauses)) or [clause(package)]


def _specifier_clauses(package: str, specifier: Specifier, locked: Version | None) -> list[Clause]:
    """Return the line of the module's table for ``specifier``."""
    if specifier.operator == "===":
        return _arbitrary_clauses(package, specifier)
    written = Version(specifier.version.removesuffix(".*"))
    if specifier.version.endswith(".*"):
        low = f"{upstream_version(_respelled(written, _stripped(written.release)))}~~"
        high = f"{_next(written, len(written.release))}~~"
        return _inside(package, low, high) if specifier.operator == "==" else [_outside(package, low, high)]
    version = written
    if locked is not None and _stripped(locked.release) == _stripped(written.release):
        version = _respelled(written, locked.release)
    own, above = upstream_version(version), _above(version)
    clauses = {
        "==": lambda: _inside(package, own, above),
        "!=": lambda: [_outside(package, own, above)],
        "~=": lambda: _inside(package, own, f"{_next(written, len(written.release) - 1)}~~"),
        ">=": lambda: [clause(package, ">=", own)],
        "<=": lambda: [clause(package, "<<", above)],
        "<": lambda: [clause(package, "<<", _below(version))],
        ">": lambda: [clause(package, ">=", above if version.is_postrelease else f"{own}++q")],
    }
    return clauses[specifier.operator]()


def _arbitrary_clauses(package: str, specifier: Specifier) -> list[Clause]:
    """Return the relations for ``===``, which compares texts (PEP 440 "Arbitrary equality")."""
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
    own = upstream_version(version)
    return _inside(package, own, _above(version) if version.local else f"{own}+~")


def _inside(package: str, low: str, high: str) -> list[Clause]:
    return [clause(package, ">=", low), clause(package, "<<", high)]


def _outside(package: str, low: str, high: str) -> Clause:
    return Clause((Relation(package, "<<", low), Relation(package, ">=", high)))


def _above(version: Version) -> str:
    """Return the bound above ``version`` with every revision and local version of it, and below all that follows."""
    own = upstream_version(version)
    if version.local is None:
        return f"{own}++~"
    return f"{own}A" if own[-1].isdigit() else f"{own}0A"


def _below(version: Version) -> str:
    """Return the bound for ``< version``."""
    if version.is_prerelease:
        return upstream_version(version)
    if not version.is_postrelease:
        version = _respelled(version, _stripped(version.release))
    return f"{upstream_version(version)}~~"


def _stripped(release: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``release`` without trailing zeros; one number always stays."""
    length = max((index + 1 for index, number in enumerate(release) if number), default=1)
    return release[:length]


def _respelled(version: Version, release: tuple[int, ...]) -> Version:
    """Return ``version`` with an equal release of another number of zeros."""
    rest = str(version).removeprefix(version.base_version)
    return Version(f"{version.epoch}!{'.'.join(map(str, release))}{rest}")


def _next(version: Version, length: int) -> str:
    """Return the release that follows every one that starts with the first ``length`` numbers of ``version``."""
    release = (*version.release, *(0,) * length)[:length]
    epoch = f"{version.epoch}:" if version.epoch else ""
    return epoch + ".".join(map(str, (*release[:-1], release[-1] + 1)))
