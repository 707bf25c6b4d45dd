"""What a release makes of audits: exceptions, refusals and the ways out, on audits made by hand."""

from __future__ import annotations

import datetime as dt
import string
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from debtool.audit.baselines import find_baseline
from debtool.audit.findings import SAFE, Feature, FileAudit, Finding, Kind, PackageAudit
from debtool.audit.gate import Fault, ProbeResult, Verdict
from debtool.audit.rules import load_rules
from debtool.model.errors import InputError, Issue
from debtool.model.stack import AuditException, parse_stack
from debtool.stack.audit import Gate, Standing, WheelAudit, judge, stack_baseline
from debtool.stack.facts import WheelFacts
from debtool.stack.project import Project
from debtool.stack.refusal import LASTING, exception_block, refusals, warnings
from debtool.stack.suspects import SuspectCache, Suspects
from debtool.stack.ways_out import ways_out
from tests.support import drafts

if TYPE_CHECKING:
    from debtool.model.errors import Issue as IssueType

TODAY = dt.date(2026, 11, 23)
TORCH = '[[artefact]]\nname = "torch"\nversion = "2.13.0+cpu"\nkind = "external"\ntargets = ["here"]\n'


def found(name: str, kind: Kind = Kind.UNGUARDED, *, count: int = 7, path: tuple[str, ...] = ()) -> Finding:
    feature = Feature("AVX2", count, 0x1010, "c5fdefc0", "vpxor ymm0,ymm0,ymm0")
    symbol = f"_Z{name}" if name else ""
    return Finding(symbol, name, "", ".text", "global", True, 0x1000, (feature,), kind, "builtin.x", path)


def audit(*findings: Finding, file: str = "torch/lib/libtorch_cpu.so") -> PackageAudit:
    return PackageAudit(
        "/somewhere/torch.whl", "a" * 64, "westmere", "r" * 64, (FileAudit(file, "f" * 64, 9, findings=findings),)
    )


def wheel(name: str = "torch", version: str = "2.13.0+cpu") -> WheelFacts:
    path = Path(f"/wheels/{name}.whl")
    return WheelFacts(
        path, "a" * 64, canonicalize_name(name), Version(version), pure=False, size=1, requires=(), elf={}
    )


def exception(**changes: Any) -> AuditException:
    fields = {"wheel": "torch", "functions": ["fbgemm::*"], "reason": "nothing calls it", "expires": TODAY, **changes}
    return AuditException.model_validate(fields)


def verdict(*results: ProbeResult) -> Verdict:
    return Verdict("torch.whl", "a" * 64, "Westmere", "qemu 7.2", "p" * 64, "a control", 9, results)


FAULT = Fault(0x10, "c5fdefc0", "vpxor ymm0,ymm0,ymm0", "_Zfbgemm::Min+0x4", "fbgemm::Min+0x4", "lib.so", ("t.py:3 f",))
FAULTY = ProbeResult("quantised linear", "sigill", "", FAULT)


def judged(*findings: Finding, exceptions: tuple[AuditException, ...] = (), **more: Any) -> WheelAudit:
    given = {"baseline": "westmere", "today": TODAY, "cache": Path("/nowhere"), **more}
    return judge(wheel(), Suspects.of(audit(*findings)), given.pop("verdict", None), [*enumerate(exceptions)], **given)


def project(tmp_path: Path, more: str = TORCH, head: str = 'baseline = "westmere"\n') -> Project:
    file = tmp_path / "stack.toml"
    file.write_text(drafts.STACK_HEAD.replace("[requirements]", f"{head}\n[requirements]") + more + drafts.PACKAGE)
    return Project(file, parse_stack(file.read_text(), file))


def refused(one: WheelAudit, tmp_path: Path, more: str = TORCH) -> list[IssueType]:
    gate = Gate(find_baseline("westmere"), {one.name: one})
    return refusals(gate, project(tmp_path, more), drafts.target())


def exception_table(**changes: str) -> str:
    fields = {"wheel": '"torch"', "functions": '["fbgemm::*"]', "reason": '"r"', "expires": "2026-12-01", **changes}
    return "[[exception]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())


@pytest.mark.parametrize(
    ("kinds", "standing"),
    [
        ([], Standing.FREE),
        ([Kind.DATA], Standing.FREE),
        ([Kind.DISPATCHED, Kind.DATA], Standing.DISPATCH_SAFE),
        *(([Kind.DISPATCHED, kind], Standing.REFUSED) for kind in Kind if kind not in SAFE),
    ],
)
def test_only_what_may_be_executed_is_refused(kinds: list[Kind], standing: Standing) -> None:
    one = judged(*(found(f"f{number}", kind) for number, kind in enumerate(kinds)))
    assert one.standing is standing
    assert one.field == f"westmere {standing}"


