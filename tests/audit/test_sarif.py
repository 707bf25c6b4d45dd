from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Log

from debtool.audit.findings import Kind
from debtool.audit.sarif import sarif
from tests.support.audits import HOSTILE, RULES, every_kind, file_audit, finding, package_audit


def run_of(*arguments: Any) -> dict[str, Any]:
    run: dict[str, Any] = sarif(*arguments)["runs"][0]
    return run


def test_the_log_keeps_the_schema() -> None:
    # The models were generated from the OASIS schema; they refuse keys that it does not have.
    log = sarif([package_audit(), package_audit(subject="/opt/rocm/lib")], RULES)
    Log.model_validate_json(json.dumps(log))
    wrong = copy.deepcopy(log)
    wrong["runs"][0]["results"][0]["levle"] = "error"
    with pytest.raises(ValidationError, match="levle"):
        Log.model_validate(wrong)


def test_what_is_not_safe_is_an_error_each_and_what_is_a_note_for_each_rule() -> None:
    run = run_of([package_audit()], RULES)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    results = [(one["level"], one["ruleId"]) for one in run["results"]]
    assert results == [
        ("note", "dispatched/units"),
        ("note", "dispatched/names"),
        ("note", "data/builtin.data"),
        ("error", "import-time/builtin.import-time"),
        ("error", "silent/builtin.silent"),
        ("error", "shared-weak/builtin.weak"),
        ("error", "unguarded/builtin.reached"),
        ("note", "dispatched/units"),
        ("note", "dispatched/names"),
        ("note", "data/builtin.data"),
    ]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in run["results"])
    units = run["tool"]["driver"]["rules"][rules.index("dispatched/units")]
    assert units["defaultConfiguration"]["level"] == "note"
    assert "a dispatcher chooses by cpuinfo (source: DispatchStub.cpp)" in units["help"]["text"]
    assert run["results"][0]["properties"] == {"features": {"AVX": 24}, "functions": 8, "instructions": 24}


def test_an_error_says_where() -> None:
    run = run_of([package_audit()], RULES)
    (error,) = (one for one in run["results"] if one["ruleId"] == "unguarded/builtin.reached")
    (where,) = error["locations"]
    location = where["physicalLocation"]["artifactLocation"]
    assert location["uri"] == run["artifacts"][location["index"]]["location"]["uri"] == "/x/unproven.so"
    address = where["physicalLocation"]["address"]
    assert address["relativeAddress"] == 0x1010
    assert run["addresses"][address["parentIndex"]]["fullyQualifiedName"] == "x/unproven.so"
    assert where["logicalLocations"][0]["decoratedName"] == "_ZN1a1fEv"
    assert error["message"]["text"].startswith(
        "a::f(): 3 instructions beyond westmere, at 0x1010 vmovss xmm0,\\[rdi\\]: "
    )
    steps = error["codeFlows"][0]["threadFlows"][0]["locations"]
    assert [step["location"]["logicalLocations"][0]["fullyQualifiedName"] for step in steps] == [
        "a::entry()",
        "a::f()",
    ]


def test_files_of_a_wheel_lie_in_it_and_files_of_a_folder_where_they_are() -> None:
    wheel = run_of([package_audit(file_audit("x/a b.so"), subject="w/x-1.0-py3-none-any.whl")], RULES)["artifacts"]
    assert [(one["location"]["uri"], one.get("parentIndex")) for one in wheel] == [
        ("w/x-1.0-py3-none-any.whl", None),
        ("/x/a%20b.so", 0),
    ]
    folder = run_of([package_audit(file_audit("a.so"), subject="/opt/lib")], RULES)["artifacts"]
    assert [one["location"]["uri"] for one in folder] == ["/opt/lib/a.so"]
    single = run_of([package_audit(file_audit("a.so"), subject="/opt/lib/a.so")], RULES)["artifacts"]
    assert [one["location"]["uri"] for one in single] == ["/opt/lib/a.so"]


def test_fingerprints_tell_functions_apart_and_outlive_a_rebuild() -> None:
    def fingerprints(offset: int) -> list[str]:
        twins = tuple(finding(Kind.UNGUARDED, "builtin.reached", n + offset, symbol="f", name="f") for n in range(2))
        others = tuple(one for one in every_kind() if one.kind is Kind.UNGUARDED)
        run = run_of([package_audit(file_audit(findings=(*others, *twins)))], RULES)
        return [one["partialFingerprints"]["fileAndFunction/v1"] for one in run["results"]]

    assert len(set(fingerprints(1))) == 3
    assert fingerprints(1) == fingerprints(5)


def test_a_symbol_is_never_a_placeholder_or_a_link() -> None:
    name = "a::operator[](int)::{lambda()#1}"
    weak = finding(Kind.SHARED_WEAK, "builtin.weak", 0, name=name)
    hostile = finding(Kind.SHARED_WEAK, "builtin.weak", 1, name=HOSTILE, symbol=HOSTILE)
    first, second = run_of([package_audit(file_audit(findings=(weak, hostile)))], RULES)["results"]
    assert first["message"]["text"].startswith("a::operator\\[\\](int)::{{lambda()#1}}: ")
    assert second["locations"][0]["logicalLocations"][0]["decoratedName"] == HOSTILE


def test_what_was_not_audited_is_told() -> None:
    run = run_of([package_audit()], RULES)
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == "not audited: for AArch64"
    artifact = run["artifacts"][note["locations"][0]["physicalLocation"]["artifactLocation"]["index"]]
    assert artifact["properties"]["level"] is None


def test_the_same_audit_gives_the_same_log() -> None:
    assert json.dumps(sarif([package_audit()], RULES)) == json.dumps(sarif([package_audit()], RULES))
