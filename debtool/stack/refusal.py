"""What a release says of wheels that its gate does not let pass, and of exceptions that need looking after."""

from __future__ import annotations

import datetime as dt
import textwrap
from typing import TYPE_CHECKING

from debtool.audit.findings import Kind
from debtool.audit.summary import title
from debtool.model.definition import find_line, toml_string
from debtool.model.errors import Issue
from debtool.model.names import wheel_package
from debtool.model.text import amount
from debtool.stack.audit import faulting
from debtool.stack.ways_out import ways_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from debtool.audit.gate import ProbeResult
    from debtool.model.target import Target
    from debtool.stack.audit import Applied, Gate, WheelAudit
    from debtool.stack.project import Project
    from debtool.stack.suspects import FileFinding
    from debtool.stack.ways_out import Origin

SOON = dt.timedelta(days=30)
"""How long before its last day an exception is spoken of."""

LASTING = dt.timedelta(days=90)
"""How long the exceptions that a refusal offers would count."""

_PAGE = "docs/stack.md, [[exception]]"
_NAMED = 3  # findings that an issue names of each wheel
_LISTED = 12  # functions that an offered exception lists before it names their namespaces
_CHAIN = 4  # functions of a call chain that are named
_CHARACTERS = 100  # of a function's name: templates fill pages


def refusals(gate: Gate | None, project: Project, target: Target) -> list[Issue]:
    """Return one issue for each wheel that is not published, and one for each exception that is over."""
    if gate is None:
        return []
    issues = []
    for wheel in gate.wheels.values():
        if wheel.uncovered:
            issues.append(_refusal(wheel, project, target))
        issues += [_expired(one, wheel, project, target) for one in wheel.expired]
    return issues


def warnings(gate: Gate | None, project: Project) -> list[Issue]:
    """Return what is to be looked after: exceptions that are over soon, cover nothing, or cover whatever comes."""
    if gate is None:
        return []
    issues = []
    for wheel in gate.wheels.values():
        for one in wheel.applied:
            exception, left = one.exception, one.exception.expires - wheel.today
            if one.covers and dt.timedelta(0) <= left < SOON:
                problem = f"the exception of {wheel.name} is over in {amount(left.days, 'day')}"
                fix = f"find out whether its reason still holds ({exception.reason})"
                issues.append(_at(project, one.number, "expires", problem, fix))
            if one.covers and "*" in exception.functions and not one.expired(wheel.today):
                count = amount(len(one.findings), "finding")
                problem = f"the exception of {wheel.name} covers whatever is found; now that is {count}"
                fix = f"name the functions that its reason is about ({exception.reason})"
                issues.append(_at(project, one.number, "functions", problem, fix))
    for number in gate.unused:
        exception = project.stack.exception[number]
        versions = f" {exception.versions}" if exception.versions else ""
        problem = f"the exception of {exception.wheel}{versions} covers nothing that is found in this release"
        issues.append(_at(project, number, "wheel", problem, "remove it, or correct its functions and versions"))
    return issues


def exception_block(wheel: WheelAudit) -> str:
    """Return an ``[[exception]]`` table for what is refused of ``wheel``, for the end of the stack's file."""
    names = [title(one.finding) for one in wheel.findings]
    names += [faulting(probe.fault) for probe in wheel.probes if probe.fault]
    # What has no function can be excepted with everything else only.
    nameless = wheel.unread or any(probe.fault is None for probe in wheel.probes)
    patterns = ["*"] if nameless else _patterns(names)
    return (
        f"[[exception]]\nwheel = {toml_string(wheel.name)}\n"
        f"functions = [{', '.join(map(toml_string, patterns))}]\n"
        f"versions = {toml_string(f'=={wheel.version}')}\n"
        'reason = "SAY WHY"\n'
        f"expires = {wheel.today + LASTING}\n"
    )


def _refusal(wheel: WheelAudit, project: Project, target: Target) -> Issue:
    baseline = wheel.baseline
    problems = []
    if wheel.findings:
        count = amount(len(wheel.findings), "function")
        problems.append(f"{count} may execute what {baseline} lacks: {told(wheel.findings, wheel.path, baseline)}")
    if wheel.unread:
        problems.append(
            f"nothing can be promised of {amount(len(wheel.unread), 'file')}: {'; '.join(wheel.unread[:_NAMED])}"
        )
    problems += [f"it failed on the emulated {baseline}: {_failure(probe)}" for probe in wheel.probes[:_NAMED]]
    if more := wheel.probes[_NAMED:]:
        problems.append(f"{amount(len(more), 'more probe')} failed")
    if wheel.missing:
        problems.append(f"the stack wants it to be run on the emulated {baseline}, and it was not")
    fixes = []
    if wheel.missing:
        fixes.append(f"debtool --config {project.file} audit run --lock --target {target.name} --cpu {baseline}")
    if wheel.findings or wheel.probes or wheel.unread:
        fixes += _ways(wheel, project, target)
        block = textwrap.indent(exception_block(wheel), "    ")
        fixes.append(f"if it is known to do no harm, except it until a date, at the end of {project.file}:\n\n{block}")
    package = wheel_package(project.stack.prefix, wheel.name)
    return Issue(f"{wheel.name} {wheel.version}: {'; '.join(problems)}", field=package, rule=_PAGE, fix=_any_of(fixes))