def test_an_exception_covers_what_it_names_and_no_more() -> None:
    one = judged(found("fbgemm::Min"), found("at::add"), exceptions=(exception(),))
    assert one.standing is Standing.REFUSED
    assert [left.finding.name for left in one.findings] == ["at::add"]
    assert [covered.finding.name for covered in one.applied[0].findings] == ["fbgemm::Min"]
    both = judged(found("fbgemm::Min"), found("at::add"), exceptions=(exception(), exception(functions=["at::*"])))
    assert both.standing is Standing.EXCEPTED
    assert judged(found("at::add"), exceptions=(exception(functions=["*"]),)).standing is Standing.EXCEPTED


def test_a_file_that_cannot_be_read_is_refused_unless_everything_is_excepted(tmp_path: Path) -> None:
    whole = audit(found("f", Kind.DISPATCHED))
    broken = FileAudit("torch/lib/torn.so", "f" * 64, 9, note="damaged: it ends too soon")
    suspects = Suspects.of(replace(whole, files=(*whole.files, broken)))
    given: dict[str, Any] = {"baseline": "westmere", "today": TODAY, "cache": Path("/nowhere")}
    one = judge(wheel(), suspects, None, [], **given)
    assert one.standing is Standing.REFUSED
    [issue] = refused(one, tmp_path)
    assert "nothing can be promised of 1 file: torch/lib/torn.so: damaged: it ends too soon" in issue.problem
    assert 'functions = ["*"]' in issue.fix
    assert judge(wheel(), suspects, None, [(0, exception())], **given).standing is Standing.REFUSED
    everything = judge(wheel(), suspects, None, [(0, exception(functions=["*"]))], **given)
    assert everything.standing is Standing.EXCEPTED
    SuspectCache(tmp_path).keep("a" * 64, suspects)
    assert SuspectCache(tmp_path).read("a" * 64) == suspects


def test_an_exception_may_be_for_some_classes_only() -> None:
    only = exception(kinds=["shared-weak"])
    assert judged(found("fbgemm::Min", Kind.SHARED_WEAK), exceptions=(only,)).standing is Standing.EXCEPTED
    assert judged(found("fbgemm::Min", Kind.SILENT), exceptions=(only,)).standing is Standing.REFUSED


@pytest.mark.parametrize(
    ("changes", "concerns"),
    [
        ({}, True),
        ({"versions": "==2.13.0+cpu"}, True),
        ({"versions": ">=2.13"}, True),
        ({"versions": "<2.13"}, False),
        ({"targets": ("here", "there")}, True),
        ({"targets": ("there",)}, False),
        ({"wheel": "Torch"}, True),
        ({"wheel": "torchvision"}, False),
    ],
)
def test_an_exception_is_for_a_wheel_its_versions_and_targets(changes: dict[str, Any], concerns: bool) -> None:  # noqa: FBT001
    assert exception(**changes).concerns("torch", Version("2.13.0+cpu"), "here") is concerns


def test_the_kinds_of_the_stack_file_are_those_of_the_audit() -> None:
    told = get_args(get_args(AuditException.model_fields["kinds"].annotation)[0])
    assert set(told) == {str(kind) for kind in Kind} - {str(kind) for kind in SAFE}


def test_the_last_day_still_counts_and_the_next_is_told_with_its_line(tmp_path: Path) -> None:
    last = judged(found("fbgemm::Min"), exceptions=(exception(),))
    assert last.standing is Standing.EXCEPTED
    over = judged(found("fbgemm::Min"), exceptions=(exception(),), today=TODAY + dt.timedelta(1))
    assert over.standing is Standing.REFUSED
    [issue] = refused(over, tmp_path, TORCH + exception_table())
    assert issue.file is not None
    assert issue.line is not None
    assert issue.file.read_text().splitlines()[issue.line - 1] == "expires = 2026-12-01"
    assert issue.field == "exception[1].expires"
    assert "was over on 2026-11-23; it covered 1 function: unguarded fbgemm::Min" in issue.problem
    assert "whether its reason still holds (nothing calls it)" in issue.fix
    assert "USE_FBGEMM=0" in issue.fix


