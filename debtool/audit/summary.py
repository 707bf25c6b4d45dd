"""What audits come to: findings grouped and counted, the same for every report."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from debtool.audit.findings import SAFE, Kind, Level
from debtool.audit.rules import explain
from debtool.model.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from debtool.audit.findings import FileAudit, Finding, PackageAudit
    from debtool.audit.rules import Rules

SCHEMA = 1
"""Version of `document`."""

EXAMPLES = 5
"""How many findings of a safe group `document` tells, unless it is told to tell all."""

LEVELS: Mapping[Level, str] = {
    Level.FREE: "contains no instruction that the CPU lacks",
    Level.DISPATCH_SAFE: "contains some, and recorded rules say why it never executes them on this CPU",
    Level.UNPROVEN: "contains some that nothing proves to stay unexecuted on this CPU",
}
"""What each level promises, as the end of a sentence about a file."""

KINDS: Mapping[Kind, str] = {
    Kind.IMPORT_TIME: "executed when the library is loaded",
    Kind.SILENT: "executed as another instruction: wrong numbers, no fault",
    Kind.SHARED_WEAK: "in a weak symbol that other code may be linked to",
    Kind.UNGUARDED: "nothing says that the CPU is asked first",
    Kind.DISPATCHED: "only executed after the CPU was asked",
    Kind.DATA: "data that decodes like instructions",
}
"""What each class means, in a few words."""


_NAMESPACE = re.compile(r"\b([A-Za-z_]\w*)::")
_PREFIX = re.compile(r"_*[A-Za-z0-9]+_")


@dataclass(frozen=True, slots=True)
class Tally:
    """How much there is of something.

    Attributes:
        functions: How many functions.
        instructions: How many instructions beyond the baseline in them.
    """

    functions: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Group:
    """The findings that one rule put into one class.

    Attributes:
        kind: The class.
        rule: The rule's id.
        findings: The functions, as the file has them in order.
    """

    kind: Kind
    rule: str
    findings: tuple[Finding, ...]

    @property
    def tally(self) -> Tally:
        """How much there is of it."""
        return count(self.findings)

    @property
    def features(self) -> dict[str, Tally]:
        """How much there is of each CPUID feature."""
        return by_feature(self.findings)


def count(findings: Sequence[Finding]) -> Tally:
    """Return how much ``findings`` are."""
    return Tally(len(findings), sum(finding.count for finding in findings))


def groups(findings: Iterable[Finding]) -> tuple[Group, ...]:
    """Return ``findings`` by class and rule: the gravest class first, in it the rule that decided most."""
    found: dict[tuple[Kind, str], list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.kind, finding.rule), []).append(finding)
    order = list(Kind)
    ranked = sorted(found, key=lambda key: (order.index(key[0]), -len(found[key]), key[1]))
    return tuple(Group(kind, rule, tuple(found[kind, rule])) for kind, rule in ranked)


def by_kind(findings: Iterable[Finding]) -> dict[Kind, Tally]:
    """Return how much there is of each class that occurs, the gravest first."""
    functions: Counter[Kind] = Counter()
    instructions: Counter[Kind] = Counter()
    for finding in findings:
        functions[finding.kind] += 1
        instructions[finding.kind] += finding.count
    return {kind: Tally(functions[kind], instructions[kind]) for kind in Kind if kind in functions}


def by_feature(findings: Iterable[Finding]) -> dict[str, Tally]:
    """Return how much there is of each CPUID feature, the most frequent first."""
    functions: Counter[str] = Counter()
    instructions: Counter[str] = Counter()
    for finding in findings:
        for feature in finding.features:
            functions[feature.name] += 1
            instructions[feature.name] += feature.count
    ranked = sorted(functions, key=lambda name: (-instructions[name], name))
    return {name: Tally(functions[name], instructions[name]) for name in ranked}


def verdict(file: FileAudit) -> str | None:
    """Return the level of a file; None for one that is no code for this CPU, and was not looked at."""
    return None if file.note and not file.damaged else file.level.value


def title(finding: Finding) -> str:
    """Return what to call a function: its demangled symbol, which is safe to print, or where it is."""
    return visible(finding.name or finding.symbol) or f"code at {finding.address:#x}"


def origin(finding: Finding) -> str:
    """Return where a function comes from: its unit, else the namespace or the prefix of its name.

    A unit is known of local symbols only.
    """
    if finding.unit or not finding.name:
        return finding.unit or "code without symbols"
    if space := _NAMESPACE.search(finding.name):
        return f"namespace {space[1]}"
    prefix = _PREFIX.match(finding.name)
    return f"{prefix[0]}*" if prefix else finding.name


def document(audit: PackageAudit, rules: Rules, *, whole: bool = False) -> dict[str, Any]:
    """Return ``audit`` for JSON; the same audit gives the same document.

    Every finding that may be executed on the baseline is told in full. What is safe is told by rule, with its reason,
    its counts and a few examples; with ``whole``, in full too.
    """
    return {
        "schema": SCHEMA,
        "subject": audit.subject,
        "sha256": audit.sha256,
        "baseline": audit.baseline,
        "level": audit.level.value,
        "promise": LEVELS[audit.level],
        "rules": audit.rules,
        "files": [_file(file, rules, whole=whole) for file in audit.files],
    }


def _file(file: FileAudit, rules: Rules, *, whole: bool) -> dict[str, Any]:
    return {
        "path": file.path,
        "sha256": file.sha256,
        "size": file.size,
        "level": verdict(file),
        "note": file.note,
        "code": file.code,
        "instructions": file.instructions,
        "functions": file.functions,
        "symbols": file.symbols,
        "undecoded": file.undecoded,
        "classes": {kind.value: _tally(tally) for kind, tally in by_kind(file.findings).items()},
        "features": {name: _tally(tally) for name, tally in by_feature(file.findings).items()},
        "groups": [_group(group, rules, whole=whole) for group in groups(file.findings)],
    }


def _group(group: Group, rules: Rules, *, whole: bool) -> dict[str, Any]:
    why = explain(group.rule, rules)
    told = group.findings if whole or group.kind not in SAFE else group.findings[:EXAMPLES]
    return {
        "class": group.kind.value,
        "rule": group.rule,
        "reason": why.reason,
        "source": why.source,
        **_tally(group.tally),
        "features": {name: _tally(tally) for name, tally in group.features.items()},
        "omitted": len(group.findings) - len(told),
        "findings": [_finding(finding) for finding in told],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "symbol": finding.symbol,
        "name": finding.name,
        "unit": finding.unit,
        "section": finding.section,
        "binding": finding.binding,
        "exported": finding.exported,
        "address": hex(finding.address),
        "path": list(finding.path),
        "features": [
            {
                "name": feature.name,
                "count": feature.count,
                "address": hex(feature.address),
                "code": feature.code,
                "text": feature.text,
            }
            for feature in finding.features
        ],
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {"functions": tally.functions, "instructions": tally.instructions}
