"""Audits made by hand: one finding of every class, and names that would break a careless report."""

from __future__ import annotations

from dataclasses import replace

from debtool.audit.findings import Feature, FileAudit, Finding, Kind, PackageAudit
from debtool.audit.rules import Rule, Rules

HOSTILE = "f<script>alert(1)</script>\"'&\u202e\x1b[31m\n"
"""A symbol that is HTML, a terminal's escape sequence and a line break."""

RULES = Rules(
    rule=(
        Rule(id="units", unit=("*.AVX2.cpp",), reason="a dispatcher chooses by cpuinfo", source="DispatchStub.cpp"),
        Rule(id="names", symbol=("*_avx",), reason="called through a table that CPUID fills", source="table.c"),
    )
)

AVX = Feature("AVX", 3, 0x1010, "c5fa1007", "vmovss xmm0,[rdi]")
LZCNT = Feature("LZCNT", 1, 0x2004, "f30fbdc7", "lzcnt eax,edi")

FOUND = Finding(
    symbol="_ZN1a1fEv",
    name="a::f()",
    unit="f.cpp",
    section=".text",
    binding="global",
    exported=True,
    address=0x1000,
    features=(AVX,),
    kind=Kind.UNGUARDED,
    rule="builtin.reached",
    path=("a::entry()", "a::f()"),
)


def finding(kind: Kind, rule: str, number: int = 0, **changes: object) -> Finding:
    """Return one finding; ``number`` tells its address and name."""
    values: dict[str, object] = {
        "symbol": f"f{number}",
        "name": f"f{number}()",
        "address": 0x1000 + 0x100 * number,
        "kind": kind,
        "rule": rule,
        "path": (),
        **changes,
    }
    return replace(FOUND, **values)  # type: ignore[arg-type]


def every_kind() -> tuple[Finding, ...]:
    """Return findings of every class, eight of them dispatched by one rule, one by another."""
    return (
        *(finding(Kind.DISPATCHED, "units", number, unit="f.AVX2.cpp") for number in range(8)),
        finding(Kind.DISPATCHED, "names", 8, symbol="g_avx", name="g_avx"),
        FOUND,
        finding(Kind.SILENT, "builtin.silent", 10, features=(LZCNT,)),
        finding(Kind.IMPORT_TIME, "builtin.import-time", 11, path=(".init_array", "f11()")),
        finding(Kind.SHARED_WEAK, "builtin.weak", 12, symbol=HOSTILE, name=HOSTILE, binding="weak"),
        finding(Kind.DATA, "builtin.data", 13, symbol="", name="", unit=""),
    )


def file_audit(path: str = "x/libx.so", findings: tuple[Finding, ...] = (), **changes: object) -> FileAudit:
    """Return the audit of one file."""
    audit = FileAudit(path, "ab" * 32, 20_000, 10_000, 2_500, 40, "symtab", 0, findings)
    return replace(audit, **changes)  # type: ignore[arg-type]


def package_audit(*files: FileAudit, subject: str = "x-1.0-py3-none-any.whl") -> PackageAudit:
    """Return the audit of a wheel, by default with a file of each level and one that was not audited."""
    safe = tuple(one for one in every_kind() if one.kind in {Kind.DISPATCHED, Kind.DATA})
    return PackageAudit(
        subject,
        "cd" * 32,
        "westmere",
        RULES.digest,
        files
        or (
            file_audit("x/free.so"),
            file_audit("x/safe.so", safe),
            file_audit("x/unproven.so", every_kind()),
            file_audit("x/arm.so", note="for AArch64"),
        ),
    )
