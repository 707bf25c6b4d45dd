"""Which requirements of a wheel count: markers for a target, extras, and what the stack puts in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Protocol

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.markers import Marker
    from packaging.utils import NormalizedName

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
class Judged:
    """A line of METADATA after its marker and the stack's replacements, before the lock."""

    text: str
    own: Requirement
    verdict: Verdict
    counts: Requirement
    because: str = ""
    extra: str = ""


# A stack's wheels repeat each other's requirements, and every one is read more than once.
parse_requirement = cache(Requirement)

_EXTRA = re.compile(r"""\bextra == "([^"]*)"|"([^"]*)" == extra\b""")
"""An extra in a marker's text, as `packaging.markers.Marker` writes it."""


def judge(
    wheel: Requiring, target: Target, extras: Collection[str], replaced: Mapping[NormalizedName, str]
) -> list[Judged]:
    """Return every line of ``wheel`` with what its marker and the stack say of it."""
    markers = Markers(wheel, target, extras)
    judged: list[Judged] = []
    for text, own in zip(wheel.requires, markers.requirements, strict=True):
        extra = markers.extra_for(own)
        other = replaced.get(canonicalize_name(own.name))
        if extra is None:
            verdict, because = markers.refusal(own)
            judged.append(Judged(text, own, verdict, own, because))
        elif markers.itself(own):
            included = ", ".join(sorted(map(canonicalize_name, own.extras)))
            because = f"it includes this wheel's own extra {included}" if included else "a wheel does not need itself"
            judged.append(Judged(text, own, Verdict.ITSELF, own, because, extra))
        elif other == "":
            judged.append(Judged(text, own, Verdict.LEFT_OUT, own, "the stack leaves it out", extra))
        elif other is not None and markers.extra_for(parse_requirement(other)) is None:
            verdict, because = markers.refusal(parse_requirement(other))
            judged.append(Judged(text, own, verdict, parse_requirement(other), because, extra))
        else:
            judged.append(Judged(text, own, Verdict.HOLDS, parse_requirement(other) if other else own, "", extra))
    return judged


class Markers:
    """The markers of a wheel's requirements on one target, with the extras that are merged into its package."""

    def __init__(self, wheel: Requiring, target: Target, extras: Collection[str]) -> None:
        self.wheel = wheel
        self.target = target
        self.requirements = read_requirements(wheel)
        self._environment = target.environment()
        self.merged = set(map(canonicalize_name, extras))
        # A requirement of the distribution on itself is how an extra includes others.
        while new := {canonicalize_name(extra) for one in self._own() for extra in one.extras} - self.merged:
            self.merged |= new

    def _own(self) -> Iterator[Requirement]:
        return (one for one in self.requirements if self.itself(one) and self.extra_for(one) is not None)

    def itself(self, requirement: Requirement) -> bool:
        """Return whether ``requirement`` is on the wheel's own distribution."""
        return canonicalize_name(requirement.name) == self.wheel.name

    def extra_for(self, requirement: Requirement) -> str | None:
        """Return the merged extra with which ``requirement`` holds, "" if it holds without one, None if it does not."""
        extras = ("", *sorted(self.merged))
        return next((extra for extra in extras if self._true(requirement, extra)), None)

    def refusal(self, requirement: Requirement) -> tuple[Verdict, str]:
        """Return why ``requirement`` does not hold."""
        text = str(requirement.marker)
        lacking = sorted(extras_in(requirement.marker) - self.merged)
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


def extras_in(marker: Marker | None) -> set[NormalizedName]:
    """Return the extras that ``marker`` names."""
    return {canonicalize_name(one or other) for one, other in _EXTRA.findall(str(marker or ""))}


def read_requirements(wheel: Requiring) -> list[Requirement]:
    """Return the Requires-Dist lines of ``wheel``; raises ``InputError`` with every one that cannot be read."""
    read: list[Requirement] = []
    issues: list[Issue] = []
    for text in wheel.requires:
        try:
            read.append(parse_requirement(text))
        except InvalidRequirement as error:
            issues.append(_unreadable(wheel, text, error))
    if issues:
        raise InputError(*issues)
    return read


def _unreadable(wheel: Requiring, text: str, error: Exception) -> Issue:
    fix = "have the wheel rebuilt"
    return Issue(f"{text!r}: {error}", fix=fix, file=wheel.path, field="Requires-Dist", rule="PEP 508")
