"""What a wheel requires, as relations of its package on the packages of other wheels."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from debtool.model.errors import InputError, Issue
from debtool.model.names import wheel_package
from debtool.model.specifiers import requirement_clauses

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from debtool.model.relations import Clause
    from debtool.model.target import Target


class Requiring(Protocol):
    """What has requirements: an open wheel, or what was read from one before."""

    @property
    def path(self) -> Path:
        """The wheel's file."""

    @property
    def name(self) -> NormalizedName:
        """The distribution."""

    @property
    def requires(self) -> Sequence[str]:
        """Its Requires-Dist entries."""


# A stack's wheels repeat each other's requirements, and every one is read more than once.
_requirement = cache(Requirement)


def requirements(wheel: Requiring, target: Target, extras: Collection[str] = ()) -> list[Requirement]:
    """Return the requirements of ``wheel`` that hold on ``target``, with those of its ``extras``.

    Markers are evaluated for the target and nothing else (PEP 508). A requirement of the distribution on itself, which
    is how an extra includes others, is followed. Raises ``InputError`` for a Requires-Dist that cannot be read.
    """
    parsed = []
    for text in wheel.requires:
        try:
            parsed.append(_requirement(text))
        except InvalidRequirement as error:
            fix = "have the wheel rebuilt"
            raise InputError(
                Issue(f"{text!r}: {error}", fix=fix, file=wheel.path, field="Requires-Dist", rule="PEP 508")
            ) from error
    wanted = {"", *map(canonicalize_name, extras)}
    followed: set[str] = set()
    found: list[Requirement] = []
    while extra := sorted(wanted - followed, key=lambda name: (name != "", name))[:1]:
        followed.add(extra[0])
        environment = {**target.environment(), "extra": extra[0]}
        for requirement in parsed:
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
            if canonicalize_name(requirement.name) == wheel.name:
                wanted.update(map(canonicalize_name, requirement.extras))
            elif requirement not in found:
                found.append(requirement)
    return found


def requirement_relations(
    wheel: Requiring,
    target: Target,
    *,
    prefix: str,
    locked: Mapping[NormalizedName, Version] | None = None,
    extras: Collection[str] = (),
) -> list[Clause]:
    """Return the relations of the package of ``wheel`` on other wheels' packages.

    Args:
        wheel: The wheel.
        target: What markers are evaluated for.
        prefix: The stack's, with which package names begin.
        locked: The versions of the stack; None if it is not part of a stack.
        extras: Extras of this wheel that the stack asks for; the extras that it asks of others are theirs to follow.

    Raises ``InputError`` with every requirement that the lock does not have.
    """
    needed = requirements(wheel, target, extras)
    missing = [need for need in needed if locked is not None and canonicalize_name(need.name) not in locked]
    if missing:
        raise InputError(
            *(
                Issue(
                    f"requires {need}, which the lock does not have",
                    fix=f"debtool lock --target {target.name}",
                    file=wheel.path,
                    field="Requires-Dist",
                )
                for need in missing
            )
        )
    clauses: list[Clause] = []
    for need in needed:
        version = None if locked is None else locked[canonicalize_name(need.name)]
        clauses += requirement_clauses(wheel_package(prefix, need.name), need.specifier, locked=version)
    return list(dict.fromkeys(clauses))
