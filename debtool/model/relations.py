"""Debian relationship fields, and PEP 440 specifiers as such relations.

How a specifier of version X becomes relations (``X`` mapped by `versions.upstream_version`). Two facts drive it: a
package's own version carries a revision, so dpkg sees ``X-1`` above ``X``; and everything of X that is not a later
release (its revisions, its local versions) sorts below ``X++~``, where post-releases begin.

==========  ==========================================================
specifier   relations
==========  ==========================================================
``== X``    ``(>= X), (<< X++~)``; with a local part ``(<< X.~)`` above
``== X.*``  ``(>= X~~), (<< next X~~)``
``~= X.Y``  ``(>= X.Y), (<< next X~~)``
``>= X``    ``(>= X)``
``<= X``    ``(<< X++~)``
``> X``     ``(>= X++q)`` (PEP 440: no post-release of X), for a post-release X ``(>> X.~)``
``< X``     ``(<< X~~)`` (PEP 440: no pre-release of X)
``!= X``    ``(<< X) | (>= X++~)``
``=== X``   like ``== X``
==========  ==========================================================

Source: PEP 440 "Version specifiers"; deb-version(7); the laws are tested against `packaging` in tests/model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

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

    ``locked`` is the version that the stack ships: a specifier that differs from it only by trailing zeros is
    written in its spelling, because dpkg, unlike PEP 440, tells 1.0 from 1.0.0.

    >>> from packaging.specifiers import SpecifierSet
    >>> join(requirement_clauses("python3-x", SpecifierSet("~=1.4.2,!=1.4.5")))
    'python3-x (<< 1.4.5) | python3-x (>= 1.4.5++~), python3-x (>= 1.4.2), python3-x (<< 1.5~~)'
    """
    clauses: list[Clause] = []
    for specifier in sorted(specifiers, key=str):
        clauses += _specifier_clauses(package, specifier, locked)
    return list(dict.fromkeys(clauses)) or [clause(package)]


def _specifier_clauses(  # noqa: C901, PLR0911 -- the table of the module's docstring, a line each
    package: str, specifier: Specifier, locked: Version | None
) -> list[Clause]:
    operator, text = specifier.operator, specifier.version
    prefix_match = text.endswith(".*")
    version = Version(text.removesuffix(".*"))
    if locked is not None and not prefix_match and locked == version:
        version = locked
    own = upstream_version(version)
    above = _above(version)
    match operator:
        case "==" | "!=" if prefix_match:
            low, high = f"{own}~~", f"{_next(version, len(version.release))}~~"
            if operator == "==":
                return [clause(package, ">=", low), clause(package, "<<", high)]
            return [Clause((Relation(package, "<<", low), Relation(package, ">=", high)))]
        case "==" | "===":
            return [clause(package, ">=", own), clause(package, "<<", above)]
        case "!=":
            return [Clause((Relation(package, "<<", own), Relation(package, ">=", above)))]
        case "~=":
            return [clause(package, ">=", own), clause(package, "<<", f"{_next(version, len(version.release) - 1)}~~")]
        case ">=":
            return [clause(package, ">=", own)]
        case "<=":
            return [clause(package, "<<", above)]
        case "<":
            return [clause(package, "<<", own if version.is_prerelease else f"{own}~~")]
        case ">":
            return [clause(package, ">=", above if version.is_postrelease else f"{own}++q")]
    raise InputError(
        Issue(
            f"{specifier} has no Debian form",
            rule="PEP 440 version specifiers",
            fix="write the requirement with == != ~= >= <= > or <",
        )
    )


def _above(version: Version) -> str:
    """Return the bound above every revision and local version of ``version`` and below all that follows it."""
    own = upstream_version(version)
    if version.local is not None:
        return f"{own}.~"
    # A post-release, pre-release or development release is followed by another number, not by a post-release.
    return f"{own}++~"


def _next(version: Version, length: int) -> str:
    """Return the release that follows every one that starts with the first ``length`` numbers of ``version``."""
    release = (*version.release, *(0,) * length)[:length]
    epoch = f"{version.epoch}:" if version.epoch else ""
    return epoch + ".".join(map(str, (*release[:-1], release[-1] + 1)))
