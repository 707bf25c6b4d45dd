"""What a wheel requires, as relations of its package on the packages of other wheels, and why each is as it is.

Extras (docs/versions.md, "Extras"): those that anything in a stack asks for are merged into the package of the wheel
that has them, and that package provides ``<its name>+<extra>`` for each. A requirement on ``x[e]`` becomes relations on
x's package and one on ``<x's package>+e``, which a package built without the extra does not satisfy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, reduce
from operator import and_
from typing import TYPE_CHECKING, Protocol

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from debtool.model.errors import InputError, Issue
from debtool.model.names import debian_name, wheel_package
from debtool.model.relations import clause
from debtool.model.specifiers import in_words, requirement_clauses, requirement_range, respelled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.markers import Marker
    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from debtool.model.relations import Clause
    from debtool.model.target import Target


class Requiring(Protocol):
    """What has requirements: an open wheel, or what was read from one before."""

    @property
    def path(self) -> Path:
        """The wheel's file."""

    @property
    def name(self) -> NormalizedName:
        """The distribution."""

    @property
    def requires(self) -> Sequence[str]:
        """Its Requires-Dist entries."""


class Verdict(StrEnum):
    """What became of a Requires-Dist line."""

    HOLDS = "holds"
    OTHER_TARGET = "not on this target"
    EXTRA = "extra not asked"
    LEFT_OUT = "left out by the stack"
    ITSELF = "is itself"


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """One Requires-Dist line and what it is to a package.

    Attributes:
        text: As METADATA has it.
        name: The distribution that it names.
        marker: Its marker, "" if it has none.
        extra: The extra of this wheel that it is there for, "" if it is there without one.
        verdict: What became of it; only what holds has clauses.
        written: The requirement that counts in its place (PEP 508), "" if it counts itself.
        clauses: Its relations. Those of the package are the intersection of all of its lines: `requirement_relations`.
        because: One sentence on the verdict, or on the clauses.
    """

    text: str
    name: NormalizedName
    marker: str
    extra: str
    verdict: Verdict
    written: str
    clauses: tuple[Clause, ...]
    because: str


@dataclass(frozen=True, slots=True)
class _Judged:
    """A line of METADATA after its marker and the stack's replacements, before the lock."""

    text: str
    own: Requirement
    verdict: Verdict
    counts: Requirement
    because: str = ""
    extra: str = ""


# A stack's wheels repeat each other's requirements, and every one is read more than once.
_requirement = cache(Requirement)

_NONE_REPLACED: Mapping[NormalizedName, str] = {}
_EXTRA = re.compile(r"""\bextra == "([^"]*)"|"([^"]*)" == extra\b""")
"""An extra in a marker's text, as `packaging.markers.Marker` writes it."""


def requirements(
    wheel: Requiring,
    target: Target,
    extras: Collection[str] = (),
    *,
    replaced: Mapping[NormalizedName, str] = _NONE_REPLACED,
) -> list[Requirement]:
    """Return the requirements of ``wheel`` that hold on ``target``, with those of its ``extras``.

    Markers are evaluated for the target and nothing else (PEP 508). A requirement of the distribution on itself, which
    is how an extra includes others, is followed. What ``replaced`` has counts in place of the wheel's own (see
    `translate`). Raises ``InputError`` for a Requires-Dist that cannot be read.
    """
    judged = _judge(wheel, target, extras, replaced)
    return list(dict.fromkeys(one.counts for one in judged if one.verdict is Verdict.HOLDS))


