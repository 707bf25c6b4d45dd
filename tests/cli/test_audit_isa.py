from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Log

from debtool.audit import static
from debtool.audit.findings import Kind
from tests.support.audits import HOSTILE, file_audit, finding, package_audit

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.audit.findings import PackageAudit
    from tests.cli.conftest import Program

PLAIN = "int plain(int a) { return a + 1; }\n"
WIDE = '__attribute__((target("avx2"))) void wide(float *a) { for (int i = 0; i < 8; i++) a[i] *= 3; }\n'
RULES = """
[[rule]]
id = "wide"
symbol = ["wide"]
reason = "the program asks the CPU before it calls wide"
source = "this test"
"""


def library(folder: Path, name: str, code: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", file, "-x", "c", "-"], input=code, text=True, check=True)
    return file


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return library(tmp_path / "libs", "plain.so", PLAIN)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    return library(tmp_path / "libs", "wide.so", PLAIN + WIDE)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return file


def given(monkeypatch: pytest.MonkeyPatch, *audits: PackageAudit) -> None:
    """Make these the result of the audit; their rules are those that debtool brings."""
    monkeypatch.setattr(static, "audit_paths", lambda *_, **__: list(audits))


def test_a_file_without_is_free(program: Program, plain: Path) -> None:
    done = program("audit", "isa", plain)
    assert done.code == 0
    assert done.out.startswith(f"{plain}: free for westmere\n  1 ELF file, ")
    assert "1 file is free\n" in done.out
    assert "free: contains no instruction that the CPU lacks\n" in done.out
    assert program("audit", "isa", plain, "--require", "free").code == 0


def test_what_may_be_executed_is_told_with_its_place_and_its_rule(program: Program, wide: Path) -> None:
    done = program("audit", "isa", wide)
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0] == f"{wide}: unproven for westmere"
    assert any(line.split()[:2] == ["unproven", "wide.so"] and "1 unguarded" in line for line in lines)
    start = lines.index("wide.so: unguarded by builtin.reached: 1 function")
    assert lines[start + 1].startswith("  nothing on this chain of calls is known to ask the CPU")
    assert lines[start + 2] == "  wide"
    assert lines[start + 3].startswith("      .text, global exported, AVX ")
    assert "  v" in lines[start + 4]  # its address, its bytes, and a mnemonic of AVX
    assert lines[start + 5] == "      entered from other files: it is exported"
    assert program("audit", "isa", wide, "--cpu", "x86-64-v3").code == 0


def test_a_rule_makes_it_dispatch_safe_and_never_free(program: Program, wide: Path, rules: Path) -> None:
    done = program("audit", "isa", wide, "--rules", rules)
    assert done.code == 0
    assert done.out.startswith(f"{wide}: dispatch-safe for westmere\n")
    assert "1 dispatched" in done.out
    why = "dispatched by wide: 1 function\n  the program asks the CPU before it calls wide (this test)\n"
    assert why in done.out
    assert "  wide\n" not in done.out
    assert f"wide.so: {why}  wide\n" in program("audit", "isa", wide, "--rules", rules, "--all").out
    assert program("audit", "isa", wide, "--rules", rules, "--require", "free").code == 1


def test_folders_show_what_is_not_free(program: Program, plain: Path, wide: Path) -> None:
    done = program("audit", "isa", plain.parent, plain)
    assert done.code == 1
    assert "1 more file is free (--all names them)" in done.out
    assert "  plain.so" not in done.out
    assert "all 2: unproven for westmere\n" in done.out
    rows = [line.split()[:3] for line in done.out.splitlines()]
    assert ["unproven", str(plain.parent), "2"] in rows
    assert ["free", str(plain), "1"] in rows
    assert f"{plain}: free" not in done.out
    assert "plain.so  " in program("audit", "isa", wide.parent, "--all").out