def test_a_newer_exception_stands_in_for_one_that_is_over(tmp_path: Path) -> None:
    old, new = exception(), exception(expires=TODAY + dt.timedelta(99))
    one = judged(found("fbgemm::Min"), exceptions=(old, new), today=TODAY + dt.timedelta(1))
    assert one.standing is Standing.EXCEPTED
    assert refused(one, tmp_path) == []


@pytest.mark.parametrize(("days", "warned"), [(0, True), (29, True), (30, False)])
def test_an_exception_that_is_over_soon_is_told(days: int, warned: bool, tmp_path: Path) -> None:  # noqa: FBT001
    one = judged(found("fbgemm::Min"), exceptions=(exception(expires=TODAY + dt.timedelta(days)),))
    gate = Gate(find_baseline("westmere"), {"torch": one})
    told = warnings(gate, project(tmp_path, TORCH + exception_table()))
    assert [issue.field for issue in told] == ["exception[1].expires"] * warned


def test_an_exception_of_everything_and_one_of_nothing_are_told(tmp_path: Path) -> None:
    far = TODAY + dt.timedelta(300)
    one = judged(found("x"), found("y"), exceptions=(exception(functions=["*"], expires=far),))
    gate = Gate(find_baseline("westmere"), {"torch": one}, unused=(1,))
    text = TORCH + exception_table(functions='["*"]') + exception_table(wheel='"numpy"', versions='"<2"')
    loud, idle = warnings(gate, project(tmp_path, text))
    assert "covers whatever is found; now that is 2 findings" in loud.problem
    assert idle.problem == "the exception of numpy<2 covers nothing that is found in this release".replace("y<", "y <")
    assert (loud.field, idle.field) == ("exception[1].functions", "exception[2].wheel")


def test_a_refusal_says_what_was_found_and_every_way_out(tmp_path: Path) -> None:
    findings = [found("fbgemm::Min", path=("torch::linear", "a", "b", "c", "fbgemm::Min")), found("f", Kind.SILENT)]
    findings += [found(f"at::op{number}") for number in range(4)]
    [issue] = refused(judged(*findings, found("safe", Kind.DISPATCHED)), tmp_path)
    assert issue.field == "acme-python3-torch"
    assert "torch 2.13.0+cpu: 6 functions may execute what westmere lacks: silent f in " in issue.problem
    assert "unguarded fbgemm::Min in torch/lib/libtorch_cpu.so (AVX2 7; reached by torch::linear > " in issue.problem
    assert "and 3 more functions (all: debtool audit isa /wheels/torch.whl --cpu westmere)" in issue.problem
    ways = [line.removeprefix("  - ") for line in issue.fix.splitlines() if line.startswith("  - ")]
    assert [way.partition(" ")[0] for way in ways] == ["build", "build", "take", "do", "if"]
    assert "USE_FBGEMM=0" in ways[0]


def test_a_wheel_of_the_index_may_be_rebuilt_and_torch_may_not(tmp_path: Path) -> None:
    suspects = Suspects.of(audit(found("pack")))
    cache = Path("/nowhere")
    other = judge(wheel("msgpack", "1.0"), suspects, None, [], baseline="westmere", today=TODAY, cache=cache)
    [issue] = refused(other, tmp_path)
    assert f"debtool --config {tmp_path}/stack.toml wheel rebuild msgpack --cpu westmere --target here" in issue.fix
    assert "FBGEMM" not in issue.fix
    [issue] = refused(judged(found("at::add")), tmp_path, "")
    assert "rebuild torch" not in issue.fix
    assert "FBGEMM" not in issue.fix


@pytest.mark.parametrize(
    "names",
    [
        ["fbgemm::Min(float const*, long)"],
        ["std::vector<int>::operator[](unsigned long)", "what?*"],
        [""],
        [f"ns::f{number}<int*>(char)" for number in range(40)],
        [f"f{number}" for number in range(40)],
    ],
)
def test_the_offered_exception_excepts_it(names: list[str]) -> None:
    one = judged(*(found(name) for name in names), verdict=verdict(FAULTY))
    [table] = tomllib.loads(exception_block(one))["exception"]
    assert table["expires"] == TODAY + LASTING
    offered = AuditException.model_validate(table)
    assert offered.concerns("torch", Version("2.13.0+cpu"), "here")
    again = judged(*(found(name) for name in names), verdict=verdict(FAULTY), exceptions=(offered,))
    assert again.standing is Standing.EXCEPTED