def translate(
    wheel: Requiring,
    target: Target,
    *,
    prefix: str,
    locked: Mapping[NormalizedName, Version] | None,
    extras: Collection[str] = (),
    replaced: Mapping[NormalizedName, str] = _NONE_REPLACED,
    defined: Mapping[NormalizedName, Collection[str]] | None = None,
) -> list[RequirementLine]:
    """Return every Requires-Dist line of ``wheel``, in METADATA's order, with its relations and why.

    Args:
        wheel: The wheel.
        target: What markers are evaluated for.
        prefix: The stack's, with which package names begin.
        locked: The versions of the stack; None if the wheel is not part of one.
        extras: Extras of this wheel that the stack asks for; the extras that it asks of others are theirs to follow.
        replaced: Requirements (PEP 508) that the stack puts in place of the wheel's own, by distribution; "" leaves
            one out.
        defined: The extras that the stack's wheels have (`defined_extras`); None does not check extras that are asked.

    A direct reference (``x @ https://…``) is met by the locked version of x.

    Raises:
        InputError: A Requires-Dist cannot be read, or cannot be mapped: what it names is not in the lock, or there in
            another version; ``===`` with a text that no version has; no version satisfies it, or it and another line on
            the same distribution; a direct reference without a lock; an extra that the other wheel does not have. There
            is one issue for each such line, whose fix is the line of the stack's file that makes it right.
    """
    lock = _Lock(wheel, target, locked, defined)
    lines: list[RequirementLine] = []
    issues: list[Issue] = []
    for one in _judge(wheel, target, extras, replaced):
        try:
            lines.append(_line(one, lock, prefix))
        except InputError as error:
            issues += error.issues
    for name, needs in _by_distribution(lines).items():
        try:
            lock.check(name, needs)
        except InputError as error:
            issues += error.issues
    if issues:
        raise InputError(*issues)
    return lines


def requirement_relations(
    wheel: Requiring,
    target: Target,
    *,
    prefix: str,
    locked: Mapping[NormalizedName, Version] | None = None,
    extras: Collection[str] = (),
    replaced: Mapping[NormalizedName, str] = _NONE_REPLACED,
    defined: Mapping[NormalizedName, Collection[str]] | None = None,
) -> list[Clause]:
    """Return the relations of the package of ``wheel`` on other wheels' packages.

    All lines on a distribution are intersected. Arguments and errors are those of `translate`.
    """
    lines = translate(wheel, target, prefix=prefix, locked=locked, extras=extras, replaced=replaced, defined=defined)
    clauses: list[Clause] = []
    for name, needs in _by_distribution(lines).items():
        clauses += _clauses(needs, prefix, None if locked is None else locked[name])
    return clauses


def defined_extras(wheel: Requiring, declared: Iterable[str] = ()) -> set[NormalizedName]:
    """Return the extras that ``wheel`` has: those in its markers, and those that its Provides-Extra ``declared``."""
    found = set(map(canonicalize_name, declared))
    for requirement in _read(wheel):
        found |= _extras_in(requirement.marker)
    return found


def extra_package(prefix: str, distribution: str, extra: str) -> str:
    """Return the name that a wheel's package provides if it was built with ``extra``.

    >>> extra_package("cheesegrater", "uvicorn", "Standard")
    'cheesegrater-python3-uvicorn+standard'
    """
    return debian_name(f"{wheel_package(prefix, distribution)}+{canonicalize_name(extra)}")


def provided_extras(wheel: Requiring, target: Target, *, prefix: str, extras: Collection[str]) -> list[str]:
    """Return what the package of ``wheel`` provides if ``extras`` are merged into it, those that they include too.

    These are names (Debian Policy 7.5); the package provides each in its own version, ``NAME (= VERSION)``.
    """
    return [extra_package(prefix, wheel.name, extra) for extra in sorted(_Markers(wheel, target, extras).merged)]


def _read(wheel: Requiring) -> list[Requirement]:
    """Return the Requires-Dist lines of ``wheel``; raises ``InputError`` with every one that cannot be read."""
    read: list[Requirement] = []
    issues: list[Issue] = []
    for text in wheel.requires:
        try:
            read.append(_requirement(text))
        except InvalidRequirement as error:
            issues.append(_unreadable(wheel, text, error))
    if issues:
        raise InputError(*issues)
    return read


def _unreadable(wheel: Requiring, text: str, error: Exception) -> Issue:
    fix = "have the wheel rebuilt"
    return Issue(f"{text!r}: {error}", fix=fix, file=wheel.path, field="Requires-Dist", rule="PEP 508")


