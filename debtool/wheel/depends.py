"""What a wheel requires, as relations of its package on the packages of other wheels, and why each is as it is.

Extras (docs/versions.md, "Extras"): those that anything in a stack asks for are merged into the package of the wheel
that has them, and that package provides ``<its name>+<extra>`` for each. A requirement on ``x[e]`` becomes relations on
x's package and one on ``<x's package>+e``, which a package built without the extra does not satisfy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from debtool.model.errors import InputError, Issue
from debtool.model.names import debian_name, wheel_package
from debtool.model.relations import clause
from debtool.model.specifiers import in_words, requirement_clauses, requirement_range, respelled
from debtool.wheel.markers import (
    Judged,
    Markers,
    Requiring,
    Verdict,
    extras_in,
    judge,
    parse_requirement,
    read_requirements,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from debtool.model.relations import Clause
    from debtool.model.target import Target


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


_NONE_REPLACED: Mapping[NormalizedName, str] = {}


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
    judged = judge(wheel, target, extras, replaced)
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
    for one in judge(wheel, target, extras, replaced):
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
    return intersected(lines, prefix=prefix, locked=locked)


def intersected(
    lines: Iterable[RequirementLine], *, prefix: str, locked: Mapping[NormalizedName, Version] | None
) -> list[Clause]:
    """Return the relations of the package whose ``lines`` these are: one distribution's together."""
    clauses: list[Clause] = []
    for name, needs in _by_distribution(lines).items():
        clauses += _clauses(needs, prefix, None if locked is None else locked[name])
    return clauses


def defined_extras(wheel: Requiring, declared: Iterable[str] = ()) -> set[NormalizedName]:
    """Return the extras that ``wheel`` has: those in its markers, and those that its Provides-Extra ``declared``."""
    found = set(map(canonicalize_name, declared))
    for requirement in read_requirements(wheel):
        found |= extras_in(requirement.marker)
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
    return [extra_package(prefix, wheel.name, extra) for extra in sorted(Markers(wheel, target, extras).merged)]


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

    def met(self, one: Judged) -> Requirement:
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
            need = parse_requirement(_rewritten(need, f" =={version}"))
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


def _line(one: Judged, lock: _Lock, prefix: str) -> RequirementLine:
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


def _meaning(one: Judged, counts: Requirement, locked: Version | None) -> str:
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
            need = parse_requirement(line.written or line.text)
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
