"""What becomes of the instructions that a baseline lacks: each function's class, and the rule that decided."""

from __future__ import annotations

import re
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Final

import cxxfilt

from debtool.audit.findings import Finding, Kind
from debtool.audit.rules import matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from debtool.audit.calls import CallGraph
    from debtool.audit.decode import Use
    from debtool.audit.image import Function
    from debtool.audit.rules import Rule, Rules

_LOADING: Final = frozenset({"init", "ifunc"})
"""Entries that the dynamic linker calls when it loads a file."""
_ENTRIES: Final = frozenset({"exported", "init", "ifunc", "address"})

_VAGUE: Final = frozenset({"weak", "unique"})

_SAYS_CPU: Final = re.compile(
    r"avx|fma|f16c|bmi|xop|sse|amx|lzcnt|haswell|broadwell|skylake|icelake|cooperlake|sapphire|znver|zen\b|bulldozer|"
    r"piledriver|steamroller|excavator|sandybridge|knl|x86_64_v[34]",
    re.IGNORECASE,
)
"""Names that say that their code is for some CPUs only."""

_XGETBV: Final = "xgetbv"


def classify(
    uses: Sequence[Use],
    graph: CallGraph,
    functions: Mapping[int, Function],
    rules: Rules,
    *,
    path: str,
    distribution: str,
) -> tuple[Finding, ...]:
    """Return a finding for every function in ``uses`` that has features, in their order.

    Args:
        uses: What is of interest in each function of one file.
        graph: Who calls whom in it.
        functions: Its functions by where they start.
        rules: The recorded rules.
        path: The file's path, which rules name.
        distribution: The normalised name of the wheel or package that it is in; empty if it is in none.
    """
    if not any(use.features for use in uses):
        return ()
    applying = [rule for rule in rules.rule if rule.is_for(path, distribution)]
    file = _File(uses, graph, functions, applying)
    return tuple(file.finding(use) for use in uses if use.features)


class _Matcher:
    """One rule's patterns, compiled."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._unit = matcher(rule.unit) if rule.unit else None
        self._symbol = matcher(rule.symbol) if rule.symbol else None
        self._features = frozenset(rule.features)

    def names(self, function: Function, name: str) -> bool:
        """Return whether the rule's unit and symbol are those of ``function``, which is called ``name``."""
        return (self._unit is None or bool(self._unit.fullmatch(function.unit))) and (
            self._symbol is None or bool(self._symbol.fullmatch(name))
        )

    def covers(self, use: Use, name: str) -> bool:
        """Return whether the rule says that ``use`` is dispatched; its file and distribution are known to match."""
        function = use.function
        if not self.names(function, name) or (self._features and not _atoms(use) <= self._features):
            return False
        # Which unit's copy of a weak function was kept says nothing of who is linked to it: only its name does.
        return function.binding not in _VAGUE or self.rule.names_symbols or bool(_SAYS_CPU.search(name))


