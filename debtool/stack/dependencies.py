"""What the package of one wheel depends on, each relation with its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from debtool.elf.depends import Strength, library_clauses, library_issues, library_needs
from debtool.elf.gpu import runs_on
from debtool.model.errors import InputError, Issue
from debtool.stack.relink import relinked
from debtool.wheel.depends import defined_extras, intersected, provided_extras, requirements, translate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from debtool.elf.depends import LibraryNeed
    from debtool.elf.needs import ElfNeeds
    from debtool.model.relations import Clause
    from debtool.model.stack import Stack, WheelSettings
    from debtool.model.target import Target
    from debtool.stack.facts import WheelFacts
    from debtool.wheel.depends import RequirementLine


_GENERIC_SINCE = (6, 4)
"""The ROCm release that was the first to load code for generic processors."""


@dataclass(frozen=True, slots=True)
class WheelDependencies:
    """What one wheel's package depends on.

    Attributes:
        wheel: The wheel.
        lines: Its requirements, those that do not hold among them.
        python: Their relations together.
        libraries: The shared libraries that it needs.
        added: Relations that the stack adds.
        reason: Why the stack adds or replaces anything; empty if it does not.
        provides: The packages of extras that this one stands for.
        issues: What is wrong with it.
    """

    wheel: WheelFacts
    lines: tuple[RequirementLine, ...]
    python: tuple[Clause, ...]
    libraries: tuple[LibraryNeed, ...]
    added: tuple[str, ...] = ()
    reason: str = ""
    provides: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()

    def relations(self, strength: Strength) -> list[str]:
        """Return the relations of one field."""
        clauses = library_clauses(self.libraries, strength)
        if strength is not Strength.DEPENDS:
            return [str(one) for one in clauses]
        return [*dict.fromkeys([*map(str, clauses), *map(str, self.python), *self.added])]


@dataclass(frozen=True)
class WheelSet:
    """Wheels that are packaged together.

    Attributes:
        stack: What is said of them.
        target: The system.
        wheels: The wheels by distribution.
        locked: Whether they are the whole set: a requirement that none of them meets is an error then.
    """

    stack: Stack
    target: Target
    wheels: Mapping[NormalizedName, WheelFacts]
    locked: bool

    def dependencies(self, name: NormalizedName) -> WheelDependencies:
        """Return what the package of wheel ``name`` depends on.

        Raises:
            InputError: A requirement cannot be mapped; with the line that mends it. What is wrong with libraries and
                device code stands among the `issues`, so that it can be shown with the rest.
        """
        wheel = self.wheels[name]
        settings = self._settings(name)
        versions = self._versions if self.locked else None
        extras = sorted(self.extras.get(name, ()))
        lines = translate(
            wheel,
            self.target,
            prefix=self.stack.prefix,
            locked=versions,
            extras=extras,
            replaced=self._replaced(name),
            defined=self._defined if self.locked else None,
        )
        python = intersected(lines, prefix=self.stack.prefix, locked=versions)
        libraries = library_needs(
            relinked(wheel.elf, settings.run_path) if settings else wheel.elf,
            self.target,
            siblings=self._siblings(name),
            replaced=settings.libraries if settings else {},
        )
        return WheelDependencies(
            wheel,
            tuple(lines),
            tuple(python),
            tuple(libraries),
            added=settings.depends if settings else (),
            reason=settings.reason if settings else "",
            provides=tuple(provided_extras(wheel, self.target, prefix=self.stack.prefix, extras=extras)),
            issues=tuple(
                replace(issue, file=wheel.path)
                for issue in (*library_issues(libraries), *_gpu_issues(wheel, self.target, settings))
            ),
        )

    def unknown_extras(self) -> Iterator[Issue]:
        """Yield the extras that the stack itself asks for and that the wheel does not have."""
        for requirement in map(Requirement, self.stack.requirements.direct):
            name = canonicalize_name(requirement.name)
            lacking = set(map(canonicalize_name, requirement.extras)) - self._defined.get(name, set())
            if name in self.wheels and lacking:
                yield Issue(
                    f"{name} {self.wheels[name].version} has no extra {', '.join(sorted(lacking))}",
                    field="requirements.direct",
                    fix=f"write it without: {requirement.name}{requirement.specifier}",
                )

    @cached_property
    def _defined(self) -> dict[NormalizedName, set[NormalizedName]]:
        return {name: defined_extras(wheel, wheel.extras) for name, wheel in self.wheels.items()}

    def _settings(self, name: NormalizedName) -> WheelSettings | None:
        return self.stack.wheel.get(name)

    def _replaced(self, name: NormalizedName) -> Mapping[NormalizedName, str]:
        settings = self._settings(name)
        return {canonicalize_name(other): text for other, text in settings.requires.items()} if settings else {}

    def _requirements(self, wheel: WheelFacts, extras: Collection[str] = ()) -> list[Requirement]:
        return requirements(wheel, self.target, extras, replaced=self._replaced(wheel.name))

    @cached_property
    def _versions(self) -> dict[NormalizedName, Version]:
        return {name: wheel.version for name, wheel in self.wheels.items()}

    @cached_property
    def _needs(self) -> dict[NormalizedName, set[NormalizedName]]:
        """For each wheel, the others of the set that it requires itself."""
        return {
            name: {canonicalize_name(need.name) for need in self._requirements(wheel, self.extras.get(name, ()))}
            & self.wheels.keys()
            for name, wheel in self.wheels.items()
        }

    def _siblings(self, name: NormalizedName) -> dict[str, ElfNeeds]:
        """Return the ELF files of every wheel of the set that ``name`` depends on, directly or not."""
        seen: set[NormalizedName] = set()
        waiting = {name}
        while waiting:
            seen |= waiting
            waiting = set().union(*(self._needs[one] for one in waiting)) - seen
        return {path: needs for other in sorted(seen - {name}) for path, needs in self.wheels[other].elf.items()}

    @cached_property
    def extras(self) -> dict[NormalizedName, set[str]]:
        """Return the extras that anything in the set asks for: the package of a wheel depends on what they require."""
        asked: dict[NormalizedName, set[str]] = {}
        waiting = [Requirement(text) for text in self.stack.requirements.direct]
        seen: set[str] = set()
        waiting += [need for wheel in self.wheels.values() for need in self._requirements(wheel)]
        while waiting:
            requirement = waiting.pop()
            name = canonicalize_name(requirement.name)
            new = {canonicalize_name(extra) for extra in requirement.extras} - asked.get(name, set())
            if not new or name not in self.wheels or str(requirement) in seen:
                continue
            seen.add(str(requirement))
            asked.setdefault(name, set()).update(new)
            waiting += self._requirements(self.wheels[name], asked[name])
        return asked


def all_dependencies(wheels: WheelSet) -> Iterable[WheelDependencies]:
    """Yield what every wheel's package depends on, by name; raises ``InputError`` with all that is wrong in the end."""
    issues = list(wheels.unknown_extras())
    for name in sorted(wheels.wheels):
        try:
            found = wheels.dependencies(name)
        except InputError as error:
            issues += error.issues
            continue
        issues += found.issues
        if not found.issues:
            yield found
    if issues:
        raise InputError(*issues)


