"""What was executed, held against what the static audit had said of the place."""

from __future__ import annotations

import pytest

from debtool.audit.findings import Feature, FileAudit, Finding, Kind, PackageAudit
from debtool.audit.gate import Fault, ProbeResult, Verdict
from debtool.audit.join import Blame, join

LIBRARY = "p/libp.so"


def finding(kind: Kind, address: int = 0x1000, symbol: str = "f") -> Finding:
    features = (Feature("AVX", 2, address + 8, "c5f877", "vzeroupper"),)
    return Finding(symbol, symbol, "", ".text", "global", True, address, features, kind, "a-rule")


def executed(address: int = 0x1008, symbol: str = "f+0x8", library: str = LIBRARY) -> Verdict:
    fault = Fault(address, "c5 f8 77", "vzeroupper", symbol, symbol, library)
    results = (ProbeResult("fine", "same"), ProbeResult("used", "sigill", "", fault))
    return Verdict("p.whl", "00", "Westmere", "qemu", "", "", 1, results)


def package(*findings: Finding, path: str = LIBRARY) -> PackageAudit:
    return PackageAudit("p.whl", "00", "westmere", "", (FileAudit(path, "", 1, findings=findings),))


@pytest.mark.parametrize(
    ("kind", "blame", "told"),
    [
        (Kind.UNGUARDED, Blame.CONFIRMED, "f+0x8: confirms the static audit's finding (unguarded, by a-rule)"),
        (Kind.IMPORT_TIME, Blame.CONFIRMED, "f+0x8: confirms the static audit's finding (import-time, by a-rule)"),
        (Kind.DISPATCHED, Blame.RULE, "f+0x8: the rule a-rule says that it is dispatched, and it was executed"),
        (Kind.DATA, Blame.RULE, "f+0x8: the rule a-rule says"),
    ],
)
def test_a_finding_is_confirmed_and_an_excuse_is_refuted(kind: Kind, blame: Blame, told: str) -> None:
    [one] = join(package(finding(kind)), executed())
    assert (one.result.name, one.blame) == ("used", blame)
    assert one.finding is not None
    assert str(one).startswith(told)


def test_a_place_without_a_finding_was_missed() -> None:
    [one] = join(package(finding(Kind.UNGUARDED, 0x900, "other")), executed())
    assert (one.blame, one.finding) == (Blame.MISSED, None)
    assert [one.blame for one in join(package(), executed())] == [Blame.MISSED]


def test_a_place_in_another_file_is_not_the_packages() -> None:
    [one] = join(package(finding(Kind.UNGUARDED)), executed(library="/usr/lib/libc.so.6"))
    assert one.blame is Blame.ELSEWHERE
    [one] = join(package(finding(Kind.UNGUARDED)), executed(library=""))
    assert str(one) == "f+0x8: in generated code, which is no file of this package"


def test_files_in_the_wheels_data_folder_are_found() -> None:
    [one] = join(package(finding(Kind.UNGUARDED), path=f"p-1.data/platlib/{LIBRARY}"), executed())
    assert one.blame is Blame.CONFIRMED


def test_without_symbols_the_address_decides() -> None:
    audited = package(finding(Kind.UNGUARDED, symbol=""))
    assert [one.blame for one in join(audited, executed(0x1008, ""))] == [Blame.CONFIRMED]
    assert [one.blame for one in join(audited, executed(0x100C, ""))] == [Blame.MISSED]


def test_what_did_not_fault_is_not_joined() -> None:
    verdict = Verdict("p.whl", "00", "Westmere", "qemu", "", "", 1, (ProbeResult("used", "differs"),))
    assert join(package(finding(Kind.UNGUARDED)), verdict) == ()