class _Markers:
    """The markers of a wheel's requirements on one target, with the extras that are merged into its package."""

    def __init__(self, wheel: Requiring, target: Target, extras: Collection[str]) -> None:
        self.wheel = wheel
        self.target = target
        self.requirements = _read(wheel)
        self._environment = target.environment()
        self.merged = set(map(canonicalize_name, extras))
        # A requirement of the distribution on itself is how an extra includes others.
        while new := {canonicalize_name(extra) for one in self._own() for extra in one.extras} - self.merged:
            self.merged |= new

    def _own(self) -> Iterator[Requirement]:
        return (one for one in self.requirements if self.itself(one) and self.extra_for(one) is not None)

    def itself(self, requirement: Requirement) -> bool:
        return canonicalize_name(requirement.name) == self.wheel.name

    def extra_for(self, requirement: Requirement) -> str | None:
        """Return the merged extra with which ``requirement`` holds, "" if it holds without one, None if it does not."""
        extras = ("", *sorted(self.merged))
        return next((extra for extra in extras if self._true(requirement, extra)), None)

    def refusal(self, requirement: Requirement) -> tuple[Verdict, str]:
        """Return why ``requirement`` does not hold."""
        text = str(requirement.marker)
        lacking = sorted(_extras_in(requirement.marker) - self.merged)
        if would := [extra for extra in lacking if self._true(requirement, extra)]:
            return Verdict.EXTRA, f"it comes with the extra {' or '.join(would)}, which nothing asks for"
        # The values that the marker looks at; text in quotes is no variable.
        known = [name for name in re.findall(r"\w+", re.sub(r'"[^"]*"', "", text)) if name in self._environment]
        values = [f"{name} {self._environment[name] or 'empty'}" for name in dict.fromkeys(known)]
        return Verdict.OTHER_TARGET, f"{text} is false: {self.target.name} has {', '.join(values)}"

    def _true(self, requirement: Requirement, extra: str) -> bool:
        try:
            return requirement.marker is None or requirement.marker.evaluate({**self._environment, "extra": extra})
        except (UndefinedComparison, UndefinedEnvironmentName) as error:
            raise InputError(_unreadable(self.wheel, str(requirement), error)) from error


def _extras_in(marker: Marker | None) -> set[NormalizedName]:
    """Return the extras that ``marker`` names."""
    return {canonicalize_name(one or other) for one, other in _EXTRA.findall(str(marker or ""))}


def _judge(
    wheel: Requiring, target: Target, extras: Collection[str], replaced: Mapping[NormalizedName, str]
) -> list[_Judged]:
    """Return every line of ``wheel`` with what its marker and the stack say of it."""
    markers = _Markers(wheel, target, extras)
    judged: list[_Judged] = []
    for text, own in zip(wheel.requires, markers.requirements, strict=True):
        extra = markers.extra_for(own)
        other = replaced.get(canonicalize_name(own.name))
        if extra is None:
            verdict, because = markers.refusal(own)
            judged.append(_Judged(text, own, verdict, own, because))
        elif markers.itself(own):
            included = ", ".join(sorted(map(canonicalize_name, own.extras)))
            because = f"it includes this wheel's own extra {included}" if included else "a wheel does not need itself"
            judged.append(_Judged(text, own, Verdict.ITSELF, own, because, extra))
        elif other == "":
            judged.append(_Judged(text, own, Verdict.LEFT_OUT, own, "the stack leaves it out", extra))
        elif other is not None and markers.extra_for(_requirement(other)) is None:
            verdict, because = markers.refusal(_requirement(other))
            judged.append(_Judged(text, own, verdict, _requirement(other), because, extra))
        else:
            judged.append(_Judged(text, own, Verdict.HOLDS, _requirement(other) if other else own, "", extra))
    return judged


