"""What the gate stands on: the emulator and its controls, the reporter, what can be imported, what is compared."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from debtool.audit import emulate
from debtool.audit.baselines import find_baseline
from debtool.audit.emulate import Reply, build_reporter, clean_environment, find_emulator
from debtool.audit.emulate_control import run_controls
from debtool.audit.emulate_environment import find_contents, workshop
from debtool.audit.gate import ProbeResult, kept_verdict
from debtool.audit.gate_run import run_wheels
from debtool.audit.probe_results import difference, judge
from debtool.audit.probe_sets import FOLDER, find_probes, read_probes
from debtool.model.errors import OutsideError
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.audit.gate import Fault

pytestmark = pytest.mark.slow


WESTMERE = find_baseline("westmere")


@pytest.mark.parametrize("name", ["westmere", "nehalem", "x86-64-v2", "sandybridge"])
def test_every_model_fails_and_passes_where_it_must(name: str, tmp_path: Path) -> None:
    baseline = find_baseline(name)
    prefix = find_emulator(baseline).command(build_reporter(tmp_path))
    told = run_controls([*prefix, sys.executable], baseline, tmp_path / "control")
    lacks = "vpxor ymm0,ymm0,ymm0 (AVX2)" if name == "sandybridge" else "vxorps xmm0,xmm0,xmm0 (AVX)"
    assert told.startswith(f"{lacks}: SIGILL where it was put; ")


def test_a_control_that_does_not_fail_ends_everything_before_a_verdict(tmp_path: Path) -> None:
    wheel = TinyWheels(tmp_path).wheel("tiny", "1.0")
    with pytest.raises(OutsideError, match="the CPU lacks, ended with 0, not by SIGILL"):
        run_wheels([wheel], replace(WESTMERE, qemu="max"), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("gate/verdicts/*/*"))
    assert kept_verdict(tmp_path / "cache", "", WESTMERE) is None


def test_a_model_that_lacks_what_the_cpu_has_ends_everything_too(tmp_path: Path) -> None:
    wheel = TinyWheels(tmp_path).wheel("tiny", "1.0")
    with pytest.raises(OutsideError, match=r"aesenc xmm0,xmm0 \(AES\), which the CPU has, ended with -4"):
        run_wheels([wheel], replace(WESTMERE, qemu="Conroe"), cache=tmp_path / "cache")


def test_a_reporter_that_reports_nothing_is_noticed(tmp_path: Path) -> None:
    emulator = find_emulator(WESTMERE)
    command = [str(emulator.program), "-cpu", emulator.cpu, sys.executable]
    with pytest.raises(OutsideError, match="was reported as None"):
        run_controls(command, WESTMERE, tmp_path / "control")


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(OutsideError, match="apt install qemu-user"):
        find_emulator(WESTMERE)
    with pytest.raises(OutsideError, match="apt install gcc"):
        build_reporter(tmp_path)


def test_a_model_that_the_emulator_does_not_know_is_refused() -> None:
    with pytest.raises(OutsideError, match="has no CPU model Pentium9"):
        find_emulator(replace(WESTMERE, qemu="Pentium9"))


def test_the_reporter_is_compiled_once_and_a_compilers_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = build_reporter(tmp_path)
    before = library.stat().st_mtime_ns
    assert build_reporter(tmp_path).stat().st_mtime_ns == before
    broken = tmp_path / "broken.c"
    broken.write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(emulate, "REPORTER", broken)
    with pytest.raises(OutsideError, match=r"nothing.*undeclared"):
        build_reporter(tmp_path)


def test_a_program_with_a_handler_of_its_own_keeps_it(tmp_path: Path) -> None:
    """Some programs try an instruction and go on if it faults: they must still be able to."""
    source = r"""
    #include <setjmp.h>
    #include <signal.h>
    #include <stdio.h>
    static sigjmp_buf back;
    static void on_sigill(int number) { siglongjmp(back, number); }
    int main(void)
    {
        if (signal(SIGILL, on_sigill) != SIG_DFL) return 2;
        if (sigsetjmp(back, 1) == SIGILL) { puts("no AVX"); return signal(SIGILL, SIG_DFL) != on_sigill; }
        __asm__ volatile("vzeroupper");
        return 3;
    }
    """
    program, faults = tmp_path / "program", tmp_path / "faults"
    faults.mkdir()
    subprocess.run(["cc", "-xc", "-", "-o", program], input=source.encode(), check=True)
    command = [*find_emulator(WESTMERE).command(build_reporter(tmp_path)), str(program)]
    environment = clean_environment(tmp_path, faults)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "no AVX\n")
    assert len(list(faults.iterdir())) == 1


def test_modules_and_libraries_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "plain.so").write_bytes(b"\x7fELF" + b"x" * (1 << 20) + b"\0PyInit_plain\0")
    (tmp_path / "p" / "libx.so").write_bytes(b"\x7fELF\0PyInit_other\0")
    files = ["p/__init__.py", "p/__main__.py", "p/a.py", "p/b-c.py", "p/d.cpython-311-x86_64-linux-gnu.so"]
    files += ["p/e.abi3.so", "p/f.cpython-39-x86_64-linux-gnu.so", "p/plain.so", "p/libx.so", "p.libs/liby-1.so.3"]
    files += ["top.py", "p/data.txt", "../bin/x.py", "p/q/deep.py", "p/1st.py"]
    found = find_contents(tmp_path, files, (".cpython-311-x86_64-linux-gnu.so", ".abi3.so", ".so"))
    assert found.modules == ("p", "p.a", "p.d", "p.e", "p.plain", "p.q.deep", "top")
    assert found.compiled == ("p/d.cpython-311-x86_64-linux-gnu.so", "p/e.abi3.so", "p/plain.so")
    assert found.libraries == ("p.libs/liby-1.so.3", "p/f.cpython-39-x86_64-linux-gnu.so", "p/libx.so")
    assert found.top_level == ("p", "top")


def test_a_workshop_is_gone_afterwards_and_sweeps_what_killed_ones_left(tmp_path: Path) -> None:
    left = tmp_path / "gate" / "work" / "run-999999999-x"
    (left / "deep").mkdir(parents=True)
    with workshop(tmp_path) as first, workshop(tmp_path) as second:
        assert first.folder.is_dir()
        assert second.folder.is_dir()
        assert not left.exists()
    assert list((tmp_path / "gate" / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("native", "emulated", "told"),
    [
        (1.0, 1.0 + 1e-7, ""),
        (1.0, 1.01, "value: natively 1.0, here 1.01"),
        (1e300, 1.0000001e300, ""),
        (0.0, 1e-7, ""),
        (math.nan, math.nan, ""),
        (math.nan, 1.0, "value: natively nan, here 1.0"),
        (math.inf, math.inf, ""),
        (3, 3, ""),
        (3, 4, "value: natively 3, here 4"),
        (1_000_000_007, 1_000_000_008, "value: natively 1000000007, here 1000000008"),
        (3, 3.0, ""),
        (True, 1, "value: natively True, here 1"),
        ("a", "b", "value: natively 'a', here 'b'"),
        (None, None, ""),
        ([1, [2.0, 3]], [1, [2.5, 3]], "[1][0]: natively 2.0, here 2.5"),
        ([1, 2], [1], "value: natively [1, 2], here [1]"),
        ({"a": [1]}, {"a": [2]}, ".a[0]: natively 1, here 2"),
        ({"a": 1}, {"b": 1}, "value: natively {'a': 1}, here {'b': 1}"),
    ],
)
def test_values_are_compared_number_by_number(native: Any, emulated: Any, told: str) -> None:
    assert difference(native, emulated, 1e-6) == told


@pytest.mark.parametrize(
    ("native", "emulated", "expected"),
    [
        ({}, {}, "same"),
        ({"error": "KeyError"}, {"error": "KeyError"}, "natively: KeyError"),
        ({"error": "ValueError", "text": "no"}, {}, "natively: ValueError: no"),
        ({"timeout": True}, {"timeout": True}, "natively: took too long"),
        ({"status": -11}, {"status": -11}, "natively: ended by SIGSEGV"),
        ({"status": 3}, {"status": 3}, "natively: ended with exit code 3"),
        ({}, {"error": "KeyError"}, "error"),
        ({}, {"error": "Refused"}, "refused"),
        ({}, {"status": -11}, "error"),
        ({}, {"timeout": True}, "timeout"),
        ({}, {"status": -4}, "sigill"),
        ({"status": -4}, {"status": -4}, "natively: ended by SIGILL"),
        (None, {}, "not tried"),
        ({}, None, "not reached in emulation: what it needs had failed before"),
    ],
)
def test_two_replies_make_a_result(
    native: dict[str, Any] | None, emulated: dict[str, Any] | None, expected: str
) -> None:
    def nothing(_: int) -> Fault | None:
        return None

    replies = [None if one is None else Reply("probe p", 1, **one) for one in (native, emulated)]
    found = judge("probe p", *replies, tolerance=1e-6, refusal="Refused", fault_of=nothing)
    assert (found.outcome if isinstance(found, ProbeResult) else found) == expected


def test_every_probe_set_is_read_and_has_probes() -> None:
    for file in FOLDER.glob("*.py"):
        probes = read_probes(file)
        assert probes.names, file
        assert 0 < probes.tolerance < 0.1, file
    assert "quantised_dynamic_onednn" in find_probes("Torch").names
    assert find_probes("opencv-python").tolerance_of("colours") == 1e-4
    assert find_probes("of-nothing").names == ()


def test_a_probe_set_that_speaks_of_a_probe_it_lacks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_text('TOLERANCES = {"gone": 1.0}\n\ndef here(): return 1\n')
    with pytest.raises(ValueError, match="has no probe called gone"):
        read_probes(file)
