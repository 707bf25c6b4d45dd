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
    from collections.abc import Collection, Mapping, Sequence

    from debtool.audit.calls import CallGraph
    from debtool.audit.decode import Use
    from debtool.audit.image import Function
    from debtool.audit.rules import Rule, Rules

_LOADING: Final = frozenset({"init", "ifunc"})
"""Entries that the dynamic linker calls when it loads a file."""

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
        self._asking = self._find_asking()
        self._cpu_named: dict[int, bool] = {}

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
        if use.function.symbol.partition(".")[0] in self._cloned:
            return "builtin.clone", ()
        unguarded, guarded = self._ways
        if start in guarded and start not in unguarded:
            return "builtin.guarded-by", self._graph.chain(guarded, start)
        return None

    def _chain(self, start: int) -> tuple[int, ...]:
        """Return a chain of calls from an entry to ``start`` on which nothing asks the CPU; empty if there is none.

        A chain by way of a caller that has nothing beyond the baseline itself tells most: it was not compiled for
        another CPU. One through the file tells more than that ``start`` is entered from outside.
        """
        unguarded, _ = self._ways
        chain = self._graph.chain(unguarded, start)
        callers = [caller for caller in sorted(self._graph.callers(start)) if not self._stops(caller)]
        callers.sort(key=lambda caller: caller in self._names)
        for caller in callers:
            way = self._graph.chain(unguarded, caller)
            if way and start not in way and (caller not in self._names or len(chain) == 1):
                return (*way, start)
        return chain

    def _rule(self, use: Use) -> Rule | None:
        if not use.features or use.data:
            return None
        name = self._names[use.function.start]
        return next((one.rule for one in self._matchers if one.covers(use, name)), None)

    # --- who asks the CPU -------------------------------------------------------------------------------------------

    def _find_asking(self) -> frozenset[int]:
        """Return the functions that execute CPUID, and those that call a recorded guard."""
        asking = {use.function.start for use in self._uses if use.asks_cpu}
        patterns = [pattern for rule in self._guards for pattern in rule.guard]
        if patterns:
            names = matcher(patterns)
            # To demangle every name of a large library takes seconds: only those that contain what a pattern asks for.
            words = re.compile("|".join(sorted({max(re.findall(r"\w+", one), key=len) for one in patterns})))
            for start in self._functions:
                symbol = self._functions[start].symbol
                if words.search(symbol) and names.fullmatch(demangled(symbol)):
                    asking.add(start)
                    asking |= self._graph.callers(start)
        return frozenset(asking)

    def _stops(self, start: int) -> bool:
        """Return whether the CPU was asked when the function at ``start`` calls another one."""
        if start in self._asking or start in self._covered:
            return True
        if start not in self._cpu_named:
            self._cpu_named[start] = start not in self._names and self._is_for_a_cpu(self._functions.get(start))
        return self._cpu_named[start]

    def _is_for_a_cpu(self, function: Function | None) -> bool:
        """Return whether a rule covers ``function``, which is named for a CPU though it uses nothing of it itself."""
        if function is None or not (_SAYS_CPU.search(function.symbol) or _SAYS_CPU.search(function.unit)):
            return False
        named = (one for one in self._matchers if one.rule.names_symbols or one.rule.unit)
        name = demangled(function.symbol)
        return any(one.names(function, name) for one in named)

    @cached_property
    def _loading(self) -> Mapping[int, int]:
        """What the dynamic linker executes, by way of functions that do not ask the CPU."""
        return self._graph.reachable(_LOADING, avoiding=self._asking | self._resolvers)

    @cached_property
    def _resolvers(self) -> frozenset[int]:
        """The IFUNC resolvers that ask the CPU, themselves or through another function, as __cpu_indicator_init."""
        found = [start for start, kinds in self._graph.entries.items() if "ifunc" in kinds]
        return frozenset(
            start for start in found if start in self._asking or not self._asking.isdisjoint(self._graph.callees(start))
        )

    @cached_property
    def _cloned(self) -> frozenset[str]:
        """The symbols of functions that the compiler made clones of for several CPUs."""
        symbols = (self._functions[start].symbol for start in self._resolvers if start in self._functions)
        return frozenset(symbol.removesuffix(".resolver") for symbol in symbols if symbol)

    @cached_property
    def _ways(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """The ways to functions that no rule covers: from entries, and from functions that ask the CPU or are covered.

        Each maps a function to the one that leads to it, and one that a way begins with to itself.
        """
        sought = {use.function.start for use in self._uses if use.features and not use.data} - self._covered.keys()
        above = set(sought)
        after_asking: dict[int, int] = {}
        queue = deque(sorted(sought))
        while queue:
            function = queue.popleft()
            for caller in sorted(self._graph.callers(function)):
                if self._stops(caller):
                    after_asking.setdefault(function, caller)
                elif caller not in above:
                    above.add(caller)
                    queue.append(caller)
        entries = {start: start for start in sorted(above) if self._graph.entries.get(start)}
        asked = after_asking | {caller: caller for caller in after_asking.values()}
        return self._follow(entries, above), self._follow(asked, above)

    def _follow(self, came: dict[int, int], above: Collection[int]) -> Mapping[int, int]:
        """Add to ``came`` what its functions lead to by way of those in ``above``, but not past one that asks."""
        queue = deque(came)
        while queue:
            function = queue.popleft()
            if self._stops(function):
                continue
            for callee in sorted(self._graph.callees(function)):
                if callee in above and callee not in came:
                    came[callee] = function
                    queue.append(callee)
        return came

    def _label(self, start: int) -> str:
        function = self._functions.get(start)
        return demangled(function.symbol) if function and function.symbol else f"{start:#x}"


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