def test_a_failed_verdict_refuses_and_names_the_fault(tmp_path: Path) -> None:
    one = judged(verdict=verdict(ProbeResult("import torch", "same"), FAULTY))
    assert one.standing is Standing.REFUSED
    [issue] = refused(one, tmp_path)
    text = (
        "it failed on the emulated westmere: quantised linear: vpxor ymm0,ymm0,ymm0 (c5fdefc0) in fbgemm::Min of lib.so"
    )
    assert f"{text}, from t.py:3 f" in issue.problem
    assert "USE_FBGEMM=0" in issue.fix


def test_an_exception_of_a_function_covers_its_fault_too() -> None:
    assert judged(verdict=verdict(FAULTY), exceptions=(exception(),)).standing is Standing.EXCEPTED
    silent = exception(kinds=["silent"])
    assert judged(verdict=verdict(FAULTY), exceptions=(silent,)).standing is Standing.REFUSED
    found_so = found("fbgemm::Min", Kind.SILENT)
    assert judged(found_so, verdict=verdict(FAULTY), exceptions=(silent,)).standing is Standing.EXCEPTED


def test_a_failure_without_a_function_is_excepted_with_everything_only(tmp_path: Path) -> None:
    wrong = ProbeResult("matmul", "differs", "0.1 in place of 0.2")
    one = judged(verdict=verdict(wrong), exceptions=(exception(),))
    [issue] = refused(one, tmp_path)
    assert "matmul: differs: 0.1 in place of 0.2" in issue.problem
    assert 'functions = ["*"]' in issue.fix
    assert judged(verdict=verdict(wrong), exceptions=(exception(functions=["*"]),)).standing is Standing.EXCEPTED


def test_a_verdict_that_the_stack_wants_and_has_not_refuses_with_the_command(tmp_path: Path) -> None:
    one = judged(required=True)
    assert one.standing is Standing.REFUSED
    [issue] = refused(one, tmp_path)
    assert issue.fix == f"debtool --config {tmp_path}/stack.toml audit run --lock --target here --cpu westmere"
    passed = judged(required=True, verdict=verdict(ProbeResult("import torch", "same")))
    assert passed.standing is Standing.FREE
    assert passed.field == "westmere free emulated"


def test_what_is_kept_comes_back_the_same_and_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    kept = SuspectCache.below(tmp_path, find_baseline("westmere"), load_rules())
    suspects = Suspects.of(audit(found("a", path=("b", "a")), found("", Kind.SILENT), found("safe", Kind.DISPATCHED)))
    assert [one.finding.name for one in suspects.findings] == ["a", ""]
    assert kept.read("a" * 64) is None
    kept.keep("a" * 64, suspects)
    assert kept.read("a" * 64) == suspects
    [file] = kept.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert kept.read("a" * 64) is None


def test_an_unknown_baseline_is_told_with_its_line(tmp_path: Path) -> None:
    wrong = project(tmp_path, head='baseline = "westmeer"\n')
    with pytest.raises(InputError) as caught:
        stack_baseline(wrong)
    [issue] = caught.value.issues
    assert isinstance(issue, Issue)
    assert issue.line is not None
    assert wrong.file.read_text().splitlines()[issue.line - 1] == 'baseline = "westmeer"'
    assert "westmere" in issue.fix


@pytest.mark.parametrize(
    ("more", "head", "problem"),
    [
        (exception_table(expires='"2026-12-01"'), None, r"exception\[1\]\.expires: Input should be a valid date"),
        (exception_table(expires="2026-12-01T00:00:00"), None, r"exception\[1\]\.expires"),
        (exception_table(functions="[]"), None, r"exception\[1\]\.functions"),
        (exception_table(kinds='["data"]'), None, r"exception\[1\]\.kinds\[1\]"),
        (exception_table(targets='["there"]'), None, "exception of 'torch' is for 'there'"),
        (exception_table(function='["x"]'), None, r"exception\[1\]\.function: unknown key .*did you mean 'functions'"),
        (exception_table(), "", "without a baseline nothing is audited"),
        ("", 'emulate = "required"\n', "without a baseline nothing is audited"),
        (
            f'{TORCH}[[rebuild]]\nwheel = "torch"\ncpu = "westmere"\nreason = "r"\n',
            None,
            "'torch' is an artefact or rebuilt",
        ),
    ],
)
def test_a_wrong_table_is_told(more: str, head: str | None, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        project(tmp_path, more, 'baseline = "westmere"\n' if head is None else head)


def test_ways_out_are_whole() -> None:
    names = [way.id for way in ways_out()]
    assert len(set(names)) == len(names)
    known = {"wheel", "version", "target", "baseline", "stack", "debtool"}
    for way in ways_out():
        assert {field for _, field, _, _ in string.Formatter().parse(way.text) if field} <= known
        assert way.source