def _expired(one: Applied, wheel: WheelAudit, project: Project, target: Target) -> Issue:
    baseline = wheel.baseline
    problem = f"the exception of {wheel.name} was over on {one.exception.expires}"
    if one.findings:
        covered = told(one.findings, wheel.path, baseline)
        problem += f"; it covered {amount(len(one.findings), 'function')}: {covered}"
    if one.unread:
        problem += f"; it covered {amount(len(one.unread), 'file')} that cannot be read: {one.unread[0]}"
    if one.probes:
        problem += f"; it covered a failure on the emulated {baseline}: {_failure(one.probes[0])}"
    look = f"find out whether its reason still holds ({one.exception.reason}), and set a later date"
    return _at(project, one.number, "expires", problem, _any_of([look, *_ways(wheel, project, target)]))


def _any_of(fixes: Sequence[str]) -> str:
    return fixes[0] if len(fixes) == 1 else "\n".join(["any of these", *(f"  - {fix}" for fix in fixes)])


def _ways(wheel: WheelAudit, project: Project, target: Target) -> list[str]:
    origin: Origin = "artefact" if wheel.name in project.stack.artefacts_for(target.name) else "index"
    values = {
        "wheel": wheel.name,
        "version": wheel.version,
        "target": target.name,
        "baseline": wheel.baseline,
        "stack": project.file,
        "debtool": f"debtool --config {project.file}",
    }
    return [way.text.format(**values) for way in ways_out() if way.helps(wheel, origin)]


def told(findings: Iterable[FileFinding], wheel: Path, baseline: str) -> str:
    """Return the gravest of ``findings`` in ``wheel`` in words, and how many more there are."""
    order = list(Kind)
    gravest = sorted(findings, key=lambda one: (order.index(one.finding.kind), one.file, one.finding.address))
    texts = [_finding(one) for one in gravest[:_NAMED]]
    if more := gravest[_NAMED:]:
        command = f"debtool audit isa {wheel} --cpu {baseline}"
        texts.append(f"and {amount(len(more), 'more function')} (all: {command})")
    return ", ".join(texts)


def _finding(one: FileFinding) -> str:
    found = one.finding
    features = ", ".join(f"{feature.name} {feature.count}" for feature in found.features)
    chain = [_short(name) for name in found.path]
    if len(chain) > _CHAIN:
        chain = [*chain[:1], "…", *chain[2 - _CHAIN :]]
    way = f"; reached by {' > '.join(chain)}" if len(chain) > 1 else ""
    return f"{found.kind} {_short(title(found))} in {one.file} ({features}{way})"


def _failure(probe: ProbeResult) -> str:
    if probe.fault is None:
        return f"{probe.name}: {probe.outcome}{f': {probe.detail}' if probe.detail else ''}"
    fault = probe.fault
    line = f", from {fault.python[0]}" if fault.python else ""
    return f"{probe.name}: {fault.text} ({fault.code}) in {_short(faulting(fault))} of {fault.library}{line}"


def _patterns(names: Iterable[str]) -> list[str]:
    """Return patterns (fnmatch) for functions, or for their namespaces where the functions are many."""
    unique = sorted(set(names))
    if len(unique) > _LISTED:
        spaces = {f"{_escaped(name.split('::')[0])}::*" if "::" in name.split("(")[0] else "*" for name in unique}
        return ["*"] if "*" in spaces else sorted(spaces)
    return [_escaped(name) for name in unique]


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _short(name: str) -> str:
    return name if len(name) <= _CHARACTERS else f"{name[: _CHARACTERS - 1]}…"


def _at(project: Project, number: int, key: str, problem: str, fix: str) -> Issue:
    lines = project.file.read_text(encoding="utf-8").splitlines()
    line = find_line(lines, ("exception", number, key))
    field = f"exception[{number + 1}].{key}"
    return Issue(problem, file=project.file, line=line, field=field, rule=_PAGE, fix=fix)
