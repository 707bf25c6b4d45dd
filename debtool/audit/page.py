"""Audits as one HTML page that stands alone."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from debtool.audit.findings import SAFE, Kind, Level
from debtool.audit.html import render_page
from debtool.audit.rules import explain
from debtool.audit.summary import KINDS, LEVELS, by_feature, by_kind, groups, title
from debtool.model.text import amount, thousands, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.audit.baselines import Baseline
    from debtool.audit.findings import FileAudit, Finding, PackageAudit
    from debtool.audit.rules import Rules
    from debtool.audit.summary import Group, Tally

_TEMPLATES = Path(__file__).with_name("templates")
_TOLD = 1000
_TOLD_SAFE = 50
"""How many findings of one group are on the page: libtorch_cpu.so has thirty thousand, and a browser has limits."""


def audit_page(audits: Sequence[PackageAudit], baseline: Baseline, rules: Rules) -> bytes:
    """Return ``audits``, which were all held against ``baseline``, as a page; the same audits give the same bytes."""
    return render_page(
        _TEMPLATES,
        "report.html.j2",
        title=baseline.title,
        baseline=baseline.name,
        levels={level.value: promise for level, promise in LEVELS.items()},
        kinds=KINDS,
        packages=[_package(audit, rules) for audit in sorted(audits, key=_gravity) if audit.files],
        without=[visible(_name(audit)) for audit in audits if not audit.files],
    )


def _gravity(audit: PackageAudit) -> tuple[int, bool]:
    """Return what audits are sorted by: the worst first, and what there is nothing to tell of last."""
    return -list(Level).index(audit.level), not any(file.findings or file.note for file in audit.files)


def _name(audit: PackageAudit) -> str:
    """Return what to call a subject: a wheel or a package tells what it is by its file's name."""
    return PurePath(audit.subject).name if audit.sha256 else audit.subject


def _package(audit: PackageAudit, rules: Rules) -> dict[str, Any]:
    told = [file for file in audit.files if not file.note and file.findings]
    order = list(Level)
    told.sort(key=lambda file: (-order.index(file.level), -len(file.findings), file.path))
    code = amount(sum(file.code for file in audit.files), "byte")
    instructions = amount(sum(file.instructions for file in audit.files), "instruction")
    return {
        "subject": visible(_name(audit)),
        "sha256": audit.sha256,
        "level": audit.level.value,
        "summary": f"{amount(len(audit.files), 'file')}, {code} of code, {instructions}",
        "files": [_file(file, rules) for file in told],
        "free": [visible(file.path) for file in audit.files if not file.note and not file.findings],
        "skipped": [(visible(file.path), visible(file.note)) for file in audit.files if file.note],
        "damaged": any(file.damaged for file in audit.files),
    }


def _file(file: FileAudit, rules: Rules) -> dict[str, Any]:
    kinds = by_kind(file.findings)
    clean = max(0, file.functions - len(file.findings))
    shares = [("clean", clean), *((kind.value, kinds[kind].functions) for kind in reversed(Kind) if kind in kinds)]
    names = {"symtab": "all symbols", "dynsym": "exported symbols only", "none": "no symbols"}
    undecoded = f", {amount(file.undecoded, 'byte')} not decoded" if file.undecoded else ""
    return {
        "path": visible(file.path),
        "level": file.level.value,
        "open": file.level is Level.UNPROVEN,
        "bar": [(name, share) for name, share in shares if share],
        "counts": ", ".join(f"{thousands(tally.functions)} {kind.value}" for kind, tally in kinds.items())
        + f" of {amount(file.functions, 'function')}",
        "facts": f"{amount(file.code, 'byte')} of code, {amount(file.instructions, 'instruction')}{undecoded}; "
        f"{names.get(file.symbols, file.symbols)}. Beyond the baseline: {_features(by_feature(file.findings))}.",
        "groups": [_group(group, rules) for group in groups(file.findings)],
    }


def _group(group: Group, rules: Rules) -> dict[str, Any]:
    why = explain(group.rule, rules)
    safe = group.kind in SAFE
    told = group.findings[: _TOLD_SAFE if safe else _TOLD]
    tally = group.tally
    return {
        "kind": group.kind.value,
        "rule": group.rule,
        "counts": f"{amount(tally.functions, 'function')}, {amount(tally.instructions, 'instruction')}",
        "reason": why.reason,
        "source": why.source,
        "safe": safe,
        "open": not safe,
        "findings": [_finding(finding) for finding in told],
        "omitted": len(group.findings) - len(told),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    first = finding.features[0]
    where = [visible(finding.unit) or "unknown unit", visible(finding.section)]
    if finding.binding:
        where.append(f"{finding.binding}, {'exported' if finding.exported else 'not exported'}")
    return {
        "name": title(finding),
        "unit": visible(finding.unit),
        "where": ", ".join(where),
        "address": hex(first.address),
        "code": first.code,
        "text": first.text,
        "count": finding.count,
        "features": _features(by_feature([finding])),
        "entered": "from other files: it is exported" if finding.exported else "by its address",
        "chain": [visible(step) for step in finding.path],
    }


def _features(features: dict[str, Tally]) -> str:
    return ", ".join(f"{name} {thousands(tally.instructions)}" for name, tally in features.items())
