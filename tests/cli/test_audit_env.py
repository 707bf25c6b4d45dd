from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from debtool.audit import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Program


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session in which nothing is set, on a machine without files."""
    for name in [name for variable in environment.variables() for name in variable.names]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "machine_settings", lambda: iter(()))


@pytest.fixture
def haswell() -> Iterator[int]:
    """A running process that was started with a variable that forces."""
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, env={"OPENBLAS_CORETYPE": "Haswell"}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_a_session_without_such_variables(program: Program) -> None:
    done = program("audit", "env")
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == f"Intel Westmere (2010), the CPU of the Mac Pro 5,1: no setting does harm ({len(os.environ)} looked at)\n"
    )


def test_what_forces_is_told_with_its_reason_and_source(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("CFLAGS", "-march=native")
    done = program("audit", "env")
    assert done.code == 1
    assert "this session: OPENBLAS_CORETYPE=Haswell forces code for AVX2\n" in done.out
    assert "this session: CFLAGS=-march=native compiles code for the CPU that compiles\n" in done.out
    assert "OpenBLAS takes the kernels of the core that is named" in done.out
    assert "(OpenBLAS, driver/others/dynamic.c" in done.out
    assert "2 settings do harm" in done.out
    assert program("audit", "env", "--cpu", "x86-64-v3").out.count("forces") == 0


def test_what_is_believed_to_force_and_does_not_is_a_note(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_ENABLE_INSTRUCTIONS", "AVX2")
    done = program("audit", "env", "--json")
    report = json.loads(done.out)
    assert (done.code, report["kind"], report["findings"]) == (0, "audit-env", [])
    assert report["notes"][0]["setting"] == {
        "name": "MKL_ENABLE_INSTRUCTIONS",
        "value": "AVX2",
        "where": "this session",
    }
    assert "changes nothing" in program("audit", "env").out


def test_another_process(program: Program, haswell: int) -> None:
    done = program("audit", "env", "--pid", str(haswell), "--json")
    report = json.loads(done.out)
    assert done.code == 1
    assert [(one["setting"]["where"], one["effect"], one["needs"]) for one in report["findings"]] == [
        (f"process {haswell}", "forces", ["AVX2"])
    ]
    assert program("audit", "env").code == 0


def test_a_process_or_a_baseline_that_is_not_there(program: Program) -> None:
    done = program("audit", "env", "--pid", "4194305")
    assert (done.code, done.err) == (2, "debtool: --pid: there is no process 4194305; fix: look it up again: ps -e\n")
    assert program("audit", "env", "--cpu", "pentium").code == 2


def test_a_value_is_no_command_to_the_terminal(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native \x1b[2J [bold]")
    assert "-march=native \\x1b[2J [bold] compiles" in program("audit", "env").out


def test_the_machine_s_files_are_looked_at(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = environment.Setting("ATEN_CPU_CAPABILITY", "avx2", "/etc/environment")
    monkeypatch.setattr(environment, "machine_settings", lambda: iter([setting]))
    done = program("audit", "env")
    assert done.code == 1
    assert "/etc/environment: ATEN_CPU_CAPABILITY=avx2 forces code for AVX2" in done.out
