"""A release from its definition to its publication: fetch, plan, make, publish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from debtool.archive.archive import Archive
from debtool.archive.values import ArchiveConfig
from debtool.model.errors import FindingsError, InputError, Issue
from debtool.stack.assemble import assemble, audited_wheels
from debtool.stack.make import make_packages
from debtool.stack.plan import plan_packages
from debtool.stack.refusal import refusals, warnings
from debtool.stack.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from debtool.archive.values import Publication, PublishedPackage
    from debtool.model.archive import ArchiveDefinition
    from debtool.model.target import Target
    from debtool.stack.assemble import Wheels
    from debtool.stack.make import Watcher
    from debtool.stack.plan import Plan, PlannedPackage
    from debtool.stack.project import Project


@dataclass(frozen=True, slots=True)
class Request:
    """What a release is asked to do.

    Attributes:
        project: The stack.
        target: The system that the packages are for.
        channel: Where it is published.
        directory: The archive's public folder.
        cache: Where wheels, trees and built packages are kept.
        url: Where machines reach the archive; None takes the archive definition's, or the folder itself.
        sources: Replacements by name: ``torch`` a wheel's path, URL or index; a tree's path or ``URL@COMMIT``.
        jobs: How many packages are built at once.
        bytecode: Whether packages carry bytecode.
        date: The release's date, seconds since 1970 UTC.
    """

    project: Project
    target: Target
    channel: str
    directory: Path
    cache: Path
    url: str | None
    sources: Mapping[str, str]
    jobs: int
    bytecode: bool
    date: int

    @property
    def suite(self) -> str:
        """The suite that is published."""
        return f"{self.target.name}-{self.channel}"

    @property
    def store(self) -> Store:
        """Where built packages are kept."""
        return Store(self.cache / "debs" / self.project.stack.name)

    def where(self, definition: ArchiveDefinition) -> str:
        """Return the address that machines use."""
        return self.url or definition.url or self.directory.resolve().as_uri()


@dataclass(frozen=True, slots=True)
class ArchiveHistory:
    """What an archive and the store know of earlier releases; an archive that does not exist yet knows nothing."""

    archive: Archive | None
    store: Store
    suite: str

    def current(self) -> dict[str, PublishedPackage]:
        """Return what the suite has now, by name."""
        return {p.name: p for p in self.archive.published(self.suite)} if self.archive else {}

    def versions(self, name: str) -> Sequence[PublishedPackage]:
        """Return every version of ``name`` in the archive."""
        return self.archive.all_versions(name) if self.archive else ()

    def inputs(self, name: str, version: str) -> Mapping[str, str] | None:
        """Return the recorded inputs of an earlier build."""
        return self.store.inputs(name, version)


@dataclass(frozen=True, slots=True)
class Released:
    """What a release came to.

    Attributes:
        plan: What was planned and carried out.
        publication: What changed in the archive.
        archive: The archive.
    """

    plan: Plan
    publication: Publication
    archive: Archive


def archive_config(definition: ArchiveDefinition, url: str | None) -> ArchiveConfig:
    """Return the archive room's configuration for an archive definition."""
    return ArchiveConfig(
        origin=definition.origin,
        label=definition.label,
        description=definition.description,
        key_uid=definition.key_uid,
        url=url or definition.url,
        architectures=definition.architectures,
        component=definition.component,
        valid_for=timedelta(days=definition.valid_days) if definition.valid_days else None,
    )


def existing_archive(request: Request) -> Archive | None:
    """Return the request's archive, None if it was not made yet; raises what `ensure_archive` raises."""
    _definition(request)
    try:
        return Archive.open(request.directory)
    except InputError:
        if request.directory.exists() and any(request.directory.iterdir()):
            raise
        return None


def ensure_archive(request: Request) -> Archive:
    """Return the request's archive, made if it does not exist.

    Raises:
        InputError: The channel is none of the archive's, or the folder holds something else.
    """
    definition = _definition(request)
    return Archive.init(request.directory, archive_config(definition, request.where(definition)))


def _definition(request: Request) -> ArchiveDefinition:
    definition = request.project.archive_definition()
    if request.channel not in definition.channels:
        raise InputError(
            Issue(
                f"there is no channel {request.channel!r}",
                file=request.project.folder / request.project.stack.archive,
                field="channels",
                fix=f"one of {', '.join(definition.channels)}, or add it there",
            )
        )
    return definition


def plan_release(request: Request, watcher: Watcher) -> Plan:
    """Return what a release would do now. Inputs are fetched into the cache; nothing else is written.

    A release of a plan with refusals does nothing.
    """
    archive = existing_archive(request)
    return _plan(request, archive, audited_wheels(request, watcher))


def _plan(request: Request, archive: Archive | None, wheels: Wheels) -> Plan:
    drafts = assemble(request, archive, wheels)
    history = ArchiveHistory(archive, request.store, request.suite)
    plan = plan_packages(drafts, history, request.suite, request.date)
    project, gate = request.project, wheels.gate
    return replace(
        plan,
        gate=gate,
        refusals=tuple(refusals(gate, project, request.target)),
        warnings=tuple(warnings(gate, project)),
    )


def _allowed(request: Request, watcher: Watcher) -> tuple[Archive, Plan]:
    """Return the archive, made if it does not exist, and the plan of a release that is not refused.

    Raises:
        FindingsError: The audit refuses a wheel; nothing was written but the cache.
    """
    existing_archive(request)  # what is wrong with it is told before anything is fetched
    wheels = audited_wheels(request, watcher)
    if refused := refusals(wheels.gate, request.project, request.target):
        raise FindingsError(*refused)
    archive = ensure_archive(request)
    return archive, _plan(request, archive, wheels)


def build_release(request: Request, watcher: Watcher) -> tuple[Plan, list[Path]]:
    """Build what a release needs without publishing it; returns the files of the packages that were not published.

    The archive is made if it does not exist: its key is part of the keyring package.

    Raises:
        DebtoolError: What could not be fetched or built, or is refused by the audit.
    """
    _, plan = _allowed(request, watcher)
    return plan, make_packages(plan.of("build"), request.store, jobs=request.jobs, watcher=watcher)


def make_release(request: Request, watcher: Watcher) -> Released:
    """Build what changed and publish it in one step.

    Nothing that machines see changes before everything is built; a release that changes nothing writes nothing.

    Raises:
        DebtoolError: What could not be fetched, built or published, or is refused by the audit; the suite is as it was.
    """
    archive, plan = _allowed(request, watcher)
    make_packages(plan.of("build"), request.store, jobs=request.jobs, watcher=watcher)
    # With nothing to change, the archive is told of no package: it need not read half a gigabyte to find that out.
    debs = [_deb(package, archive, request.store) for package in plan.packages] if plan.changes else []
    if plan.changes:
        watcher.stage("publish", 1)
    publication = archive.publish(
        request.suite,
        debs,
        whole=plan.changes,
        description=f"{request.project.stack.title} for {request.target.title}",
        link=True,  # the store replaces its files, it never writes into one
    )
    if plan.changes:
        watcher.step(request.suite)
    return Released(plan, publication, archive)


def _deb(package: PlannedPackage, archive: Archive, store: Store) -> Path:
    """Return the file of a planned package: just built, or in the archive's pool."""
    if package.action == "build":
        return store.path(package)
    versions = {known.version: known for known in archive.all_versions(package.name)}
    return archive.pool_path(versions[str(package.build.version)])
