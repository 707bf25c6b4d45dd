"""Why a package of a published release depends on another: the shortest way there, each step with its reason."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debian.deb822 import PkgRelation

from debtool.deb.reader import read_control
from debtool.model.errors import InputError, Issue
from debtool.model.names import wheel_package
from debtool.stack.dependencies import WheelSet
from debtool.stack.release import existing_archive
from debtool.stack.wheels import gather_wheels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from debian.deb822 import Deb822

    from debtool.stack.make import Watcher
    from debtool.stack.release import Request

_FIELDS = ("Pre-Depends", "Depends", "Recommends", "Suggests")


@dataclass(frozen=True, slots=True)
class Step:
    """One dependency on the way.

    Attributes:
        package: Who depends.
        field: In which field of its control file.
        relations: The alternatives of that field that name ``on``, as they are written.
        on: What it depends on.
        reasons: Where each relation comes from.
    """

    package: str
    field: str
    relations: tuple[str, ...]
    on: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The shortest way from one package to another.

    Attributes:
        steps: The dependencies on the way; empty if there is none.
        others: Every other package of the release that depends on the last one itself.
    """

    steps: tuple[Step, ...]
    others: tuple[str, ...]


def why(request: Request, package: str, dependency: str, watcher: Watcher) -> Answer:
    """Return why ``package`` depends on ``dependency``; both may be written without the stack's prefix.

    Raises:
        InputError: Nothing is published yet, or the release has no such package.
    """
    archive = existing_archive(request)
    published = {one.name: one for one in archive.published(request.suite)} if archive else {}
    if archive is None or not published:
        fix = f"debtool release --target {request.target.name} --channel {request.channel}"
        raise InputError(Issue(f"suite {request.suite} has no packages yet", file=request.directory, fix=fix))
    graph = _Graph({name: read_control(archive.pool_path(one)) for name, one in published.items()})
    start = _named(request, package, graph.names)
    end = _named(request, dependency, graph.names | graph.leaves)
    way = graph.way(start, end)
    reasons = _Reasons(request, watcher)
    return Answer(
        tuple(
            Step(one, field, texts := graph.relations(one, field, on), on, tuple(reasons.of(one, on, texts)))
            for one, field, on in way
        ),
        tuple(
            name for name in sorted(graph.names) if name not in {one for one, _, _ in way} and graph.needs(name, end)
        ),
    )


def _named(request: Request, name: str, known: set[str]) -> str:
    stack = request.project.stack
    candidates = (name, stack.full_name(name), wheel_package(stack.prefix, name))
    found = next((candidate for candidate in candidates if candidate in known), None)
    if found is None:
        raise InputError(
            Issue(
                f"{request.suite} has no package {name!r}, and none that names it",
                field=name,
                fix=f"one of those that `debtool repo list` prints, or of those that they depend on; tried "
                f"{', '.join(candidates)}",
            )
        )
    return found


class _Graph:
    """The relations of a set of packages."""

    def __init__(self, controls: Mapping[str, Deb822]) -> None:
        self._controls = controls
        self.names = set(controls)
        self._provided = {
            one["name"]: name
            for name, control in controls.items()
            for alternatives in _parsed(control.get("Provides", ""))
            for one in alternatives
        }
        self.leaves = {on for name in controls for field in _FIELDS for on in self._names(name, field)} - self.names

    def relations(self, package: str, field: str, on: str) -> tuple[str, ...]:
        """Return the parts of ``field`` that name ``on``."""
        parts = self._controls[package].get(field, "").split(",")
        return tuple(part.strip() for part in parts if on in self._targets(part))

    def needs(self, package: str, on: str) -> bool:
        """Return whether ``package`` depends on ``on`` itself."""
        return any(on in self._names(package, field) for field in _FIELDS[:2])

    def way(self, start: str, end: str) -> list[tuple[str, str, str]]:
        """Return the shortest way as (package, field, its dependency).

        Weaker fields are taken only where there is no other way.
        """
        for fields in (_FIELDS[:2], _FIELDS):
            before: dict[str, tuple[str, str]] = {}
            waiting = deque([start])
            while waiting and end not in before:
                package = waiting.popleft()
                for field in fields if package in self._controls else ():
                    for on in self._names(package, field):
                        if on not in before and on != start:
                            before[on] = (package, field)
                            waiting.append(on)
            if end in before:
                steps = []
                while end != start:
                    package, field = before[end]
                    steps.append((package, field, end))
                    end = package
                return steps[::-1]
        return []

    def _names(self, package: str, field: str) -> list[str]:
        return self._targets(self._controls[package].get(field, ""))

    def _targets(self, text: str) -> list[str]:
        names = [one["name"] for alternatives in _parsed(text) for one in alternatives]
        return list(dict.fromkeys([*names, *(self._provided[name] for name in names if name in self._provided)]))


def _parsed(text: str) -> list[list[PkgRelation.ParsedRelation]]:
    return PkgRelation.parse_relations(text) if text.strip() else []


class _Reasons:
    """Where the relations of a stack's packages come from."""

    def __init__(self, request: Request, watcher: Watcher) -> None:
        self._stack = request.project.stack
        self._file = request.project.file
        wheels = {wheel.name: wheel for wheel in gather_wheels(request, watcher)}
        self._set = WheelSet(self._stack, request.target, wheels, locked=True)
        self._wheels = {wheel_package(self._stack.prefix, name): name for name in wheels}
        self._packages = {self._stack.full_name(package.name): package for package in self._stack.package}

    def of(self, package: str, on: str, relations: tuple[str, ...]) -> Iterator[str]:
        """Yield the reasons for ``relations`` of ``package`` on ``on``."""
        found = list(self._wheel(package, on, relations) if package in self._wheels else self._named(package, on))
        yield from found or [f"the {self._recipe(package)} recipe always needs it"]

    def _wheel(self, package: str, on: str, relations: tuple[str, ...]) -> Iterator[str]:
        found = self._set.dependencies(self._wheels[package])
        for line in found.lines:
            if any(on == one.package for clause in line.clauses for one in clause.alternatives):
                yield f"it requires {line.text}: {line.because}"
        for need in found.libraries:
            if any(on == one.package for clause in need.clauses for one in clause.alternatives):
                more = f" and {len(need.paths) - 1} more" if len(need.paths) > 1 else ""
                yield f"{need.soname}, needed by {need.paths[0]}{more}: {need.because}"
        if any(relation in found.added for relation in relations):
            yield f"{self._file}, wheel.{found.wheel.name}.depends: {found.reason}"

    def _named(self, package: str, on: str) -> Iterator[str]:
        definition = self._packages.get(package)
        if definition is None:
            return
        for need in definition.needs:
            if self._stack.full_name(need.lstrip("=")) == on:
                exact = ", in exactly this release's version" if need.startswith("=") else ""
                yield f"{self._file}, package {definition.name}: it needs {need.lstrip('=')}{exact}"
        for field in ("depends", "recommends"):
            if any(on in relation.split() for relation in getattr(definition, field)):
                yield f"{self._file}, package {definition.name}: {field}"
        if definition.recipe == "meta" and on in self._wheels:
            version = self._set.wheels[self._wheels[on]].version
            yield f"the lock has {version}, and the set that was tested is the set that is installed"

    def _recipe(self, package: str) -> str:
        return "wheel" if package in self._wheels else self._packages[package].recipe
