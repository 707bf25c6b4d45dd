"""The plan of a release: which packages are built, which are reused, and why. Nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from debtool.model.errors import InputError, Issue
from debtool.model.versions import DebianVersion, revision_number, with_revision
from debtool.stack.draft import Build

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from debtool.stack.audit import Gate
    from debtool.stack.draft import Draft

Action = Literal["build", "reuse", "keep"]


class Published(Protocol):
    """What the plan must know of a package that some suite of the archive has."""

    @property
    def name(self) -> str:
        """The package's name."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def input_key(self) -> str | None:
        """The key of the inputs that it was built from."""


class History(Protocol):
    """What has been published, and what earlier builds were made of."""

    def current(self) -> Mapping[str, Published]:
        """Return what the suite has now, by name."""

    def versions(self, name: str) -> Sequence[Published]:
        """Return every version of ``name`` that the archive has in any suite."""

    def inputs(self, name: str, version: str) -> Mapping[str, str] | None:
        """Return the recorded inputs of an earlier build, if they are known."""


@dataclass(frozen=True, slots=True)
class PlannedPackage:
    """One package of a plan.

    Attributes:
        draft: The package.
        build: Its version, date and key.
        previous: The version that the suite has now.
        action: ``keep``: the suite has it; ``reuse``: it was built before; ``build``: it must be built.
        why: The reason, in words.
    """

    draft: Draft
    build: Build
    previous: DebianVersion | None
    action: Action
    why: str

    @property
    def name(self) -> str:
        """The package's name."""
        return self.draft.name

    @property
    def filename(self) -> str:
        """The name of its file (Policy 5.6.12: without the epoch)."""
        return f"{self.name}_{self.build.version.without_epoch}_{self.draft.architecture}.deb"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a release does.

    Attributes:
        suite: Where it goes.
        packages: Every package of the release, those that others depend on exactly before these.
        removed: Names that the suite has and the release has not.
        gate: Its wheels, audited; None if the stack names no baseline.
        refusals: Why it is not carried out; none if it is.
        warnings: What the audit found that is to be looked after.
    """

    suite: str
    packages: tuple[PlannedPackage, ...]
    removed: tuple[str, ...]
    gate: Gate | None = None
    refusals: tuple[Issue, ...] = ()
    warnings: tuple[Issue, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether the suite becomes another one."""
        return bool(self.removed) or any(package.action != "keep" for package in self.packages)

    def of(self, action: Action) -> list[PlannedPackage]:
        """Return the packages with ``action``."""
        return [package for package in self.packages if package.action == action]


def plan_packages(drafts: Iterable[Draft], history: History, suite: str, date: int) -> Plan:
    """Choose a version for every draft.

    An equal input key reuses the published version; else the revision is the smallest above every published one of the
    same upstream version and target. A change that is taken back is a new revision where the suite has a higher one:
    apt never goes back by itself.

    Raises:
        InputError: Two drafts have one name, or they depend on each other in a circle.
    """
    current = history.current()
    versions: dict[str, DebianVersion] = {}
    packages: list[PlannedPackage] = []
    for draft in _in_order(drafts):
        key = draft.key(versions)
        published = current.get(draft.name)
        previous = DebianVersion(published.version) if published else None
        version, known = _choose_version(draft, key, history.versions(draft.name), previous)
        versions[draft.name] = version
        build = Build(version, {name: versions[name] for name in draft.exact}, date, key)
        action: Action = "build"
        if known:
            action = "keep" if previous == version else "reuse"
        why = _why(draft, action, previous, history)
        packages.append(PlannedPackage(draft, build, previous, action, why))
    removed = tuple(sorted(set(current) - set(versions)))
    return Plan(suite, tuple(packages), removed)


def _in_order(drafts: Iterable[Draft]) -> list[Draft]:
    waiting: dict[str, Draft] = {}
    for draft in sorted(drafts, key=lambda draft: draft.name):
        if draft.name in waiting:
            raise InputError(
                Issue(f"two packages are called {draft.name}", fix="rename the stack's package of that name")
            )
        waiting[draft.name] = draft
    ordered: dict[str, Draft] = {}
    while waiting:
        ready = [draft for draft in waiting.values() if all(name in ordered for name in draft.exact)]
        if not ready:
            circle = ", ".join(waiting)
            raise InputError(
                Issue(f"these packages need each other exactly: {circle}", fix="take one '=' out of 'needs'")
            )
        for draft in ready:
            ordered[draft.name] = waiting.pop(draft.name)
    return list(ordered.values())


def _choose_version(
    draft: Draft, key: str, published: Sequence[Published], previous: DebianVersion | None
) -> tuple[DebianVersion, bool]:
    """Return the version of ``draft``, and whether it is published."""
    tag, suffix = draft.target.tag, draft.stack.suffix
    versions = [DebianVersion(package.version) for package in published]
    same = [version for version, package in zip(versions, published, strict=True) if package.input_key == key]
    if same:
        best = max(same)
        if previous is None or previous.upstream != best.upstream or best >= previous:
            return best, True
    numbers = [revision_number(str(version)) for version in versions]
    taken = [
        number
        for version, number in zip(versions, numbers, strict=True)
        if version == with_revision(draft.upstream, number, tag, suffix)
    ]
    return with_revision(draft.upstream, max(taken, default=0) + 1, tag, suffix), False


def _why(draft: Draft, action: Action, previous: DebianVersion | None, history: History) -> str:
    if action == "keep":
        return "unchanged"
    if action == "reuse":
        return "published before with the same inputs"
    if previous is None:
        return "not published yet"
    old = history.inputs(draft.name, str(previous))
    if old is None:
        return "inputs differ from the published package's"
    new = draft.all_inputs()
    changed = [name for name in sorted(set(old) | set(new)) if old.get(name) != new.get(name)]
    return f"changed: {', '.join(changed)}" if changed else "exact dependencies changed"
