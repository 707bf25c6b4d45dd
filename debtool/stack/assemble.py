"""From a stack's definition and its fetched inputs to the drafts of its packages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from debtool.elf.depends import Strength
from debtool.model.errors import InputError, Issue
from debtool.model.names import wheel_package
from debtool.model.stack import Source
from debtool.model.versions import upstream_version
from debtool.stack.audit import audit_wheels, stack_baseline
from debtool.stack.dependencies import WheelSet, all_dependencies
from debtool.stack.draft import StackDraft
from debtool.stack.onboarding import channel_stanza
from debtool.stack.patches import read_patch, refuse_unfilled, stack_patches
from debtool.stack.recipes.doctor import DoctorDraft
from debtool.stack.recipes.keyring import KeyringDraft
from debtool.stack.recipes.meta import MetaDraft
from debtool.stack.recipes.patch import PatchDraft
from debtool.stack.recipes.runtime import RuntimeDraft
from debtool.stack.recipes.tree import TreeDraft
from debtool.stack.recipes.wheel import WheelDraft
from debtool.stack.trees import fetch_tree, patch_tree, tree_files
from debtool.stack.vendor_keys import vendor_keys
from debtool.stack.wheels import gather_wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from debtool.archive.archive import Archive
    from debtool.model.stack import BasePackage, PatchPackage, Stack, TreePackage
    from debtool.model.target import Target
    from debtool.stack.audit import Gate, WheelAudit
    from debtool.stack.draft import Draft
    from debtool.stack.facts import WheelFacts
    from debtool.stack.make import Watcher
    from debtool.stack.release import Request


@dataclass(frozen=True, slots=True)
class Wheels:
    """The wheels of a release.

    Attributes:
        facts: What is known of each.
        gate: Those with compiled files, audited; None if the stack names no baseline.
    """

    facts: Sequence[WheelFacts]
    gate: Gate | None


def audited_wheels(request: Request, watcher: Watcher) -> Wheels:
    """Return every wheel of the release, fetched into the cache or built there, and audited.

    Raises:
        DebtoolError: An input is missing or wrong; every such problem of one kind is told at once.
    """
    _check_sources(request)
    # A misspelt baseline and a wrong patch are told before half a gigabyte is fetched.
    stack_baseline(request.project)
    for one in stack_patches(request.project):
        refuse_unfilled(one.patch, one.file)
    facts = gather_wheels(request, watcher)
    cache, jobs = request.cache, request.jobs
    return Wheels(facts, audit_wheels(request.project, request.target, facts, cache=cache, jobs=jobs, watcher=watcher))


def assemble(request: Request, archive: Archive | None, wheels: Wheels) -> list[Draft]:
    """Return the drafts of every package of the release; the trees that they are made of are fetched into the cache.

    Raises:
        DebtoolError: An input is missing or wrong; every such problem of one kind is told at once.
    """
    stack, target = request.project.stack, request.target
    audits = wheels.gate.wheels if wheels.gate else {}
    drafts: list[Draft] = list(
        wheel_drafts(stack, target, wheels.facts, bytecode=request.bytecode, locked=True, audits=audits)
    )
    for package in stack.package:
        drafts.append(_RECIPES[package.recipe](request, archive, package, drafts))
    return drafts


def _check_sources(request: Request) -> None:
    """Raise ``InputError`` for a replaced source that nothing of the stack takes: a misspelt name must not go by."""
    stack, target = request.project.stack, request.target
    known = list(stack.artefacts_for(target.name))
    for package in stack.package:
        if package.recipe == "tree":
            known += [package.name, *(f"{package.name}/{part.at}" for part in package.parts)]
    if target.rocm is not None:
        known.append("rocm-key")
    issues = [
        Issue(
            f"nothing of stack {stack.name} for {target.name} is called {name!r}",
            field="--source",
            fix=f"one of {', '.join(known)}" if known else "leave it out",
        )
        for name in request.sources
        if name not in known
    ]
    if issues:
        raise InputError(*issues)


def wheel_drafts(
    stack: Stack,
    target: Target,
    wheels: Iterable[WheelFacts],
    *,
    bytecode: bool,
    locked: bool,
    audits: Mapping[str, WheelAudit] | None = None,
) -> Iterable[WheelDraft]:
    """Yield a draft for every wheel; ``audits`` are those of the audited ones, by distribution.

    With ``locked``, the wheels are the whole set: a requirement that none of them meets is an error, and so is one
    whose version is another than the set's.
    """
    together = WheelSet(stack, target, {wheel.name: wheel for wheel in wheels}, locked=locked)
    direct = {canonicalize_name(Requirement(text).name) for text in stack.requirements.direct}
    for found in all_dependencies(together):
        wheel = found.wheel
        yield WheelDraft(
            stack=stack,
            target=target,
            name=wheel_package(stack.prefix, wheel.name),
            upstream=upstream_version(wheel.version),
            architecture="all" if wheel.pure else target.architecture,
            wheel=wheel,
            relations={str(strength): tuple(found.relations(strength)) for strength in Strength},
            provides=found.provides,
            requested=wheel.name in direct,
            bytecode=bytecode,
            settings=stack.wheel.get(wheel.name),
            audit=(audits or {}).get(wheel.name),
        )


def _keyring(request: Request, archive: Archive | None, package: BasePackage, _: list[Draft]) -> Draft:
    # A plan before the archive exists has no key yet; the package counts as new then, which it is.
    channel = request.project.archive_definition().channels[-1]
    suite = f"{request.target.name}-{channel}"
    stanza = channel_stanza(request.project.stack, archive, suite, request.url) if archive else ""
    return KeyringDraft(
        **_common(request, package),
        key_bytes=archive.key.public_binary if archive else b"",
        stanza=stanza,
        vendors=vendor_keys(request.target, request.cache, request.sources),
    )


def _meta(request: Request, _archive: Archive | None, package: BasePackage, drafts: list[Draft]) -> Draft:
    wheels = tuple(draft.name for draft in drafts if isinstance(draft, WheelDraft))
    common = _common(request, package)
    return MetaDraft(**{**common, "exact": (*wheels, *common["exact"]), "architecture": request.target.architecture})


def _patch(request: Request, _: Archive | None, package: PatchPackage, __: list[Draft]) -> Draft:
    return PatchDraft(**_common(request, package), patch=read_patch(request.project, package).patch)


def _tree(request: Request, _archive: Archive | None, package: TreePackage, _drafts: list[Draft]) -> Draft:
    folder, cache = request.project.folder, request.cache
    source = _replaced(package.source, request.sources.get(package.name))
    tree = fetch_tree(source, folder, cache)
    series = request.project.resolve(package.patches) if package.patches else None
    root = patch_tree(tree, series, cache, exclude=package.exclude, commit=source.commit)
    files = list(tree_files(root, exclude=package.exclude))
    for part in package.parts:
        given = request.sources.get(f"{package.name}/{part.at}")
        if given is None and any(file.name.startswith(f"{part.at}/") for file in files):
            continue  # a tree that was in use has fetched it itself
        place = fetch_tree(_replaced(part.source, given), folder, cache)
        listed = tree_files(place, exclude=(*package.exclude, ".git*"), include=part.include)
        files += [replace(file, name=f"{part.at}/{file.name}") for file in listed]
    return TreeDraft(**_common(request, package, package.version), files=tuple(files))


def _replaced(source: Source, given: str | None) -> Source:
    """Return the source that the user gave on the command line instead: a folder, or a repository and a commit."""
    if given is None:
        return source
    repository, _, commit = given.rpartition("@")
    if repository and len(commit) == 40:  # noqa: PLR2004 -- a full SHA-1
        return Source(git=repository, commit=commit)
    return Source(path=given)


def _simple(
    kind: type[StackDraft], request: Request, _: Archive | None, package: BasePackage, __: list[Draft]
) -> Draft:
    return kind(**_common(request, package))


def _common(request: Request, package: BasePackage, version: str | None = None) -> dict[str, Any]:
    stack = request.project.stack
    return {
        "stack": stack,
        "target": request.target,
        "name": stack.full_name(package.name),
        "upstream": version or stack.version,
        "exact": StackDraft.exact_needs(stack, package),
        "package": package,
    }


# A new recipe: a draft class in debtool/stack/recipes, a model in debtool/model/stack.py, and a line here.
_RECIPES: Mapping[str, Callable[..., Draft]] = {
    "runtime": partial(_simple, RuntimeDraft),
    "doctor": partial(_simple, DoctorDraft),
    "keyring": _keyring,
    "meta": _meta,
    "patch": _patch,
    "tree": _tree,
}