@dataclass(frozen=True, slots=True)
class _Lock:
    """What the requirements of a wheel are held to.

    Attributes:
        wheel: The wheel.
        target: The target of the lock.
        versions: The versions of the stack; None without one.
        extras: The extras of its wheels; None if they are not known.
    """

    wheel: Requiring
    target: Target
    versions: Mapping[NormalizedName, Version] | None
    extras: Mapping[NormalizedName, Collection[str]] | None

    def version_of(self, need: Requirement) -> Version | None:
        return None if self.versions is None else self.versions.get(canonicalize_name(need.name))

    def met(self, one: _Judged) -> Requirement:
        """Return what counts for ``one``, a requirement that the lock meets; raises ``InputError`` if there is none."""
        need, key = one.counts, canonicalize_name(one.own.name)
        name, version = canonicalize_name(need.name), self.version_of(need)
        if self.versions is not None and version is None:
            fix = f"debtool lock --target {self.target.name}; or, to leave it out, {self._setting(key, '')}"
            raise self._error(f"requires {need}, which the lock does not have", fix)
        if need.url is not None:
            if version is None:
                fix = self._setting(key, _rewritten(need, ""))
                raise self._error(f"requires {need}, and no lock says which version is at that address", fix)
            need = _requirement(_rewritten(need, f" =={version}"))
        known = set(map(canonicalize_name, need.extras if self.extras is None else self.extras.get(name, ())))
        if lacking := sorted(extra for extra in need.extras if canonicalize_name(extra) not in known):
            fix = self._setting(key, _rewritten(need, str(need.specifier), need.extras - set(lacking)))
            raise self._error(f"requires {need}, and {name} has no extra {', '.join(lacking)}", fix)
        self.check(key, [need])
        return need

    def check(self, key: NormalizedName, needs: Sequence[Requirement]) -> None:
        """Raise ``InputError`` unless some version meets all of ``needs``, and the locked one does."""
        version, specifiers = self.version_of(needs[0]), _together(needs)
        said = " and ".join(map(str, needs))
        fix = self._setting(key, _rewritten(needs[0], f" =={version}" if version else ""))
        try:
            requirement_range(specifiers, locked=version)
        except InputError as error:
            raise self._error(f"requires {said}: {error.issues[0].problem}", fix, error.issues[0].rule) from None
        if version is not None and not specifiers.contains(version, prereleases=True):
            fix = f"take another version of {needs[0].name} (debtool lock --target {self.target.name}); or {fix}"
            raise self._error(f"requires {said}, and the lock has {needs[0].name} {version}", fix)

    def _setting(self, key: NormalizedName, text: str) -> str:
        return f'in the stack file, [wheel.{self.wheel.name}] requires = {{ "{key}" = "{text}" }}'

    def _error(self, problem: str, fix: str, rule: str | None = None) -> InputError:
        return InputError(Issue(problem, fix=fix, file=self.wheel.path, field="Requires-Dist", rule=rule))


def _line(one: _Judged, lock: _Lock, prefix: str) -> RequirementLine:
    """Return ``one`` with its relations; raises ``InputError`` if the lock does not meet it."""
    counts, because = one.counts, one.because
    clauses: tuple[Clause, ...] = ()
    if one.verdict is Verdict.HOLDS:
        counts = lock.met(one)
        clauses = tuple(_clauses([counts], prefix, lock.version_of(counts)))
        because = _meaning(one, counts, lock.version_of(counts))
    return RequirementLine(
        text=one.text,
        name=canonicalize_name(one.own.name),
        marker=str(one.own.marker or ""),
        extra=one.extra,
        verdict=one.verdict,
        written="" if counts is one.own else str(counts),
        clauses=clauses,
        because=because,
    )


def _meaning(one: _Judged, counts: Requirement, locked: Version | None) -> str:
    """Return what the relations of ``counts``, which is what ``one`` comes to, say."""
    said = " and ".join(map(in_words, sorted(counts.specifier, key=str))) or "any version will do"
    if locked is not None and respelled(counts.specifier, locked):
        said += f", spelled {'.'.join(map(str, locked.release))} as the lock does"
    if counts.extras:
        said += f", built with its extra {', '.join(sorted(counts.extras))}"
    if one.counts.url is not None:
        return f"the lock's version stands for that address: {said}"
    return said if counts is one.own else f"the stack asks for {counts} in its place: {said}"


def _by_distribution(lines: Iterable[RequirementLine]) -> dict[NormalizedName, list[Requirement]]:
    """Return the requirements that count, by the distribution whose package they are for."""
    found: dict[NormalizedName, list[Requirement]] = {}
    for line in lines:
        if line.verdict is Verdict.HOLDS:
            need = _requirement(line.written or line.text)
            found.setdefault(canonicalize_name(need.name), []).append(need)
    return found


def _together(needs: Sequence[Requirement]) -> SpecifierSet:
    return reduce(and_, (need.specifier for need in needs))


def _clauses(needs: Sequence[Requirement], prefix: str, locked: Version | None) -> list[Clause]:
    """Return the relations that say all of ``needs``, which are on one distribution."""
    name = needs[0].name
    clauses = requirement_clauses(wheel_package(prefix, name), _together(needs), locked=locked)
    extras = sorted({canonicalize_name(extra) for need in needs for extra in need.extras})
    return [*clauses, *(clause(extra_package(prefix, name, extra)) for extra in extras)]


def _rewritten(need: Requirement, specifiers: str, extras: Collection[str] | None = None) -> str:
    """Return the text of ``need`` with other specifiers, and other extras if they are given."""
    kept = ",".join(sorted(need.extras if extras is None else extras))
    return f"{canonicalize_name(need.name)}{f'[{kept}]' if kept else ''}{specifiers}"
