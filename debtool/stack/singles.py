"""Single wheels, outside a release: what ``debtool wheel deb`` makes and ``debtool wheel depends`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from debtool.model.errors import DebtoolError, InputError, Issue
from debtool.model.versions import with_revision
from debtool.stack.assemble import wheel_drafts
from debtool.stack.dependencies import WheelSet
from debtool.stack.draft import Build
from debtool.stack.facts import read_wheel
from debtool.stack.plan import PlannedPackage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from debtool.model.stack import Stack
    from debtool.model.target import Target
    from debtool.stack.dependencies import WheelDependencies
    from debtool.stack.facts import WheelFacts


def read_wheels(target: Target, wheels: Sequence[Path]) -> list[WheelFacts]:
    """Return the facts of ``wheels``.

    Raises:
        InputError: Wheels are missing, damaged or not for the target, or two are of one distribution.
    """
    facts: list[WheelFacts] = []
    issues: list[Issue] = []
    for path in wheels:
        if not path.is_file():
            issues.append(Issue("there is no such wheel", file=path, fix="correct the path"))
            continue
        try:
            facts.append(read_wheel(path.absolute(), target))
        except DebtoolError as error:
            issues += error.issues
    names = [one.name for one in facts]
    issues += [
        Issue(f"another wheel of {one.name} was given too", file=one.path, fix="give one wheel for each distribution")
        for one in facts
        if names.count(one.name) > 1
    ]
    if issues:
        raise InputError(*issues)
    return facts


def read_dependencies(stack: Stack, target: Target, wheels: Sequence[Path]) -> list[WheelDependencies]:
    """Return what the packages of ``wheels`` depend on; raises what `read_wheels` raises."""
    facts = read_wheels(target, wheels)
    together = WheelSet(stack, target, {wheel.name: wheel for wheel in facts}, locked=False)
    return [together.dependencies(wheel.name) for wheel in facts]


def plan_wheels(
    stack: Stack, target: Target, wheels: Sequence[Path], *, revision: int, bytecode: bool, date: int
) -> list[PlannedPackage]:
    """Return the packages of ``wheels``, each checked as far as that goes without reading all of its files.

    Raises:
        InputError: What `read_wheels` raises; something that a wheel needs cannot be mapped.
    """
    planned = []
    for draft in wheel_drafts(stack, target, read_wheels(target, wheels), bytecode=bytecode, locked=False):
        version = with_revision(draft.upstream, revision, target.tag, stack.suffix)
        build = Build(version, {}, date, draft.key({}))
        planned.append(PlannedPackage(draft, build, None, "build", "asked for"))
    return planned
