"""Debian relationship fields: ``Depends: a (>= 1), b | c`` (Debian Policy 7.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


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
