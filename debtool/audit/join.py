"""Reading and running, joined: what an executed instruction says of the static audit that saw it, or did not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from debtool.audit.findings import SAFE

if TYPE_CHECKING:
    from debtool.audit.findings import FileAudit, Finding, PackageAudit
    from debtool.audit.gate import Fault, ProbeResult, Verdict


class Blame(StrEnum):
    """What is at fault when the emulated CPU met an instruction that it lacks."""

    CONFIRMED = "confirmed"
    """The package: the static audit found the place, and no rule excused it."""
    RULE = "rule"
    """A rule: it says that the place is guarded, and it was executed."""
    MISSED = "missed"
    """The static audit: it has no finding there."""
    ELSEWHERE = "elsewhere"
    """None of the package's files: another package's, the system's, or code that was made at run time."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A fault, and what the static audit had said of the place.

    Attributes:
        result: The probe or import that led there.
        fault: What was executed.
        blame: What is at fault.
        finding: What the static audit found there, None if nothing.
    """

    result: ProbeResult
    fault: Fault
    blame: Blame
    finding: Finding | None = None

    def __str__(self) -> str:
        place = self.fault.name or f"{self.fault.address:#x}"
        match self.blame:
            case Blame.CONFIRMED:
                kind = "" if self.finding is None else f" ({self.finding.kind}, by {self.finding.rule})"
                return f"{place}: confirms the static audit's finding{kind}"
            case Blame.RULE:
                rule = "" if self.finding is None else f" {self.finding.rule}"
                return f"{place}: the rule{rule} says that it is dispatched, and it was executed: the rule is wrong"
            case Blame.MISSED:
                return f"{place}: the static audit has no finding there: it missed it"
            case Blame.ELSEWHERE:
                return f"{place}: in {self.fault.library or 'generated code'}, which is no file of this package"


def join(static: PackageAudit, verdict: Verdict) -> tuple[Executed, ...]:
    """Return every executed fault of ``verdict`` with what the audit of the same package says of its place."""
    return tuple(_judged(static, result, result.fault) for result in verdict.results if result.fault is not None)


def _judged(static: PackageAudit, result: ProbeResult, fault: Fault) -> Executed:
    file = next((one for one in static.files if _is_same(one.path, fault.library)), None)
    if file is None:
        return Executed(result, fault, Blame.ELSEWHERE)
    finding = _finding_at(file, fault)
    if finding is None:
        return Executed(result, fault, Blame.MISSED)
    return Executed(result, fault, Blame.RULE if finding.kind in SAFE else Blame.CONFIRMED, finding)


def _is_same(path: str, library: str) -> bool:
    # In a wheel, files can be below NAME-VERSION.data/platlib (PEP 427).
    return bool(library) and (path == library or path.endswith(f"/{library}"))


def _finding_at(file: FileAudit, fault: Fault) -> Finding | None:
    """Return the finding of the function that the fault is in; findings tell where it starts, not where it ends."""
    before = [one for one in file.findings if one.address <= fault.address]
    if not before:
        return None
    nearest = max(before, key=lambda one: one.address)
    symbol, _, distance = fault.symbol.rpartition("+")
    if symbol:
        return nearest if nearest.address == fault.address - int(distance, 16) else None
    # Without symbols, the last instruction that is told of it says how far it reaches at least.
    return nearest if fault.address <= max(one.address for one in nearest.features) else None