def _gpu_issues(wheel: WheelFacts, target: Target, settings: WheelSettings | None) -> Iterator[Issue]:
    """Yield the files with device code of which none is for the target's GPU.

    Such a file fails when its first kernel is started: on the user's machine.
    """
    if target.rocm is None or (settings and settings.any_gpu):
        return
    gpu = target.rocm.gpu
    generic = tuple(map(int, target.rocm.release.split("."))) >= _GENERIC_SINCE
    rule = f"rocm.gpu of target {target.name}"
    fix = (
        f"take a wheel that was built for {gpu} (PYTORCH_ROCM_ARCH, --offload-arch), or accept it in the stack: "
        f'[wheel.{wheel.name}] any_gpu = true, reason = "…"'
    )
    for path, code in wheel.gpu.items():
        for unread in code.unread:
            yield Issue(f"has device code that cannot be read: {unread}", field=path, rule=rule, fix=fix)
        if not code.alone and code.missing(gpu, generic=generic):
            problem = f"has device code for {', '.join(code.targets)} and none for {gpu}, which the GPU reports"
            yield Issue(problem, field=path, rule=rule, fix=fix)
    # Files that are nothing but device code come one for each GPU.
    alone = sorted({target for code in wheel.gpu.values() if code.alone for target in code.targets})
    if alone and not runs_on(gpu, alone, generic=generic):
        problem = f"its code objects are for {', '.join(alone)} and none for {gpu}, which the GPU reports"
        yield Issue(problem, rule=rule, fix=fix)
