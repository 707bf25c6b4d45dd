"""A wheel of the lock, compiled here from its sdist for a baseline and put in the stack's place.

The stack's file says so (a ``[[rebuild]]`` table at its end) and the lock has the sdist's hash, so that every later
release builds the same, or takes what was built before from the cache.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from debtool.audit.findings import Level
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths
from debtool.audit.summary import LEVELS
from debtool.deb.files import replace_file
from debtool.model.definition import toml_string
from debtool.model.errors import FindingsError, InputError, Issue
from debtool.model.shipped import is_installed
from debtool.model.stack import Rebuild, parse_stack
from debtool.stack.audit import stack_baseline
from debtool.stack.facts import read_wheel
from debtool.stack.project import Project
from debtool.stack.refusal import told
from debtool.stack.suspects import Suspects
from debtool.stack.wheels import build_locked, read_lock
from debtool.wheel.fetch import FileCache, fetch, fetch_sdist
from debtool.wheel.resolve import inputs_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from debtool.audit.baselines import Baseline
    from debtool.audit.findings import PackageAudit
    from debtool.build.wheels import BuiltWheel
    from debtool.model.target import Target
    from debtool.stack.make import Watcher
    from debtool.wheel.lock import Lock, LockedFile


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What a rebuild does.

    Attributes:
        project: The stack with the new table.
        target: What the wheel is for.
        baseline: What it is compiled for.
        old: The lock's line now.
        new: The lock's line for the sdist.
        sdist: The sdist.
        lock: The lock with the new line.
        table: What is added to the end of the stack's file; empty if it says so already.
        text: The stack's file with it.
        before: The stack's file now.
    """

    project: Project
    target: Target
    baseline: Baseline
    old: LockedFile
    new: LockedFile
    sdist: Path
    lock: Lock
    table: str
    text: bytes
    before: bytes

    @property
    def changes(self) -> dict[Path, bytes]:
        """The files that become others, with their new contents."""
        lock = self.project.lock_file(self.target)
        files = {self.project.file: self.text, lock: str(self.lock).encode()}
        return {path: data for path, data in files.items() if path.read_bytes() != data}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to.

    Attributes:
        wheel: The wheel.
        audit: Its audit for the baseline; it executes nothing that this lacks.
        written: The files that were changed; none if the stack had it so already.
    """

    wheel: BuiltWheel
    audit: PackageAudit
    written: tuple[Path, ...]


def plan_rebuild(
    project: Project,
    target: Target,
    name: str,
    baseline: Baseline,
    *,
    cache: Path,
    settings: Mapping[str, str] | None = None,
    reason: str | None = None,
) -> RebuildPlan:
    """Return what it takes to compile a wheel of the lock; its sdist is fetched into the cache, nothing is written.

    Args:
        project: The stack.
        target: The system whose lock is meant.
        name: The distribution.
        baseline: The CPU that it is compiled for.
        cache: debtool's cache.
        settings: Settings of its build backend.
        reason: Why, for the stack's file.

    Raises:
        InputError: The lock has no such wheel, or it has no sdist; the stack says something else of it already, or its
            file cannot be added to.
        OutsideError: The sdist cannot be downloaded.
    """
    _check_baseline(project, baseline)
    before = project.file.read_bytes()
    lock = read_lock(project, target)
    old = _locked(project, lock, target, name)
    known = project.stack.rebuilds_for(target.name).get(old.name)
    wanted = Rebuild(
        wheel=old.name,
        cpu=baseline.name,
        targets=(target.name,),
        settings=dict(settings or {}),
        reason=reason or "its own wheel may execute what this CPU lacks",
    )
    if known is None:
        table = rebuild_table(wanted)
        text = _appended(project, before, table, wanted)
        project = Project(project.file, parse_stack(text.decode(), project.file))
    elif (known.cpu, known.settings) == (wanted.cpu, wanted.settings):
        table, text = "", before
    else:
        fix = f"change its [[rebuild]] in {project.file}, then debtool lock --target {target.name}"
        raise InputError(Issue(f"{old.name} is rebuilt in another way already", field="rebuild", fix=fix))
    files = FileCache.below(cache)
    new = (
        old
        if not old.is_wheel and files.path(old.sha256, old.file).is_file()
        else fetch_sdist(old.name, old.version, target, files)
    )
    new = replace(new, cpu=baseline.name)
    entries = tuple(new if entry == old else entry for entry in lock.files)
    after = replace(lock, inputs=inputs_digest(project.stack, target), files=entries)
    return RebuildPlan(
        project, target, baseline, old, new, files.path(new.sha256, new.file), after, table, text, before
    )


def carry_out(plan: RebuildPlan, *, cache: Path, jobs: int, watcher: Watcher) -> Rebuilt:
    """Compile and audit the wheel, and only if it executes nothing that the baseline lacks, put it in place.

    The stack's file is written before the lock. Killed in between, a release says that the lock is out of date, and
    `debtool lock` makes it as it would have been.

    Raises:
        FindingsError: The result may execute what the baseline lacks, or has no compiled files any more; nothing was
            written but the cache.
        DebtoolError: It cannot be built.
    """
    project, target, name = plan.project, plan.target, plan.old.name
    files = FileCache.below(cache)
    others = replace(plan.lock, files=tuple(e for e in plan.lock.files if e.is_wheel), artefacts=())
    wheels = {str(one): path for one, path in fetch(others, target, files).items()}
    built = build_locked(project, target, plan.new, plan.sdist, wheels, cache, watcher)
    facts = read_wheel(built.path, target, sha256=built.sha256)
    if plan.old.is_wheel and not facts.elf and _has_elf(plan, files):
        fix = f"read {built.path.parent / 'build.log'}"
        raise FindingsError(Issue(f"the build of {name} left out what the index's wheel has compiled", fix=fix))
    [audit] = audit_paths(
        [built.path], plan.baseline, load_rules(), cache=cache, jobs=jobs, hashes={built.path: built.sha256}
    )
    if audit.level is Level.UNPROVEN:
        raise FindingsError(_unproven(plan, built, audit))
    changes = plan.changes
    if project.file.read_bytes() != plan.before:
        raise InputError(Issue("was changed meanwhile", file=project.file, fix="run it again: what was built is kept"))
    for path, data in changes.items():
        replace_file(path, data, mode=stat.S_IMODE(path.stat().st_mode))
    return Rebuilt(built, audit, tuple(changes))


def rebuild_table(rebuild: Rebuild) -> str:
    """Return the table for the end of a stack's file.

    >>> print(rebuild_table(Rebuild(wheel="markupsafe", cpu="westmere", targets=("noble",), reason="AVX")))
    [[rebuild]]
    wheel = "markupsafe"
    cpu = "westmere"
    targets = ["noble"]
    reason = "AVX"
    <BLANKLINE>
    """
    lines = ["[[rebuild]]", f"wheel = {toml_string(rebuild.wheel)}", f"cpu = {toml_string(rebuild.cpu)}"]
    lines += [f"targets = [{', '.join(map(toml_string, rebuild.targets))}]"] if rebuild.targets else []
    if rebuild.settings:
        pairs = (f"{toml_string(key)} = {toml_string(value)}" for key, value in rebuild.settings.items())
        lines.append(f"settings = {{ {', '.join(pairs)} }}")
    return "\n".join([*lines, f"reason = {toml_string(rebuild.reason)}", ""])


def _check_baseline(project: Project, baseline: Baseline) -> None:
    wanted = stack_baseline(project)
    if wanted is not None and (more := baseline.features - wanted.features):
        problem = f"{baseline.name} has what the stack's baseline {wanted.name} lacks: {', '.join(sorted(more))}"
        raise InputError(Issue(problem, field="--cpu", fix=f"--cpu {wanted.name}"))


def _locked(project: Project, lock: Lock, target: Target, name: str) -> LockedFile:
    wanted = canonicalize_name(name)
    found = next((entry for entry in lock.files if entry.name == wanted), None)
    if found is not None:
        return found
    file = project.lock_file(target)
    if any(entry.name == wanted for entry in lock.artefacts):
        fix = "its [[artefact]] in the stack says how it comes about; a companion is compiled with its 'environment'"
        raise InputError(Issue(f"{wanted} does not come from the index", file=file, field=wanted, fix=fix))
    fix = f"a distribution of the lock for {target.name}"
    raise InputError(Issue("is no distribution of the lock", file=file, field=wanted, fix=fix))


def _appended(project: Project, old: bytes, table: str, wanted: Rebuild) -> bytes:
    """Return the stack's file ``old`` with ``table`` at its end; every byte before stays.

    Raises:
        InputError: It belongs to debtool's installation, or would say something else then than it says and ``wanted``.
    """
    file = project.file
    if is_installed(file):
        fix = "work on a stack of your own: debtool init DIR, or copy this one"
        raise InputError(Issue("belongs to debtool's installation", file=file, fix=fix))
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    gap = b"" if old.endswith(b"\n") else newline
    text = old + gap + newline + table.encode().replace(b"\n", newline)
    expected = project.stack.model_copy(update={"rebuild": (*project.stack.rebuild, wanted)})
    try:
        same = parse_stack(text.decode(), file) == expected
    except InputError:
        same = False
    if not same:
        fix = f"write this into it yourself, then run it again:\n\n{table}"
        raise InputError(Issue("cannot be added to without changing what it says", file=file, fix=fix))
    return text


def _has_elf(plan: RebuildPlan, files: FileCache) -> bool:
    only = replace(plan.lock, files=(plan.old,), artefacts=())
    [wheel] = fetch(only, plan.target, files).values()
    return bool(read_wheel(wheel, plan.target, sha256=plan.old.sha256).elf)


def _unproven(plan: RebuildPlan, built: BuiltWheel, audit: PackageAudit) -> Issue:
    problem = (
        f"{plan.old.name} {plan.old.version} compiled for {plan.baseline.name} still "
        f"{LEVELS[audit.level]}: {told(Suspects.of(audit).findings, built.path, plan.baseline.name)}"
    )
    fix = "give its build backend what keeps this out (--config-setting NAME=VALUE), or take another way"
    return Issue(problem, field=plan.old.name, fix=f"{fix}; nothing was put in place")
