"""The gate of a release: every wheel's instructions held against the stack's baseline and its exceptions."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import Kind, Level
from debtool.audit.gate import Fault, ProbeResult, Verdict, kept_verdict
from debtool.audit.rules import load_rules, matcher
from debtool.audit.static import audit_paths
from debtool.audit.summary import document, title
from debtool.model.definition import find_line
from debtool.model.errors import DebtoolError, InputError
from debtool.model.text import visible
from debtool.stack.make import LateStage
from debtool.stack.suspects import SuspectCache, Suspects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from packaging.version import Version

    from debtool.audit.baselines import Baseline
    from debtool.model.stack import AuditException
    from debtool.model.target import Target
    from debtool.stack.facts import WheelFacts
    from debtool.stack.make import Watcher
    from debtool.stack.project import Project
    from debtool.stack.suspects import FileFinding

_T = TypeVar("_T")
_DISTANCE = re.compile(r"\+0x[0-9a-f]+$")  # from a function's start to where it faulted


class Standing(StrEnum):
    """What a release says of a wheel's instructions, the best first."""

    FREE = "free"
    """Contains none that the baseline lacks."""
    DISPATCH_SAFE = "dispatch-safe"
    """Contains some, and never executes them on the baseline."""
    EXCEPTED = "excepted"
    """May execute some, and the stack says why that is right."""
    REFUSED = "refused"
    """May execute some, or failed when it was run."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An exception of the stack, and what of one wheel it covers.

    Attributes:
        number: Which of the stack's exceptions, counted from 0.
        exception: What it says.
        findings: The findings of the static audit that it covers.
        probes: The probes of the emulated gate whose failure it covers.
        unread: The files that cannot be read, which it covers.
    """

    number: int
    exception: AuditException
    findings: tuple[FileFinding, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def covers(self) -> bool:
        """Whether there is anything for it to cover."""
        return bool(self.findings or self.probes or self.unread)

    def expired(self, today: dt.date) -> bool:
        """Return whether its last day is over."""
        return today > self.exception.expires


@dataclass(frozen=True, slots=True)
class WheelAudit:
    """What is known of one wheel's instructions.

    Attributes:
        name: The distribution.
        version: Its version.
        path: The wheel.
        sha256: Its hash.
        baseline: The CPU's name.
        level: What the static audit promises of it.
        today: The day that it was judged on.
        cache: debtool's cache, which has the whole of the audit.
        verdict: What running it on the emulated baseline showed; None if it was not run.
        applied: The stack's exceptions that concern the wheel, each with what it covers; each finding and each failed
            probe is covered by the first that is not expired, else by the first at all.
        findings: What may be executed on the baseline and no exception covers.
        probes: The failed probes that no exception covers.
        unread: The ELF files that cannot be read, with the reason, and no exception covers.
        missing: Whether the stack wants a verdict and there is none.
    """

    name: str
    version: Version
    path: Path
    sha256: str
    baseline: str
    level: Level
    today: dt.date
    cache: Path
    verdict: Verdict | None = None
    applied: tuple[Applied, ...] = ()
    findings: tuple[FileFinding, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    unread: tuple[str, ...] = ()
    missing: bool = False

    @property
    def expired(self) -> tuple[Applied, ...]:
        """The exceptions that would cover something, were they not expired."""
        return tuple(one for one in self.applied if one.covers and one.expired(self.today))

    @property
    def uncovered(self) -> bool:
        """Whether anything is left that no exception covers."""
        return bool(self.findings or self.probes or self.unread or self.missing)

    @property
    def standing(self) -> Standing:
        """What a release says of it."""
        if self.uncovered or self.expired:
            return Standing.REFUSED
        if any(one.covers for one in self.applied):
            return Standing.EXCEPTED
        return Standing.FREE if self.level is Level.FREE else Standing.DISPATCH_SAFE

    @property
    def field(self) -> str:
        """The package's control field: the baseline, the standing, and whether it was run emulated."""
        words = [self.baseline, str(self.standing), *(["emulated"] if self.verdict else [])]
        return " ".join(words)

    def document(self) -> dict[str, Any]:
        """Return what the package carries: the audit, the stack's exceptions and what they cover."""
        rules, known = load_rules(), {self.path: self.sha256}
        [package] = audit_paths(
            [self.path], find_baseline(self.baseline), rules, cache=self.cache, jobs=1, hashes=known
        )
        # The wheel's name, not its path: the same wheel gives the same document on every machine.
        return {
            **document(replace(package, subject=self.path.name), rules),
            "standing": str(self.standing),
            "exceptions": [
                {
                    **one.exception.model_dump(mode="json", exclude={"wheel", "targets"}),
                    "covers": [
                        *(title(found.finding) for found in one.findings),
                        *(probe.name for probe in one.probes),
                        *one.unread,
                    ],
                }
                for one in self.applied
            ],
            "emulated": {
                "cpu": self.verdict.cpu,
                "emulator": self.verdict.emulator,
                "probes": len(self.verdict.results),
                "failed": [probe.name for probe in self.verdict.findings],
            }
            if self.verdict
            else None,
        }


@dataclass(frozen=True, slots=True)
class Gate:
    """The wheels of a release, audited.

    Attributes:
        baseline: The CPU.
        wheels: Those with compiled files, by distribution.
        unused: The numbers of the stack's exceptions, counted from 0, that are for this target and cover nothing.
    """

    baseline: Baseline
    wheels: dict[str, WheelAudit] = field(default_factory=dict)
    unused: tuple[int, ...] = ()

    def of(self, standing: Standing) -> list[WheelAudit]:
        """Return the wheels with ``standing``."""
        return [wheel for wheel in self.wheels.values() if wheel.standing is standing]


def stack_baseline(project: Project) -> Baseline | None:
    """Return the baseline that the stack names, None if it names none.

    Raises:
        InputError: There is no such baseline.
    """
    name = project.stack.baseline
    return None if name is None else known_baseline(project, name, ("baseline",))


def known_baseline(project: Project, name: str, key: tuple[str | int, ...]) -> Baseline:
    """Return the baseline called ``name`` by ``key`` of the stack's file; raises ``InputError`` if there is none."""
    try:
        return find_baseline(name)
    except DebtoolError as error:
        lines = project.file.read_text(encoding="utf-8").splitlines()
        place = {"file": project.file, "line": find_line(lines, key), "field": str(key[-1]), "rule": "docs/stack.md"}
        raise InputError(*(replace(issue, **place) for issue in error.issues)) from None  # type: ignore[arg-type]


def audit_wheels(
    project: Project,
    target: Target,
    wheels: Sequence[WheelFacts],
    *,
    cache: Path,
    jobs: int,
    watcher: Watcher,
    today: dt.date | None = None,
) -> Gate | None:
    """Audit the compiled ones of ``wheels`` for the stack's baseline; None if the stack names none.

    What was audited before is remembered by the wheel's hash: nothing of the wheel is read again. The emulated gate's
    verdicts are looked up, nothing is run.

    Args:
        project: The stack.
        target: The system that the release is for.
        wheels: All of its wheels.
        cache: debtool's cache.
        jobs: How many processes read instructions.
        watcher: Told of what is audited.
        today: The day that exceptions are judged on, by default this one (UTC).

    Raises:
        InputError: The stack's baseline is not known, or a wheel is damaged.
    """
    baseline = stack_baseline(project)
    if baseline is None:
        return None
    # All of them, "pure" ones and those without a file that a linker loads too: a static program is executed as well.
    suspects = _suspects(wheels, baseline, cache=cache, jobs=jobs, watcher=watcher)
    compiled = [wheel for wheel in wheels if suspects[wheel.sha256].files]
    today = today or dt.datetime.now(dt.UTC).date()
    exceptions = project.stack.exception
    required = project.stack.emulate == "required" and baseline.qemu is not None
    judged = {}
    for wheel in compiled:
        concerning = [
            (number, one)
            for number, one in enumerate(exceptions)
            if one.concerns(wheel.name, wheel.version, target.name)
        ]
        verdict = kept_verdict(cache, wheel.sha256, baseline)
        if verdict is not None and not verdict.tried:
            verdict = None  # nothing of its machine code could be run there
        judged[str(wheel.name)] = judge(
            wheel,
            suspects[wheel.sha256],
            verdict,
            concerning,
            baseline=baseline.name,
            today=today,
            cache=cache,
            required=required,
        )
    used = {one.number for wheel in judged.values() for one in wheel.applied if one.covers}
    meant = [number for number, one in enumerate(exceptions) if not one.targets or target.name in one.targets]
    return Gate(baseline, judged, tuple(number for number in meant if number not in used))


def _suspects(
    wheels: Sequence[WheelFacts], baseline: Baseline, *, cache: Path, jobs: int, watcher: Watcher
) -> dict[str, Suspects]:
    """Return what may be executed on ``baseline`` of each wheel, by its hash; what is not known yet is audited."""
    rules = load_rules()
    kept = SuspectCache.below(cache, baseline, rules)
    found = {wheel.sha256: known for wheel in wheels if (known := kept.read(wheel.sha256)) is not None}
    missing = {wheel.path: wheel.sha256 for wheel in wheels if wheel.sha256 not in found}
    auditing = LateStage(watcher, "audit")

    def progress(what: str, _done: int, _total: int) -> None:
        auditing.step(what.rpartition("/")[2])

    audits = audit_paths([*missing], baseline, rules, cache=cache, jobs=jobs, progress=progress, hashes=missing)
    for sha256, audit in zip(missing.values(), audits, strict=True):
        found[sha256] = Suspects.of(audit)
        kept.keep(sha256, found[sha256])
    return found


def judge(
    wheel: WheelFacts,
    suspects: Suspects,
    verdict: Verdict | None,
    exceptions: Sequence[tuple[int, AuditException]],
    *,
    baseline: str,
    today: dt.date,
    cache: Path,
    required: bool = False,
) -> WheelAudit:
    """Return what the audit and the verdict of ``wheel`` come to with the ``exceptions`` that concern it.

    Args:
        wheel: The wheel.
        suspects: What its static audit found.
        verdict: The emulated gate's verdict, if it is known.
        exceptions: The stack's exceptions that concern it, with their numbers.
        baseline: The baseline's name.
        today: The day that exceptions are judged on.
        cache: debtool's cache.
        required: Whether it is refused without a verdict.
    """
    found: Sequence[FileFinding] = suspects.findings
    kinds = {one.finding.symbol: one.finding.kind for one in found if one.finding.symbol}
    probes: Sequence[ProbeResult] = verdict.findings if verdict else ()
    unread = suspects.unread
    # One that still counts comes before one that is expired, so that renewing means adding or changing, as one likes.
    ordered = sorted(exceptions, key=lambda pair: (today > pair[1].expires, pair[0]))
    applied = []
    for number, exception in ordered:
        covered, found = _parted(found, partial(_covers, exception))
        passed, probes = _parted(probes, partial(_covers_probe, exception, kinds))
        taken, unread = (unread, ()) if _covers_all(exception) else ((), unread)
        applied.append(Applied(number, exception, tuple(covered), tuple(passed), taken))
    return WheelAudit(
        str(wheel.name),
        wheel.version,
        wheel.path,
        wheel.sha256,
        baseline,
        suspects.level,
        today,
        cache,
        verdict,
        tuple(sorted(applied, key=lambda one: one.number)),
        tuple(found),
        tuple(probes),
        unread,
        missing=required and verdict is None,
    )


def _covers(exception: AuditException, found: FileFinding) -> bool:
    kind = not exception.kinds or found.finding.kind in exception.kinds
    return kind and bool(matcher(exception.functions).match(title(found.finding)))


def _covers_all(exception: AuditException) -> bool:
    """Return whether ``exception`` covers even what names no function."""
    return exception.functions == ("*",) and not exception.kinds


def _covers_probe(exception: AuditException, kinds: Mapping[str, Kind], probe: ProbeResult) -> bool:
    """Return whether ``exception`` covers what a probe failed with; ``kinds`` has the class of each found symbol.

    A probe that executed an instruction failed by that function. One that failed otherwise has no function to name.
    """
    if probe.fault is None:
        return _covers_all(exception)
    kind = kinds.get(_DISTANCE.sub("", probe.fault.symbol), Kind.UNGUARDED)
    called = matcher(exception.functions).match(faulting(probe.fault))
    return bool(called) and (not exception.kinds or kind in exception.kinds)


def faulting(fault: Fault) -> str:
    """Return what to call the function that faulted, as the static audit calls it.

    >>> faulting(Fault(18, "c5fa1007", "vmovss xmm0,[rdi]", "_ZN3FooEv+0xf", "Foo()+0xf", "foo.so"))
    'Foo()'
    """
    return visible(_DISTANCE.sub("", fault.name or fault.symbol)) or f"code at {fault.address:#x}"


def _parted(items: Iterable[_T], wanted: Callable[[_T], bool]) -> tuple[list[_T], list[_T]]:
    """Return the ``wanted`` ones of ``items``, and the others."""
    parts: tuple[list[_T], list[_T]] = ([], [])
    for item in items:
        parts[not wanted(item)].append(item)
    return parts