def test_where_there_is_nothing_to_audit_it_says_so(program: Program, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = program("audit", "isa", tmp_path / "empty")
    assert done.code == 0
    assert "no ELF file: there is nothing to audit" in done.out


def test_a_damaged_file_is_a_finding(program: Program, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "libs/half.so").write_bytes(plain.read_bytes()[:40])
    done = program("audit", "isa", plain.parent)
    assert done.code == 1
    assert done.out.startswith(f"{plain.parent}: unproven for westmere\n")
    assert any(line.split()[:2] == ["unproven", "half.so"] and "damaged" in line for line in done.out.splitlines())


def test_json_tells_the_level_of_the_whole_and_of_each_file(program: Program, plain: Path, wide: Path) -> None:
    done = program("audit", "isa", wide, plain, "--json")
    report = json.loads(done.out)
    assert done.code == 1
    assert (report["kind"], report["baseline"], report["level"]) == ("audit-isa", "westmere", "unproven")
    assert (report["required"], report["reached"]) == ("dispatch-safe", False)
    assert [(one["subject"], one["level"]) for one in report["packages"]] == [
        (str(wide), "unproven"),
        (str(plain), "free"),
    ]
    (group,) = report["packages"][0]["files"][0]["groups"]
    assert (group["class"], group["rule"], group["findings"][0]["symbol"]) == ("unguarded", "builtin.reached", "wide")


def test_sarif_and_page_are_written(program: Program, wide: Path, tmp_path: Path) -> None:
    done = program("audit", "isa", wide, "--sarif", tmp_path / "x.sarif", "--html", tmp_path / "x.html")
    assert done.code == 1
    log = Log.model_validate_json((tmp_path / "x.sarif").read_text())
    assert [one.ruleId for one in log.runs[0].results or []] == ["unguarded/builtin.reached"]
    assert "<b>wide</b>" in (tmp_path / "x.html").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cache", "libs", "x.html", "x.sarif"]


def test_a_report_that_cannot_be_written_is_an_error(program: Program, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = program("audit", "isa", plain, "--html", tmp_path / "file" / "x.html")
    assert done.code == 3
    assert "debtool: writing the report failed" in done.err


def test_bad_input(program: Program, plain: Path, tmp_path: Path) -> None:
    absent = program("audit", "isa", tmp_path / "x.so", tmp_path / "y.whl", plain)
    assert (absent.code, absent.err.count("there is no such file")) == (2, 2)
    text = tmp_path / "x.txt"
    text.write_text("no program")
    assert program("audit", "isa", text).code == 2
    unknown = program("audit", "isa", plain, "--cpu", "pentium")
    assert unknown.code == 2
    assert "one of nehalem, sandybridge, westmere" in unknown.err
    text.write_text("[[rule]]\nid = 1\n")
    assert program("audit", "isa", plain, "--rules", text).code == 2


def test_of_many_findings_the_first_are_told(program: Program, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(
        finding(Kind.UNGUARDED, "builtin.reached", number, unit=f"u{number % 7}.cpp", exported=False, path=path)
        for number, path in enumerate([()] * 8 + [("main", f"f{8}()")])
    )
    given(monkeypatch, package_audit(file_audit(findings=many), file_audit("y.so", note="for AArch64")))
    done = program("audit", "isa", plain)
    lines = [line.strip() for line in done.out.splitlines()]
    assert "most of them in: u0.cpp 2, u1.cpp 2, u2.cpp 1, u3.cpp 1, u4.cpp 1, 2 more" in lines
    # One whose way in is known is told before the others.
    assert [line for line in lines if line.startswith("f") and line.endswith("()")] == [
        *("f8()", "f0()", "f1()", "f2()", "f3()")
    ]
    assert lines[lines.index("reached from main") + 1] == "-> f8()"
    assert "and 4 more functions (--all tells them)" in lines
    assert any(line.startswith("-") and line.endswith("not audited: for AArch64") for line in lines)
    assert "f7()" in program("audit", "isa", plain, "--all").out


def test_names_are_no_commands_to_the_terminal(program: Program, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = finding(Kind.UNGUARDED, "builtin.reached", name=HOSTILE, unit=HOSTILE, path=(HOSTILE, "[bold]x"))
    given(monkeypatch, package_audit(file_audit(f"[red]{HOSTILE}", (hostile,)), subject=f"[b]{HOSTILE}"))
    done = program("audit", "isa", plain)
    assert done.code == 1
    assert not {"\u202e", "\x1b"} & set(done.out)
    for text in ("[b]f<script>", "[red]f<script>", "\\x1b[31m", "-> [bold]x"):
        assert text in done.out
