"""Classes of findings, on graphs of calls that are small enough to be seen through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.audit.calls import CallGraph
from debtool.audit.classify import classify, demangled
from debtool.audit.decode import Use
from debtool.audit.findings import SAFE, Feature, Finding, Kind
from debtool.audit.image import ADDRESS, EXPORTED, IFUNC, INIT, Function
from debtool.audit.rules import Rule, Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REASON = "a table that is filled by what CPUID says"
NO_RULES = Rules()


def rules(**fields: object) -> Rules:
    return Rules(rule=(Rule.model_validate({"id": "recorded", "reason": REASON, "source": "its source", **fields}),))


def feature(name: str = "AVX", text: str = "vaddps ymm0,ymm0,[rax]") -> Feature:
    return Feature(name, 1, 0, "c5fc5800", text)


class Drawing:
    """A file of functions 0x10, 0x20 … named by single words; those in ``avx`` are beyond the baseline."""

    def __init__(
        self,
        calls: Iterable[str] = (),
        *,
        avx: str,
        entries: Mapping[str, int] | None = None,
        asks: str = "",
        weak: str = "",
        units: Mapping[str, str] | None = None,
    ) -> None:
        pairs = [tuple(call.split(">")) for call in calls]
        names = {name for pair in pairs for name in pair} | {*avx.split(), *asks.split(), *(entries or {})}
        self.at = {name: 16 * number for number, name in enumerate(sorted(names), 1)}
        self.functions = {
            start: Function(
                start=start,
                end=start + 16,
                symbol=name,
                unit=(units or {}).get(name, ""),
                section=".text",
                binding="weak" if name in weak.split() else "local",
                exported=bool((entries or {}).get(name, 0) & EXPORTED),
            )
            for name, start in self.at.items()
        }
        self.graph = CallGraph(
            [(self.at[caller], self.at[callee]) for caller, callee in pairs],
            {self.at[name]: mask for name, mask in (entries or {}).items()},
        )
        self.uses = {
            name: Use(
                self.functions[self.at[name]],
                (feature(),) if name in avx.split() else (),
                frozenset(),
                data=False,
                asks_cpu=name in asks.split(),
            )
            for name in sorted({*avx.split(), *asks.split()})
        }

    def findings(self, known: Rules = NO_RULES, path: str = "lib.so", distribution: str = "") -> dict[str, Finding]:
        found = classify(
            list(self.uses.values()), self.graph, self.functions, known, path=path, distribution=distribution
        )
        return {finding.symbol: finding for finding in found}


def kinds(found: Mapping[str, Finding]) -> dict[str, tuple[Kind, str]]:
    return {name: (finding.kind, finding.rule) for name, finding in found.items()}


def test_what_is_exported_is_unguarded() -> None:
    found = Drawing(avx="f", entries={"f": EXPORTED}).findings()
    assert kinds(found) == {"f": (Kind.UNGUARDED, "builtin.reached")}
    assert found["f"].path == ("f",)


def test_what_nothing_calls_is_unguarded_for_another_reason() -> None:
    assert kinds(Drawing(avx="f").findings()) == {"f": (Kind.UNGUARDED, "builtin.unknown-callers")}


def test_the_way_is_told_from_where_the_file_is_entered() -> None:
    found = Drawing(["api>step", "step>f"], avx="f", entries={"api": EXPORTED}).findings()
    assert found["f"].path == ("api", "step", "f")


def test_a_way_through_the_file_is_told_rather_than_none() -> None:
    found = Drawing(["api>f"], avx="f", entries={"api": EXPORTED, "f": EXPORTED}).findings()
    assert found["f"].path == ("api", "f")


def test_what_asks_the_cpu_guards_what_it_calls() -> None:
    found = Drawing(["api>step", "step>f"], avx="f", asks="api", entries={"api": EXPORTED}).findings()
    assert kinds(found) == {"f": (Kind.DISPATCHED, "builtin.guarded-by")}
    assert found["f"].path == ("api", "step", "f")


def test_one_way_past_the_guard_is_enough() -> None:
    drawing = Drawing(["api>f", "other>f"], avx="f", asks="api", entries={"api": EXPORTED, "other": EXPORTED})
    found = drawing.findings()
    assert kinds(found) == {"f": (Kind.UNGUARDED, "builtin.reached")}
    assert found["f"].path == ("other", "f")


def test_what_asks_the_cpu_does_not_guard_itself() -> None:
    found = Drawing(["api>f"], avx="f", asks="f", entries={"api": EXPORTED}).findings()
    assert kinds(found) == {"f": (Kind.UNGUARDED, "builtin.reached")}


def test_an_address_that_is_taken_is_an_entry() -> None:
    found = Drawing(["api>f"], avx="f", asks="api", entries={"api": EXPORTED, "f": ADDRESS}).findings()
    assert kinds(found) == {"f": (Kind.UNGUARDED, "builtin.reached")}


def test_a_recorded_guard() -> None:
    drawing = Drawing(["api>has_avx", "api>f"], avx="f", entries={"api": EXPORTED, "has_avx": EXPORTED})
    assert kinds(drawing.findings()) == {"f": (Kind.UNGUARDED, "builtin.reached")}
    assert kinds(drawing.findings(rules(guard=["has_*"]))) == {"f": (Kind.DISPATCHED, "builtin.guarded-by")}
    assert kinds(drawing.findings(rules(guard=["has_*"], file=["other.so"]))) == {
        "f": (Kind.UNGUARDED, "builtin.reached")
    }


def test_what_only_covered_functions_call_is_dispatched_with_them() -> None:
    drawing = Drawing(["sum_avx2>helper"], avx="sum_avx2 helper", entries={"sum_avx2": EXPORTED})
    assert kinds(drawing.findings(rules(symbol=["*_avx2"]))) == {
        "helper": (Kind.DISPATCHED, "builtin.guarded-by"),
        "sum_avx2": (Kind.DISPATCHED, "recorded"),
    }


def test_a_covered_function_stops_the_way_though_it_uses_nothing_itself() -> None:
    drawing = Drawing(["sum_avx2>helper"], avx="helper", entries={"sum_avx2": EXPORTED})
    assert kinds(drawing.findings(rules(symbol=["*_avx2"]))) == {"helper": (Kind.DISPATCHED, "builtin.guarded-by")}
    # A name that says nothing of a CPU may be anything's: a rule for code beyond the baseline does not cover it.
    drawing = Drawing(["sum>helper"], avx="helper", entries={"sum": EXPORTED})
    assert kinds(drawing.findings(rules(symbol=["sum"]))) == {"helper": (Kind.UNGUARDED, "builtin.reached")}


def test_every_part_of_a_rule_must_match() -> None:
    drawing = Drawing(avx="f_avx2", entries={"f_avx2": EXPORTED}, units={"f_avx2": "f.AVX2.cpp"})
    whole = {
        "symbol": ["f_*"],
        "unit": ["*.AVX2.cpp"],
        "file": ["*.so"],
        "distribution": ["foo"],
        "features": ["AVX"],
    }
    assert drawing.findings(rules(**whole), distribution="foo")["f_avx2"].rule == "recorded"
    assert drawing.findings(rules(**whole), distribution="bar")["f_avx2"].kind is Kind.UNGUARDED
    for part in ("symbol", "unit", "file", "features"):
        missed = rules(**whole | {part: ["no such"]})
        assert drawing.findings(missed, distribution="foo")["f_avx2"].kind is Kind.UNGUARDED, part


def test_features_are_parts_of_joined_names() -> None:
    drawing = Drawing(avx="f", entries={"f": EXPORTED})
    drawing.uses["f"] = Use(
        drawing.functions[drawing.at["f"]], (feature("AVX512VL+AVX512F"),), frozenset(), data=False, asks_cpu=False
    )
    assert drawing.findings(rules(symbol=["f"], features=["AVX512VL", "AVX512F"]))["f"].kind is Kind.DISPATCHED
    assert drawing.findings(rules(symbol=["f"], features=["AVX512F"]))["f"].kind is Kind.UNGUARDED


def test_the_first_rule_decides() -> None:
    two = Rules(
        rule=tuple(Rule(id=name, symbol=("f",), reason=REASON, source="its source") for name in ("first", "second"))
    )
    assert Drawing(avx="f").findings(two)["f"].rule == "first"


@pytest.mark.parametrize("entry", [INIT, IFUNC])
def test_the_loader_is_graver_than_a_rule(entry: int) -> None:
    drawing = Drawing(["start>f"], avx="f", entries={"start": entry}, units={"f": "f.AVX2.cpp"})
    found = drawing.findings(rules(unit=["*.AVX2.cpp"]))
    assert kinds(found) == {"f": (Kind.IMPORT_TIME, "builtin.import-time")}
    assert found["f"].path == ("start", "f")


def test_a_resolver_may_ask_through_another_function() -> None:
    entries = {"f": IFUNC, "__cpu_indicator_init": INIT}
    calls = ["f>__cpu_indicator_init", "f>choose"]
    assert (
        Drawing(calls, avx="choose", asks="__cpu_indicator_init", entries=entries).findings()["choose"].kind
        is not Kind.IMPORT_TIME
    )
    assert Drawing(calls, avx="choose", entries=entries).findings()["choose"].kind is Kind.IMPORT_TIME


def test_clones_of_a_resolver_that_asks() -> None:
    entries = {"sum": IFUNC, "sum.avx2": ADDRESS}
    assert kinds(Drawing(avx="sum.avx2", asks="sum", entries=entries).findings()) == {
        "sum.avx2": (Kind.DISPATCHED, "builtin.clone")
    }
    assert kinds(Drawing(avx="sum.avx2", entries=entries).findings()) == {
        "sum.avx2": (Kind.UNGUARDED, "builtin.reached")
    }


def test_a_weak_function_is_shared_unless_its_name_is_of_a_cpu() -> None:
    drawing = Drawing(
        ["api>total", "api>total_avx2"], avx="total total_avx2", weak="total total_avx2", entries={"api": EXPORTED}
    )
    assert kinds(drawing.findings()) == {
        "total": (Kind.SHARED_WEAK, "builtin.weak"),
        "total_avx2": (Kind.UNGUARDED, "builtin.reached"),
    }


def test_a_rule_covers_a_weak_function_by_its_name_only() -> None:
    drawing = Drawing(avx="total", weak="total", entries={"total": EXPORTED})
    assert drawing.findings(rules(file=["lib.so"]))["total"].kind is Kind.SHARED_WEAK
    assert drawing.findings(rules(file=["lib.so"], symbol=["*"]))["total"].kind is Kind.SHARED_WEAK
    assert drawing.findings(rules(symbol=["total"]))["total"].kind is Kind.DISPATCHED


def test_a_weak_function_that_only_dispatched_code_calls_is_no_danger_here() -> None:
    drawing = Drawing(["api>total"], avx="total", weak="total", asks="api", entries={"api": EXPORTED})
    assert kinds(drawing.findings()) == {"total": (Kind.DISPATCHED, "builtin.guarded-by")}


def test_silent_instructions_are_graver_than_unguarded_ones_unless_a_rule_covers_them() -> None:
    drawing = Drawing(avx="f", weak="f", entries={"f": EXPORTED})
    use = drawing.uses["f"]
    drawing.uses["f"] = Use(
        use.function, (feature("LZCNT", "lzcnt eax,edi"),), frozenset({"LZCNT"}), data=False, asks_cpu=False
    )
    assert kinds(drawing.findings()) == {"f": (Kind.SILENT, "builtin.silent")}
    assert kinds(drawing.findings(rules(symbol=["f"]))) == {"f": (Kind.DISPATCHED, "recorded")}


def test_data_is_no_code_whatever_leads_to_it() -> None:
    drawing = Drawing(avx="f", entries={"f": INIT})
    use = drawing.uses["f"]
    drawing.uses["f"] = Use(use.function, use.features, frozenset(), data=True, asks_cpu=False)
    assert kinds(drawing.findings()) == {"f": (Kind.DATA, "builtin.data")}


def test_xgetbv_alone_is_asked_for_after_cpuid() -> None:
    drawing = Drawing(avx="f", entries={"f": INIT})
    function = drawing.uses["f"].function
    alone, beside = feature("XSAVE", "xgetbv"), feature("XSAVE", "xsave [rax]")
    drawing.uses["f"] = Use(function, (alone,), frozenset(), data=False, asks_cpu=True)
    assert kinds(drawing.findings()) == {"f": (Kind.DISPATCHED, "builtin.xgetbv-after-cpuid")}
    drawing.uses["f"] = Use(function, (beside,), frozenset(), data=False, asks_cpu=True)
    assert drawing.findings()["f"].kind is Kind.UNGUARDED


def test_names_are_told_for_people() -> None:
    assert demangled("_ZN6fbgemm10FindMinMaxEPKfPfS2_l") == "fbgemm::FindMinMax(float const*, float*, float*, long)"
    assert demangled("cblas_sgemm") == "cblas_sgemm"
    assert demangled("_Znonsense") == "_Znonsense"
    assert demangled("") == ""


NAMES = "abcdefg"
edges = st.lists(st.sampled_from([f"{one}>{other}" for one in NAMES for other in NAMES]), max_size=16, unique=True)
some = st.sets(st.sampled_from(NAMES))


def reaches(calls: Iterable[str], begin: set[str], stop: set[str]) -> set[str]:
    """Return what can be reached from ``begin`` by calls of functions that are not in ``stop``; the slow way."""
    reached = set(begin)
    for _ in NAMES:
        reached |= {other for one, other in (call.split(">") for call in calls) if one in reached - stop}
    return reached


@given(edges, some, some, some, some)
def test_safe_is_what_no_unasked_way_leads_to(
    calls: list[str], avx: set[str], asks: set[str], entered: set[str], loaded: set[str]
) -> None:
    entries = {name: EXPORTED * (name in entered) | INIT * (name in loaded) for name in entered | loaded}
    found = Drawing(calls, avx=" ".join(avx), asks=" ".join(asks), entries=entries).findings()
    assert set(found) == avx
    unasked = reaches(calls, entered | loaded, asks)
    for name, finding in found.items():
        assert (finding.kind not in SAFE) >= (name in unasked)
        if finding.kind is Kind.DISPATCHED:
            assert finding.path[0] in asks
        if finding.rule == "builtin.reached":
            assert finding.path[0] in entered | loaded
            assert finding.path[-1] == name
        for one, other in zip(finding.path, finding.path[1:], strict=False):
            assert f"{one}>{other}" in calls


def test_a_function_that_calls_itself_by_way_of_another_is_entered_once() -> None:
    found = Drawing(["f>step", "step>f"], avx="f", entries={"f": EXPORTED}).findings()
    assert found["f"].path == ("f",)


def test_the_way_of_a_caller_for_every_cpu_is_told_first() -> None:
    entries = {"a_new": EXPORTED, "old": EXPORTED}
    found = Drawing(["a_new>f", "old>f"], avx="f a_new", entries=entries).findings()
    assert found["f"].path == ("old", "f")