class _File:
    """One file, while its functions are classified."""

    def __init__(
        self, uses: Sequence[Use], graph: CallGraph, functions: Mapping[int, Function], rules: Sequence[Rule]
    ) -> None:
        self._uses = uses
        self._graph = graph
        self._functions = functions
        self._guards = [rule for rule in rules if rule.guard]
        self._matchers = [_Matcher(rule) for rule in rules if not rule.guard]
        self._names = {use.function.start: demangled(use.function.symbol) for use in uses if use.features}
        self._covered = {use.function.start: rule.id for use in uses if (rule := self._rule(use))}
        self._asking, for_a_cpu = self._named()
        self._stops = self._asking | self._covered.keys() | for_a_cpu

    def finding(self, use: Use) -> Finding:
        """Return what became of one function."""
        function = use.function
        kind, rule, chain = self._decide(use)
        return Finding(
            symbol=function.symbol,
            name=self._names[function.start],
            unit=function.unit,
            section=function.section,
            binding=function.binding,
            exported=function.exported,
            address=function.start,
            features=use.features,
            kind=kind,
            rule=rule,
            path=tuple(self._label(start) for start in chain),
        )

    def _decide(self, use: Use) -> tuple[Kind, str, tuple[int, ...]]:
        start = use.function.start
        if use.data:
            return Kind.DATA, "builtin.data", ()
        if not _is_xgetbv(use) and start in self._loading:
            return Kind.IMPORT_TIME, "builtin.import-time", self._graph.chain(self._loading, start)
        if dispatched := self._dispatched(use):
            return Kind.DISPATCHED, *dispatched
        chain = self._chain(start)
        if use.silent:
            return Kind.SILENT, "builtin.silent", chain
        if use.function.binding in _VAGUE and not _SAYS_CPU.search(self._names[start] + use.function.unit):
            return Kind.SHARED_WEAK, "builtin.weak", chain
        return Kind.UNGUARDED, "builtin.reached" if chain else "builtin.unknown-callers", chain

    def _dispatched(self, use: Use) -> tuple[str, tuple[int, ...]] | None:
        """Return the rule that covers ``use``, and the calls that it follows from; None if none does."""
        start = use.function.start
        if start in self._covered:
            return self._covered[start], ()
        if _is_xgetbv(use):
            return "builtin.xgetbv-after-cpuid", ()
        if start in self._guarded and not self._chain(start):
            return "builtin.guarded-by", self._graph.chain(self._guarded, start)
        return None

    def _chain(self, start: int) -> tuple[int, ...]:
        """Return a chain of calls from an entry to ``start`` on which nothing asks the CPU; empty if there is none."""
        if start not in self._asking:
            return self._graph.chain(self._unguarded, start)
        # What asks the CPU guards what it calls, but not what it does itself.
        if not _ENTRIES.isdisjoint(self._graph.entries.get(start, ())):
            return (start,)
        callers = (self._graph.chain(self._unguarded, caller) for caller in sorted(self._graph.callers(start)))
        return next(((*chain, start) for chain in callers if chain), ())

    def _rule(self, use: Use) -> Rule | None:
        if not use.features:
            return None
        name = self._names[use.function.start]
        return next((one.rule for one in self._matchers if one.covers(use, name)), None)

    # --- who asks the CPU -------------------------------------------------------------------------------------------

    def _named(self) -> tuple[frozenset[int], frozenset[int]]:
        """Return the functions that ask the CPU, and those that are named for a CPU and that a rule covers.

        The first execute CPUID, or call a recorded guard. The second do not have to use anything beyond the baseline:
        they lead to what does.
        """
        asking = {use.function.start for use in self._uses if use.asks_cpu}
        covered: set[int] = set()
        guards = [pattern for rule in self._guards for pattern in rule.guard]
        is_guard = matcher(guards) if guards else None
        named = [one for one in self._matchers if one.rule.names_symbols or one.rule.unit]
        # To demangle every name of a large library takes seconds: only those that contain what a pattern asks for.
        words = _words(guards)
        for start in self._functions:
            function = self._functions[start]
            says = _SAYS_CPU.search(function.symbol) or _SAYS_CPU.search(function.unit)
            if not says and not (words and words.search(function.symbol)):
                continue
            name = demangled(function.symbol)
            if is_guard and is_guard.fullmatch(name):
                asking.add(start)
                asking |= self._graph.callers(start)
            elif says and start not in self._names and any(one.names(function, name) for one in named):
                covered.add(start)
        return frozenset(asking), frozenset(covered)

    @cached_property
    def _loading(self) -> Mapping[int, int]:
        """What the dynamic linker executes, by way of functions that do not ask the CPU."""
        avoiding = set(self._asking)
        for start, kinds in self._graph.entries.items():
            # A resolver that asks through another function, as __cpu_indicator_init, decides by the answer too.
            if "ifunc" in kinds and not self._asking.isdisjoint(self._graph.callees(start)):
                avoiding.add(start)
        return self._graph.reachable(_LOADING, avoiding=avoiding)

    @cached_property
    def _unguarded(self) -> Mapping[int, int]:
        """What can be reached from outside without asking the CPU."""
        return self._graph.reachable(_ENTRIES, avoiding=self._stops)

    @cached_property
    def _guarded(self) -> Mapping[int, int]:
        """What functions lead to that ask the CPU, or that a rule covers; each with the function that leads to it.

        Those themselves are led to by none.
        """
        came = {start: start for start in self._stops}
        queue = deque(came)
        while queue:
            function = queue.popleft()
            for callee in self._graph.callees(function):
                if callee not in came:
                    came[callee] = function
                    queue.append(callee)
        return came

    def _label(self, start: int) -> str:
        function = self._functions.get(start)
        return demangled(function.symbol) if function and function.symbol else f"{start:#x}"


def _words(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """Return an expression for the longest word of each pattern, None if there is no pattern."""
    words = {max(re.findall(r"\w+", pattern), key=len) for pattern in patterns}
    return re.compile("|".join(sorted(words))) if words else None


def _atoms(use: Use) -> frozenset[str]:
    return frozenset(name for feature in use.features for name in feature.name.split("+"))


def _is_xgetbv(use: Use) -> bool:
    """Return whether it has no other instruction than XGETBV."""
    return all(feature.text.split()[0] == _XGETBV for feature in use.features)


def demangled(symbol: str) -> str:
    """Return the name of ``symbol`` for people: C++ and Rust names demangled, others as they are."""
    try:
        return str(cxxfilt.demangle(symbol))
    except cxxfilt.Error:
        return symbol
