"""``debtool audit run``: what is told of wheels that run, that fault, and that cannot be tried."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

pytestmark = pytest.mark.slow


TAG = f"cp3{sys.version_info[1]}-cp3{sys.version_info[1]}-linux_x86_64"

SOURCE = r"""
#include <Python.h>
__attribute__((noinline)) void needs_avx(void) { __asm__ volatile("vzeroupper"); }
static PyObject *use(PyObject *self, PyObject *none) { needs_avx(); Py_RETURN_NONE; }
static PyMethodDef methods[] = {{"use", use, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", 0, -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    library = tmp_path_factory.mktemp("native") / "native.so"
    command = ["cc", "-O1", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", "-xc", "-", "-o", str(library)]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    return library.read_bytes()


@pytest.fixture
def wheels(native: bytes, tmp_path: Path) -> list[Path]:
    make = TinyWheels(tmp_path)
    good = {"good/__init__.py": b"from . import native\n", "good/native.so": native}
    bad = {"bad/__init__.py": b"", "bad/native.so": native, "bad/use.py": b"from .native import use\nuse()\n"}
    odd = {"odd/__init__.py": b"", "odd/native.so": native.replace(b"PyModule_Create2", b"PyModule_Nothin2")}
    return [
        make.wheel(name, "1.0", tag=TAG, body=None, files=files)
        for name, files in (("good", good), ("bad", bad), ("odd", odd))
    ]


def test_people_are_told_the_instruction_the_place_and_the_python_line(program: Program, wheels: list[Path]) -> None:
    done = program("audit", "run", *wheels)
    assert done.code == 1
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert f"runs good-1.0-{TAG}.whl 2 1 of 1 none: imports only" in lines[1]
    assert f"FAILS bad-1.0-{TAG}.whl 2 1 of 1 1 sigill" in lines[2]
    assert f"not tried odd-1.0-{TAG}.whl 1 0 of 1 1 none: imports only" in lines[3]
    assert any(line.startswith(f"odd-1.0-{TAG}.whl: not tried: 1 compiled file, such as") for line in lines)
    assert f"bad-1.0-{TAG}.whl: import bad.use: sigill: vzeroupper in needs_avx+0x0" in lines
    assert "executed c5 f8 77 vzeroupper" in lines
    assert "from bad/use.py:2 <module>" in lines
    assert "static needs_avx+0x0: confirms the static audit's finding" in done.out.replace("     ", " ")
    assert lines[-2:] == [
        "fails on Intel Westmere (2010), the CPU of the Mac Pro 5,1: 1 of 2 packages",
        "nothing is known of 1 package whose compiled files need what is not here",
    ]


def test_json_has_the_fault_and_what_the_static_audit_says(program: Program, wheels: list[Path]) -> None:
    done = program("audit", "run", wheels[1], "--json")
    told = json.loads(done.out)
    assert (done.code, told["kind"], told["failed"], told["baseline"]) == (1, "audit-run", True, "westmere")
    [package] = told["packages"]
    [result] = package["results"]
    assert (result["outcome"], result["fault"]["library"]) == ("sigill", "bad/native.so")
    [static] = package["static"]
    assert (static["result"], static["blame"]) == ("import bad.use", "confirmed")


def test_what_runs_exits_with_0(program: Program, wheels: list[Path]) -> None:
    done = program("audit", "run", wheels[0])
    assert done.code == 0
    assert "nothing differs: 1 package" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "nothing to try"),
        (("absent.whl",), 2, "there is no such file"),
        (("--python", sys.executable), 2, "belong together"),
        (("--installed", "x"), 2, "belong together"),
        (("--python", sys.executable, "--installed", "x", "--lock"), 2, "and no wheels"),
        (("--python", sys.executable, "--installed", "x-y-z"), 2, "x-y-z is not installed there"),
    ],
)
def test_mistakes_are_told(program: Program, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = program("audit", "run", *arguments)
    assert (done.code, told in done.err) == (code, True)


def test_without_the_emulator_its_package_is_named(
    program: Program, wheels: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = program("audit", "run", wheels[0])
    assert done.code == 3
    assert "apt install qemu-user" in done.err
