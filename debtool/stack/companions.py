"""PyTorch, and what a stack compiles against it: by the same engine, in the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from debtool.build.wheels import build_companion
from debtool.model.errors import InputError, Issue
from debtool.stack.wheels import read_lock
from debtool.torch.build import compile_torch, phase
from debtool.torch.result import audit_wheel, finish, needs_of, run_wheel
from debtool.wheel.fetch import FileCache, fetch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from debtool.build.builder import Builder
    from debtool.build.checks import Check
    from debtool.build.drive import Watch
    from debtool.build.journal import Journal
    from debtool.build.results import Kept
    from debtool.build.wheels import BuiltWheel
    from debtool.model.stack import Artefact
    from debtool.model.target import Target
    from debtool.stack.project import Project
    from debtool.torch.build import Order


def is_expected(order: Order, project: Project) -> bool:
    """Return whether the result of ``order`` is what the stack asks for."""
    torch = project.stack.artefacts_for(order.target.name).get("torch")
    return torch is not None and torch.kind == "build" and torch.version == str(order.choice.version)


def build_torch(order: Order, builder: Builder, project: Project, checks: Sequence[Check]) -> Kept:
    """Build PyTorch, and against it what ``order`` names of the stack's companions; all is audited, and run.

    Raises:
        DebtoolError: What `debtool.torch.build.compile_torch` and `debtool.torch.result.finish` raise, and
            `build_against`; torch is kept by then.
    """
    compiled = compile_torch(order, builder, checks)
    kept = finish(order, compiled, builder)
    for artefact in companions_of(project, order.target, "torch"):
        if artefact.name not in order.companions:
            continue
        phase(order, builder, artefact.name)
        built = build_against(
            artefact, kept.wheel, project, order.target, cache=order.cache, journal=builder.journal, jobs=builder.jobs
        )
        audit_wheel(built.path, order, builder)
        if order.emulate:
            run_wheel(built.path, order, builder, needs_of(compiled.environment, built.path, kept.wheel))
    return kept


def companions_of(project: Project, target: Target, against: str) -> list[Artefact]:
    """Return what the stack compiles against the distribution ``against`` for ``target``."""
    artefacts = project.stack.artefacts_for(target.name).values()
    return [artefact for artefact in artefacts if artefact.kind == "companion" and artefact.against == against]


def look_at_companions(artefacts: Sequence[Artefact], project: Project, target: Target) -> None:
    """Look, before what they are compiled against is built, whether the stack has all that ``artefacts`` need.

    Raises:
        InputError: The lock is missing or out of date, or there is nothing at a source's path.
    """
    if not artefacts:
        return
    issues: list[Issue] = []
    try:
        read_lock(project, target)
    except InputError as error:
        names = ", ".join(artefact.name for artefact in artefacts)
        rule = f"what {names} is compiled with is the lock's; --no-companions builds without"
        issues += [replace(issue, rule=issue.rule or rule) for issue in error.issues]
    for artefact in artefacts:
        path = artefact.source.path if artefact.source else None
        if path is not None and not (folder := project.resolve(path)).exists():
            field, fix = f"artefact {artefact.name}", "correct the source's path, or --no-companions"
            issues.append(Issue(f"there is no such source: {folder}", file=project.file, field=field, fix=fix))
    if issues:
        raise InputError(*issues)


def build_against(
    artefact: Artefact,
    wheel: Path,
    project: Project,
    target: Target,
    *,
    cache: Path,
    journal: Journal,
    jobs: int,
    watch: Watch | None = None,
) -> BuiltWheel:
    """Compile ``artefact`` against ``wheel``, as a release would, which then finds it in the cache.

    What its build needs is the lock's, as far as the lock has it.

    Raises:
        DebtoolError: What `debtool.build.wheels.build_companion` raises; the lock is missing or out of date.
    """
    if artefact.against is None:
        raise AssertionError("the model gives every companion something to be compiled against")
    lock = read_lock(project, target)
    needed = {canonicalize_name(Requirement(text).name) for text in artefact.build_requires}
    entries = tuple(entry for entry in lock.files if entry.name in needed and entry.is_wheel)
    fetched = fetch(replace(lock, files=entries, artefacts=()), target, FileCache.below(cache))
    wheels = {**{str(name): path for name, path in fetched.items()}, artefact.against: wheel}
    return build_companion(
        artefact,
        target,
        wheels=wheels,
        folder=project.folder,
        cache=cache,
        watch=watch,
        journal=journal,
        jobs=jobs,
    )
