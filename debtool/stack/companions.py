"""What a stack compiles against a wheel that was just built: by the same engine, in the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from debtool.build.wheels import build_companion
from debtool.stack.wheels import read_lock
from debtool.wheel.fetch import FileCache, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.drive import Watch
    from debtool.build.journal import Journal
    from debtool.build.wheels import BuiltWheel
    from debtool.model.stack import Artefact
    from debtool.model.target import Target
    from debtool.stack.project import Project


def companions_of(project: Project, target: Target, against: str) -> list[Artefact]:
    """Return what the stack compiles against the distribution ``against`` for ``target``."""
    artefacts = project.stack.artefacts_for(target.name).values()
    return [artefact for artefact in artefacts if artefact.kind == "companion" and artefact.against == against]


def build_against(
    artefact: Artefact,
    wheel: Path,
    project: Project,
    target: Target,
    *,
    cache: Path,
    journal: Journal,
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
        artefact, target, wheels=wheels, folder=project.folder, cache=cache, watch=watch, journal=journal
    )
