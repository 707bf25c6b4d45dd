"""A library that has every class of finding on purpose: what of it is found, and what is found that is not there."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import SAFE, Kind, Level
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.audit.findings import FileAudit, Finding

PROJECT: Final = Path(__file__).with_name("project")

TRUTH: Final = {
    "_GLOBAL__sub_I_Kernels.AVX2.cpp": Kind.IMPORT_TIME,
    "fill_early": Kind.IMPORT_TIME,
    "careless": Kind.IMPORT_TIME,
    "leading": Kind.SILENT,
    "_Z5totalIdET_PKS0_i": Kind.SHARED_WEAK,
    "_Z6lowestIdET_PKS0_i": Kind.SHARED_WEAK,
    "unguarded_total": Kind.UNGUARDED,
    "bypassed": Kind.UNGUARDED,
    "exported_average": Kind.UNGUARDED,
    "_ZN12_GLOBAL__N_15scaleEPffi": Kind.DISPATCHED,
    "_Z13greatest_avx2IdET_PKS0_i": Kind.DISPATCHED,
    "cloned.avx2": Kind.DISPATCHED,
    "careful_avx2": Kind.DISPATCHED,
    "after_cpuid": Kind.DISPATCHED,
    "after_guard": Kind.DISPATCHED,
    "below_guard": Kind.DISPATCHED,
    "constants": Kind.DATA,
}
"""What each function beyond the baseline is, from its source; nothing else in the library is beyond it but XGETBV."""


@dataclass(frozen=True)
class Score:
    """How well a variant of the library was judged.

    Attributes:
        recall: Of the functions that the baseline may execute, the part that is reported as such.
        precision: Of those that are reported as such, the part that it may.
        classes: Of all functions beyond the baseline, the part that has the right class.
    """

    recall: float
    precision: float
    classes: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    subprocess.run([PROJECT / "build.sh", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def audits(folder: Path) -> Mapping[str, FileAudit]:
    rules = load_rules(PROJECT / "rules.toml")
    names = ("libproject.so", "libproject-stripped.so")
    paths = [folder / name for name in names]
    found = audit_paths(paths, find_baseline("westmere"), rules, cache=folder / "cache", jobs=1)
    return {name: audit.files[0] for name, audit in zip(names, found, strict=True)}


def by_symbol(folder: Path, audit: FileAudit) -> dict[str, Finding]:
    """Return findings by the symbols that the library has before it is stripped; XGETBV is left out."""
    listed = subprocess.run(["nm", folder / "libproject.so"], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    symbols = {int(row[0], 16): row[2] for row in rows if row[-1] in TRUTH}
    return {
        symbols.get(one.address, one.symbol or hex(one.address)): one
        for one in audit.findings
        if one.rule != "builtin.xgetbv-after-cpuid"
    }


def score(found: Mapping[str, Finding]) -> Score:
    unsafe = {symbol for symbol, kind in TRUTH.items() if kind not in SAFE}
    reported = {symbol for symbol, one in found.items() if one.kind not in SAFE}
    right = sum(symbol in found and found[symbol].kind is kind for symbol, kind in TRUTH.items())
    return Score(
        recall=len(unsafe & reported) / len(unsafe),
        precision=len(unsafe & reported) / len(reported),
        classes=right / len(TRUTH),
    )


def test_every_function_beyond_the_baseline_is_found_and_no_other(
    folder: Path, audits: Mapping[str, FileAudit]
) -> None:
    for audit in audits.values():
        assert set(by_symbol(folder, audit)) == set(TRUTH)
        assert audit.level is Level.UNPROVEN


def test_classes_with_symbols(folder: Path, audits: Mapping[str, FileAudit]) -> None:
    found = by_symbol(folder, audits["libproject.so"])
    wrong = {symbol: found[symbol].kind for symbol, kind in TRUTH.items() if found[symbol].kind is not kind}
    # What a resolver returns is reached by no call: it takes a rule to know that careful_avx2 is its own. That lowest()
    # was weak does not stand in the file any more; that innocent code calls it does.
    assert wrong == {"careful_avx2": Kind.UNGUARDED, "_Z6lowestIdET_PKS0_i": Kind.UNGUARDED}
    assert score(found) == Score(recall=1.0, precision=9 / 10, classes=15 / 17)


def test_classes_without_symbols(folder: Path, audits: Mapping[str, FileAudit]) -> None:
    found = by_symbol(folder, audits["libproject-stripped.so"])
    wrong = {symbol: found[symbol].kind for symbol, kind in TRUTH.items() if found[symbol].kind is not kind}
    # Nothing that the baseline may execute is called safe. What only a name made safe is not, and data has no type.
    assert wrong == dict.fromkeys(
        (
            "_ZN12_GLOBAL__N_15scaleEPffi",
            "_Z13greatest_avx2IdET_PKS0_i",
            "cloned.avx2",
            "careful_avx2",
            "constants",
            "_Z6lowestIdET_PKS0_i",
        ),
        Kind.UNGUARDED,
    )
    assert score(found) == Score(recall=1.0, precision=9 / 14, classes=11 / 17)


def test_every_verdict_has_a_rule_and_a_way(folder: Path, audits: Mapping[str, FileAudit]) -> None:
    found = by_symbol(folder, audits["libproject.so"])
    assert {symbol: (one.rule, one.path) for symbol, one in found.items()} == {
        "_GLOBAL__sub_I_Kernels.AVX2.cpp": ("builtin.import-time", ("_GLOBAL__sub_I_Kernels.AVX2.cpp",)),
        "fill_early": ("builtin.import-time", ("start_early", "fill_early")),
        "careless": ("builtin.import-time", ("careless",)),
        "leading": ("builtin.silent", ("leading",)),
        "_Z5totalIdET_PKS0_i": ("builtin.weak", ("innocent_total", "double total<double>(double const*, int)")),
        "_Z6lowestIdET_PKS0_i": (
            "builtin.reached",
            ("innocent_lowest", "double lowest<double>(double const*, int)"),
        ),
        "unguarded_total": ("builtin.reached", ("unguarded_total",)),
        "bypassed": ("builtin.reached", ("forgets_to_ask", "bypassed")),
        "exported_average": ("builtin.reached", ("exported_average",)),
        "_ZN12_GLOBAL__N_15scaleEPffi": ("project-units", ()),
        "_Z13greatest_avx2IdET_PKS0_i": ("project-names", ()),
        "cloned.avx2": ("builtin.clone", ()),
        "careful_avx2": ("builtin.reached", ("careful_avx2",)),
        "after_cpuid": ("builtin.guarded-by", ("dispatch_by_cpuid", "after_cpuid")),
        "after_guard": ("builtin.guarded-by", ("dispatch_by_guard", "after_guard")),
        "below_guard": ("builtin.guarded-by", ("dispatch_by_guard", "step", "below_guard")),
        "constants": ("builtin.data", ()),
    }


def test_a_cpu_that_has_it_all_is_free_of_findings(folder: Path) -> None:
    path = folder / "libproject.so"
    baseline = find_baseline("x86-64-v3")
    [audit] = audit_paths([path], baseline, load_rules(), cache=folder / "cache", jobs=1)
    assert audit.level is Level.FREE
