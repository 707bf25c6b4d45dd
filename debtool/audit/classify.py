"""What becomes of the instructions that a baseline lacks: each function's class, and the rule that decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cxxfilt

from debtool.audit.findings import Finding, Kind
from debtool.audit.rules import matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from debtool.audit.calls import CallGraph
    from debtool.audit.decode import Use
    from debtool.audit.image import Function
    from debtool.audit.rules import Rule, Rules


def classify(
    uses: Sequence[Use],
    graph: CallGraph,  # noqa: ARG001
    functions: Mapping[int, Function],  # noqa: ARG001
    rules: Rules,
    *,
    path: str,
    distribution: str,
) -> tuple[Finding, ...]:
    """Return a finding for every function in ``uses`` that has features, in their order."""
    return tuple(
        _finding(use, rules, path=path, distribution=distribution) for use in uses if use.features
    )


def _finding(use: Use, rules: Rules, *, path: str, distribution: str) -> Finding:
    function = use.function
    name = _demangled(function.symbol)
    kind, decided = Kind.UNGUARDED, "no-rule"
    if use.data:
        kind, decided = Kind.DATA, "data-in-text"
    elif use.silent:
        kind, decided = Kind.SILENT, "silent-instruction"
    else:
        for rule in rules.rule:
            if not rule.guard and _applies(rule, use, name, path, distribution):
                kind, decided = Kind.DISPATCHED, rule.id
                break
    return Finding(
        symbol=function.symbol,
        name=name,
        unit=function.unit,
        section=function.section,
        binding=function.binding,
        exported=function.exported,
        address=function.start,
        features=use.features,
        kind=kind,
        rule=decided,
    )


def _applies(rule: Rule, use: Use, name: str, path: str, distribution: str) -> bool:
    tests = (
        (rule.distribution, distribution),
        (rule.file, path),
        (rule.unit, use.function.unit),
        (rule.symbol, name),
    )
    return all(matcher(patterns).fullmatch(text) for patterns, text in tests if patterns)


def _demangled(symbol: str) -> str:
    try:
        return str(cxxfilt.demangle(symbol))
    except cxxfilt.Error:
        return symbol
