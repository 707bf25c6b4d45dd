from __future__ import annotations

import json

import pytest

from debtool.audit.findings import Kind, Level
from debtool.audit.summary import KINDS, LEVELS, Tally, by_feature, by_kind, document, groups, origin, title
from tests.support.audits import HOSTILE, RULES, every_kind, file_audit, finding, package_audit


def test_groups_are_by_class_and_rule_the_gravest_first() -> None:
    found = groups(every_kind())
    assert [(one.kind.value, one.rule, len(one.findings)) for one in found] == [
        ("import-time", "builtin.import-time", 1),
        ("silent", "builtin.silent", 1),
        ("shared-weak", "builtin.weak", 1),
        ("unguarded", "builtin.reached", 1),
        ("dispatched", "units", 8),
        ("dispatched", "names", 1),
        ("data", "builtin.data", 1),
    ]
    assert found[4].tally == Tally(8, 24)
    assert [one.address for one in found[4].findings] == [0x1000 + 0x100 * number for number in range(8)]


def test_counts_are_functions_and_instructions() -> None:
    assert by_kind(every_kind())[Kind.DISPATCHED] == Tally(9, 27)
    assert list(by_kind(every_kind())) == [kind for kind in Kind if kind in KINDS]
    assert by_feature(every_kind()) == {"AVX": Tally(13, 39), "LZCNT": Tally(1, 1)}


@pytest.mark.parametrize(
    ("name", "unit", "where"),
    [
        ("f()", "f.cpp", "f.cpp"),
        ("void fbgemm::f<std::vector<int> >(int)", "", "namespace fbgemm"),
        ("mkl_blas_sgemm", "", "mkl_*"),
        ("__svml_acos8", "", "__svml_*"),
        ("main", "", "main"),
        ("", "", "code without symbols"),
    ],
)
def test_a_function_comes_from_its_unit_or_what_its_name_begins_with(name: str, unit: str, where: str) -> None:
    assert origin(finding(Kind.UNGUARDED, "builtin.reached", name=name, unit=unit)) == where


def test_a_function_is_called_by_a_name_that_can_be_printed() -> None:
    unnamed = finding(Kind.UNGUARDED, "builtin.reached", symbol="", name="")
    assert title(unnamed) == "code at 0x1000"
    assert title(finding(Kind.UNGUARDED, "builtin.reached", name=HOSTILE)).isprintable()


def test_the_document_tells_in_full_what_is_not_safe() -> None:
    told = document(package_audit(), RULES)
    assert json.loads(json.dumps(told)) == told
    assert (told["schema"], told["level"], told["baseline"]) == (1, "unproven", "westmere")
    assert told["promise"] == LEVELS[Level.UNPROVEN]
    assert [(file["path"], file["level"]) for file in told["files"]] == [
        ("x/free.so", "free"),
        ("x/safe.so", "dispatch-safe"),
        ("x/unproven.so", "unproven"),
        ("x/arm.so", None),
    ]
    unproven = told["files"][2]
    assert unproven["classes"]["dispatched"] == {"functions": 9, "instructions": 27}
    assert unproven["features"]["LZCNT"] == {"functions": 1, "instructions": 1}
    by_rule = {group["rule"]: group for group in unproven["groups"]}
    reached = by_rule["builtin.reached"]["findings"]
    assert [(one["symbol"], one["address"], one["path"]) for one in reached] == [
        ("_ZN1a1fEv", "0x1000", ["a::entry()", "a::f()"])
    ]
    assert reached[0]["features"] == [
        {"name": "AVX", "count": 3, "address": "0x1010", "code": "c5fa1007", "text": "vmovss xmm0,[rdi]"}
    ]
    assert (len(by_rule["units"]["findings"]), by_rule["units"]["omitted"]) == (5, 3)
    assert (by_rule["units"]["reason"], by_rule["units"]["source"]) == (
        "a dispatcher chooses by cpuinfo",
        "DispatchStub.cpp",
    )


def test_of_a_damaged_file_nothing_is_promised() -> None:
    audit = package_audit(file_audit(), file_audit("y.so", note="damaged: it ends in its header"))
    assert audit.level is Level.UNPROVEN
    assert [file["level"] for file in document(audit, RULES)["files"]] == ["free", "unproven"]


def test_the_whole_document_omits_nothing() -> None:
    told = document(package_audit(), RULES, whole=True)
    omitted = [group["omitted"] for file in told["files"] for group in file["groups"]]
    assert set(omitted) == {0}
