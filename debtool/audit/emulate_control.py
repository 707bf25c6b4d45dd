"""The controls of the gate: an instruction that must fault and one that must not, before anything is judged.

Both are a few bytes of machine code that the guest's Python puts into memory and calls, with the same emulator, the
same model and the same reporter as everything after them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.audit.emulate import clean_environment
from debtool.audit.emulate_fault import read_fault
from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from debtool.audit.baselines import Baseline

_PROGRAM = """
import ctypes, mmap, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex(sys.argv[1]))
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
print(address, flush=True)
ctypes.CFUNCTYPE(None)(address)()
print("passed", flush=True)
"""
_RETURN = "c3"
_TIMEOUT = 120


@dataclass(frozen=True, slots=True)
class _Instruction:
    feature: str
    code: str
    text: str


_MUST_FAIL = (
    _Instruction("AVX", "c5f857c0", "vxorps xmm0,xmm0,xmm0"),
    _Instruction("AVX2", "c5fdefc0", "vpxor ymm0,ymm0,ymm0"),
    _Instruction("AVX512F", "62f17c4857c0", "vxorps zmm0,zmm0,zmm0"),
)
"""Executed by no CPU without the feature (Intel SDM vol. 2); the first that a baseline lacks is taken."""
_MUST_PASS = (
    _Instruction("AES", "660f38dcc0", "aesenc xmm0,xmm0"),
    _Instruction("SSE4_2", "660f3837c0", "pcmpgtq xmm0,xmm0"),
    _Instruction("SSE2", "660fefc0", "pxor xmm0,xmm0"),
)


def run_controls(command: Sequence[str], baseline: Baseline, folder: Path) -> str:
    """Run both controls with ``command`` and return what failed on purpose, in words.

    Args:
        command: The emulator with its options and the guest's Python.
        baseline: What the emulated CPU is to have and to lack.
        folder: Where what they leave can be put.

    Raises:
        OutsideError: The one that must fail does not, or not as expected, or the other one does: nothing that this
            emulator says would be worth anything.
    """
    bad = next(one for one in _MUST_FAIL if one.feature not in baseline.features)
    good = next(one for one in _MUST_PASS if one.feature in baseline.features)
    faults, home = folder / "faults", folder / "home"
    faults.mkdir(parents=True)
    home.mkdir()
    passed = _run(command, good, home, faults)
    if passed.status != 0:
        raise _refusal(f"{good.text} ({good.feature}), which the CPU has, ended with {passed.status}")
    failed = _run(command, bad, home, faults)
    if failed.status != -signal.SIGILL:
        raise _refusal(f"{bad.text} ({bad.feature}), which the CPU lacks, ended with {failed.status}, not by SIGILL")
    fault = read_fault(faults, failed.pid, folder)
    if fault is None or (fault.address, fault.text) != (failed.address, bad.text) or not fault.python:
        raise _refusal(f"{bad.text} at {failed.address:#x} was reported as {fault}")
    return f"{bad.text} ({bad.feature}): SIGILL where it was put; {good.text} ({good.feature}): passed"


@dataclass(frozen=True, slots=True)
class _Ended:
    pid: int
    status: int
    address: int


def _run(command: Sequence[str], instruction: _Instruction, home: Path, faults: Path) -> _Ended:
    stack = faults / "stack"
    with stack.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-I", "-X", "faulthandler", "-c", _PROGRAM, instruction.code + _RETURN],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env=clean_environment(home, faults),
            start_new_session=True,
        )
        try:
            told, _ = process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            told = b""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    stack.rename(faults / f"{process.pid}.python")
    first = told.split(b"\n")[0]
    return _Ended(process.pid, process.returncode, int(first) if first.isdigit() else 0)


def _refusal(problem: str) -> OutsideError:
    return OutsideError(
        Issue(
            f"the emulator does not do what the CPU would: {problem}",
            fix="install qemu-user 7.2 or later; nothing was judged",
            rule="the gate judges nothing before a control has failed that must fail",
        )
    )
