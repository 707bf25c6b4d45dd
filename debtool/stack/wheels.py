"""The wheels of a release: fetched by the lock, built here where the index has none, or kept from a long build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from debtool.build.results import COMMANDS, find
from debtool.build.wheels import build_companion, build_sdist
from debtool.model.errors import InputError, Issue
from debtool.stack.audit import known_baseline
from debtool.stack.facts import FactCache
from debtool.stack.make import LateStage
from debtool.wheel.fetch import FileCache, fetch
from debtool.wheel.lock import parse_lock
from debtool.wheel.resolve import inputs_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from debtool.audit.baselines import Baseline
    from debtool.build.results import Kept
    from debtool.build.wheels import BuiltWheel
    from debtool.model.stack import Artefact
    from debtool.model.target import Target
    from debtool.stack.facts import WheelFacts
    from debtool.stack.make import Watcher
    from debtool.stack.project import Project
    from debtool.stack.release import Request
    from debtool.wheel.lock import Lock, LockedFile


def read_lock(project: Project, target: Target) -> Lock:
    """Return the stack's lock for ``target``.

    Raises:
        InputError: There is none, it is damaged, or it was made from other requirements than the stack has now.
    """
    file = project.lock_file(target)
    fix = f"debtool --config {project.file} lock --target {target.name}"
    if not file.is_file():
        raise InputError(Issue(f"there is no lock for {target.name}", file=file, fix=fix))
    lock = parse_lock(file.read_text(encoding="utf-8"), file)
    if lock.inputs != inputs_digest(project.stack, target):
        raise InputError(
            Issue("was made from other requirements than the stack has now", file=file, field="inputs", fix=fix)
        )
    return lock


def gather_wheels(request: Request, watcher: Watcher) -> list[WheelFacts]:
    """Return every wheel of the lock: fetched, built in isolation and kept, or the result of a long build.

    Raises:
        DebtoolError: A wheel cannot be had; all of one kind are told at once.
    """
    target = request.target
    lock = read_lock(request.project, target)
    artefacts = request.project.stack.artefacts_for(target.name)
    sources = {name: place for name, place in request.sources.items() if name in artefacts}
    built = _long_builds(request, artefacts, sources)
    files = FileCache.below(request.cache)
    fetching = LateStage(watcher, "fetch")

    def progress(what: str, done: int, total: int) -> None:
        fetching.step(what, total - done + 1)

    paths = {str(name): path for name, path in fetch(lock, target, files, sources=sources, progress=progress).items()}
    paths |= {name: kept.wheel for name, kept in built.items()}
    digests = {kept.wheel: kept.sha256 for kept in built.values()}
    _hash(paths, request.project, artefacts, files, digests)
    for entry in lock.files:
        if not entry.is_wheel:
            sdist = paths.pop(entry.name)
            paths[entry.name] = build_locked(request.project, target, entry, sdist, paths, request.cache, watcher).path
    for name, artefact in artefacts.items():
        if artefact.kind == "companion" and name not in sources:
            folder = request.project.folder
            compiling = LateStage(watcher, f"compile {name}").step
            paths[name] = build_companion(
                artefact, target, wheels=paths, folder=folder, cache=request.cache, watch=compiling
            ).path
    _hash(paths, request.project, artefacts, files, digests)
    facts = FactCache(request.cache / "facts")
    return [facts.read(path, digests[path], target) for _, path in sorted(paths.items())]


def build_locked(
    project: Project,
    target: Target,
    entry: LockedFile,
    sdist: Path,
    wheels: Mapping[str, Path],
    cache: Path,
    watcher: Watcher,
) -> BuiltWheel:
    """Build a locked sdist, for the CPU that its line names, or take what was built from it before.

    Raises:
        DebtoolError: What `debtool.build.wheels.build_sdist` raises; the lock names a baseline that is not known.
    """
    compiling = LateStage(watcher, f"build {entry.name}").step
    rebuild = project.stack.rebuilds_for(target.name).get(entry.name)
    if rebuild is None:
        return build_sdist(entry, sdist, target, wheels=wheels, cache=cache, watch=compiling)
    number = project.stack.rebuild.index(rebuild)
    flags = compiler_flags(known_baseline(project, rebuild.cpu, ("rebuild", number, "cpu")))
    return build_sdist(
        entry,
        sdist,
        target,
        wheels=wheels,
        cache=cache,
        variables=flags,
        settings=rebuild.settings,
        watch=compiling,
    )


def compiler_flags(baseline: Baseline) -> dict[str, str]:
    """Return the variables that tell compilers which instructions there are: gcc(1), rustc's ``-C target-cpu``."""
    march = f"-march={baseline.march}"
    return {"CFLAGS": march, "CXXFLAGS": march, "FFLAGS": march, "RUSTFLAGS": f"-C target-cpu={baseline.march}"}


def _long_builds(request: Request, artefacts: Mapping[str, Artefact], sources: Mapping[str, str]) -> dict[str, Kept]:
    """Return the kept results of the artefacts of kind ``build`` that ``sources`` does not give.

    Raises:
        InputError: Some are not built yet, or damaged; all of them.
    """
    found: dict[str, Kept] = {}
    issues: list[Issue] = []
    target = request.target.name
    for name, artefact in artefacts.items():
        if artefact.kind != "build" or name in sources:
            continue
        try:
            kept = find(request.cache, target, name, artefact.version)
        except InputError as error:
            issues += error.issues
            continue
        if kept is not None:
            found[name] = kept
            continue
        fix = f"give the wheel: --source {name}=PATH"
        if name in COMMANDS:
            fix = f"debtool --config {request.project.file} {COMMANDS[name]} --target {target}, or {fix}"
        problem = f"{name} {artefact.version} is built from source for this target, and its wheel is not here"
        issues.append(Issue(problem, field=f"artefact {name}", fix=fix))
    if issues:
        raise InputError(*issues)
    return found


def _hash(
    paths: Mapping[str, Path],
    project: Project,
    artefacts: Mapping[str, Artefact],
    files: FileCache,
    digests: dict[Path, str],
) -> None:
    """Add the hashes of ``paths`` to ``digests``, which has some already.

    Raises:
        InputError: Wheels are not those that the stack pins by their hash.
    """
    digests.update((path, files.sha256(path)) for path in paths.values() if path not in digests)
    issues = [
        Issue(
            f"{paths[name].name} has the SHA-256 {digests[paths[name]]}, the stack says {artefact.sha256}",
            file=project.file,
            field=f"artefact {name}",
            fix="find out why it is another wheel than the one that was pinned before you correct sha256",
        )
        for name, artefact in artefacts.items()
        if artefact.sha256 is not None and name in paths and digests[paths[name]] != artefact.sha256
    ]
    if issues:
        raise InputError(*issues)
