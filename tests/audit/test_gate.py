"""The emulated gate: what small compiled wheels do on an emulated Westmere, and what is said of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from debtool.audit import gate_run, probe_sets
from debtool.audit.baselines import find_baseline
from debtool.audit.gate import kept_verdict
from debtool.audit.gate_run import Limits, run_installed, run_wheels
from debtool.audit.join import Blame, join
from debtool.audit.rules import load_rules
from debtool.audit.static import audit_paths
from debtool.model.errors import InputError
from debtool.stack.project import open_project
from debtool.stack.wheels import read_lock
from debtool.wheel.fetch import FileCache, fetch
from tests.support.stacks import REPOSITORY
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from debtool.audit.gate import Verdict

pytestmark = pytest.mark.slow


WESTMERE = find_baseline("westmere")
TAG = f"cp3{sys.version_info[1]}-cp3{sys.version_info[1]}-linux_x86_64"
LIMITS = Limits(jobs=2, import_seconds=20, probe_seconds=6)

SOURCE = r"""
#include <Python.h>
#include <signal.h>

__attribute__((noinline)) static unsigned count(unsigned x)
{
    unsigned zeros;
    __asm__ volatile("lzcnt %1, %0" : "=r"(zeros) : "r"(x));
    return zeros;
}

__attribute__((noinline, target("avx"))) void needs_avx(float *x)
{
    __asm__ volatile("vmovss (%0), %%xmm0" : : "r"(x) : "xmm0");
}

static PyObject *avx(PyObject *self, PyObject *none)
{
    float x = 1;
    needs_avx(&x);
    return PyFloat_FromDouble(x);
}

static PyObject *zeros(PyObject *self, PyObject *none) { return PyLong_FromLong(count(1)); }
static PyObject *crash(PyObject *self, PyObject *none) { raise(SIGSEGV); Py_RETURN_NONE; }
static PyObject *plain(PyObject *self, PyObject *none) { return PyFloat_FromDouble(0.1 + 0.2); }

static PyMethodDef methods[] = {
    {"avx", avx, METH_NOARGS, 0}, {"zeros", zeros, METH_NOARGS, 0},
    {"crash", crash, METH_NOARGS, 0}, {"plain", plain, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", 0, -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""

CONSTRUCTOR = r"""
__attribute__((constructor)) static void at_load(void) { __asm__ volatile("vzeroupper"); }
"""

PROBES = """
import os, time
from tiny import native

TOLERANCE = 1e-9
REFUSALS = {"refused": "RuntimeError"}

def avx(): return native.avx()
def zeros(): return native.zeros()
def crash(): return native.crash()
def plain(): return [native.plain(), float("nan"), "text", b"bytes", {"k": 1 + 2j}]
def raises(): raise ValueError("everywhere")
def refused(): return _other(RuntimeError)
def failing(): return _other(KeyError)
def hanging():
    while _emulated(): time.sleep(1)

def _other(kind):
    if _emulated(): raise kind("this CPU cannot")
    return 1

def _emulated():
    return "LD_PRELOAD" in os.environ
"""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    folder = tmp_path_factory.mktemp("compiled")

    def compile_source(source: str) -> bytes:
        library = folder / "native.so"
        include = sysconfig.get_path("include")
        command = ["cc", "-O1", "-shared", "-fPIC", f"-I{include}", "-xc", "-", "-o", str(library)]
        subprocess.run(command, input=source.encode(), check=True)
        return library.read_bytes()

    return compile_source


@pytest.fixture(scope="session")
def native(compiled: Callable[[str], bytes]) -> bytes:
    return compiled(SOURCE)


def tiny(folder: Path, files: Mapping[str, bytes], name: str = "tiny", version: str = "1.0") -> Path:
    return TinyWheels(folder).wheel(name, version, tag=TAG, body=None, files=files)


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {result.name: result.outcome for result in verdict.results}


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="session")
def wheel(native: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "tiny/__init__.py": b"",
        "tiny/native.so": native,
        "tiny/good.py": b"from tiny import native\nassert native.plain()\n",
        "tiny/bad.py": b"from tiny import native\n\n\ndef use():\n    native.avx()\n\n\nuse()\n",
        "tiny/bad_still.py": b"",
        "tiny/absent.py": b"import not_there\n",
        "tiny/__main__.py": b"raise SystemExit(9)\n",
        "tiny/crash.py": b"from tiny import native\nnative.crash()\n",
        "tiny/after.py": b"",
        "tiny/not-a-module.py": b"raise SystemExit(9)\n",
    }
    return tiny(tmp_path_factory.mktemp("wheel"), files)


@pytest.fixture(scope="session")
def verdict(wheel: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    probes = tmp_path_factory.mktemp("probes")
    (probes / "tiny.py").write_text(PROBES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_sets.find_probes, "__defaults__", (probes,))
        patch.setenv("OPENBLAS_CORETYPE", "Haswell")
        [found] = run_wheels([wheel], WESTMERE, cache=kept, limits=LIMITS)
    return found


def test_an_instruction_that_the_cpu_lacks_is_named_with_the_python_lines(verdict: Verdict) -> None:
    [result] = [one for one in verdict.results if one.name == "import tiny.bad"]
    assert result.outcome == "sigill"
    fault = result.fault
    assert fault is not None
    assert fault.code.startswith("c5 fa 10 ")
    assert fault.text.startswith("vmovss xmm0,[r")
    assert fault.name.startswith("needs_avx+0x")
    assert fault.library == "tiny/native.so"
    assert fault.python[:2] == ("tiny/bad.py:5 use", "tiny/bad.py:8 <module>")


def test_a_fault_ends_neither_the_other_imports_nor_the_probes(verdict: Verdict) -> None:
    # tiny, tiny.after, tiny.bad_still, tiny.good, tiny.native
    assert verdict.modules == 5
    assert (verdict.loaded, verdict.unloaded, verdict.tried) == (1, 0, True)
    assert outcomes(verdict)["avx"] == "sigill"
    assert outcomes(verdict)["plain"] == "same"


def test_what_fails_natively_too_is_not_blamed_on_the_cpu(verdict: Verdict) -> None:
    absent = dict(verdict.absent)
    assert absent.keys() == {"import tiny.absent", "import tiny.crash", "probe crash", "probe raises"}
    assert absent["import tiny.absent"].startswith("natively: ModuleNotFoundError")
    assert absent["import tiny.crash"] == absent["probe crash"] == "natively: ended by SIGSEGV"
    assert absent["probe raises"] == "natively: ValueError: everywhere"


def test_a_silent_instruction_shows_by_its_numbers(verdict: Verdict) -> None:
    [result] = [one for one in verdict.results if one.name == "zeros"]
    # LZCNT of 1 is 31; executed as BSR it is 0.
    assert (result.outcome, result.detail) == ("differs", "value: natively 31, here 0")


def test_a_refusal_that_the_probe_set_expects_is_no_finding_and_another_error_is(verdict: Verdict) -> None:
    assert outcomes(verdict)["refused"] == "refused"
    assert outcomes(verdict)["failing"] == "error"
    assert {one.name for one in verdict.findings} == {"import tiny.bad", "avx", "zeros", "failing", "hanging"}


def test_what_hangs_ends_by_the_clock(verdict: Verdict) -> None:
    assert outcomes(verdict)["hanging"] == "timeout"


def test_nothing_of_the_environment_is_inherited(wheel: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text("import os\n\ndef inherited(): return os.environ['OPENBLAS_CORETYPE']\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_sets.find_probes, "__defaults__", (tmp_path,))
        patch.setenv("OPENBLAS_CORETYPE", "Haswell")
        [found] = run_wheels([wheel], WESTMERE, cache=kept, limits=LIMITS)
    assert dict(found.absent)["probe inherited"] == "natively: KeyError: 'OPENBLAS_CORETYPE'"


def test_the_verdict_says_what_failed_on_purpose(verdict: Verdict) -> None:
    assert verdict.control.startswith("vxorps xmm0,xmm0,xmm0 (AVX): SIGILL")
    assert verdict.emulator.startswith("qemu-x86_64 ")
    assert verdict.cpu == "Westmere"


def test_the_newest_verdict_is_found_by_the_wheels_hash_alone(verdict: Verdict, kept: Path) -> None:
    found = kept_verdict(kept, verdict.sha256, WESTMERE)
    assert found is not None
    assert found.sha256 == verdict.sha256
    assert kept_verdict(kept, "0" * 64, WESTMERE) is None
    assert kept_verdict(kept, verdict.sha256, find_baseline("nehalem")) is None


def test_a_damaged_verdict_is_none(verdict: Verdict, kept: Path, tmp_path: Path) -> None:
    folder = kept / "gate" / "verdicts" / verdict.sha256
    copy = tmp_path / "gate" / "verdicts" / verdict.sha256
    copy.mkdir(parents=True)
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes()[:-40])
    assert kept_verdict(tmp_path, verdict.sha256, WESTMERE) is None


def test_the_static_audit_and_the_gate_confirm_each_other(wheel: Path, verdict: Verdict, tmp_path: Path) -> None:
    [static] = audit_paths([wheel], WESTMERE, load_rules(), cache=tmp_path, jobs=1)
    assert {(one.result.name, one.blame) for one in join(static, verdict)} == {
        ("import tiny.bad", Blame.CONFIRMED),
        ("avx", Blame.CONFIRMED),
    }


def test_what_was_tried_before_with_the_same_wheels_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    tried = TinyWheels(tmp_path).wheel("tiny", "2.0", tag=TAG, body="import helper\n", requires=["helper"])
    helpers = [TinyWheels(tmp_path / v).wheel("helper", v, requires=["tiny"]) for v in ("1.0", "1.1")]
    unneeded = TinyWheels(tmp_path).wheel("unneeded", "1.0")
    [first] = run_wheels([tried], WESTMERE, offered=[helpers[0], unneeded], cache=cache, limits=LIMITS)
    assert (first.failed, first.modules, len(first.wheels)) == (False, 1, 1)

    runs: list[str] = []
    run = gate_run._Gate.run_all

    def counted(self: gate_run._Gate, subjects: list[gate_run._Subject], progress: None) -> object:
        runs.extend(subject.path.name for subject in subjects)
        return run(self, subjects, progress)

    monkeypatch.setattr(gate_run._Gate, "run_all", counted)
    assert run_wheels([tried], WESTMERE, offered=[helpers[0]], cache=cache, limits=LIMITS) == [first]
    assert runs == []
    [second] = run_wheels([tried], WESTMERE, offered=[helpers[1]], cache=cache, limits=LIMITS)
    assert runs == [tried.name]
    assert replace(second, seconds=0.0, wheels=()) == replace(first, seconds=0.0, wheels=())
    run_wheels([tried], WESTMERE, offered=[helpers[0]], cache=cache, limits=LIMITS, again=True)
    assert runs == [tried.name, tried.name]


def test_a_library_that_faults_while_it_is_loaded_is_found(compiled: Callable[[str], bytes], tmp_path: Path) -> None:
    wheel = tiny(tmp_path, {"tiny/__init__.py": b"", "tiny.libs/libload-1.so.2": compiled(CONSTRUCTOR)})
    [found] = run_wheels([wheel], WESTMERE, cache=tmp_path / "cache", limits=LIMITS)
    [result] = found.findings
    assert (result.name, result.outcome) == ("load tiny.libs/libload-1.so.2", "sigill")
    assert result.fault is not None
    assert result.fault.text == "vzeroupper"


def test_a_cache_behind_a_link_is_no_other_place(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    [found] = run_wheels([wheel], WESTMERE, cache=tmp_path / "cache", limits=LIMITS)
    assert (found.loaded, found.unloaded) == (1, 0)
    assert [fault.library for fault in found.faults] == ["tiny/native.so"]


def test_a_package_that_faults_at_its_import_is_found_and_the_rest_told_as_not_reached(
    native: bytes, tmp_path: Path
) -> None:
    body = b"from tiny import native\nnative.avx()\n"
    wheel = tiny(tmp_path, {"tiny/__init__.py": body, "tiny/native.so": native, "tiny/more.py": b""})
    [found] = run_wheels([wheel], WESTMERE, cache=tmp_path / "cache", limits=LIMITS)
    assert outcomes(found) == {"import tiny": "sigill"}
    assert [name for name, reason in found.absent if reason.startswith("not reached")] == [
        "import tiny.more",
        "import tiny.native",
    ]


def test_compiled_modules_that_cannot_be_tried_here_are_counted(
    compiled: Callable[[str], bytes], tmp_path: Path
) -> None:
    undefined = compiled(SOURCE.replace("return PyModule", "extern int nowhere(void); nowhere(); return PyModule"))
    wheel = tiny(tmp_path, {"tiny/__init__.py": b"", "tiny/native.so": undefined})
    [found] = run_wheels([wheel], WESTMERE, cache=tmp_path / "cache", limits=LIMITS)
    assert (found.failed, found.modules, found.loaded, found.unloaded) == (False, 1, 0, 1)
    assert not found.tried
    [(name, reason)] = found.absent
    assert (name, reason.partition(": ")[0]) == ("import tiny.native", "natively")
    assert "tiny/native.so: undefined symbol: nowhere" in reason


def test_what_is_installed_is_tried_in_place(native: bytes, tmp_path: Path) -> None:
    site = tmp_path / "venv" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    (site / "tiny").mkdir(parents=True)
    (site / "tiny" / "__init__.py").write_bytes(b"from tiny import native\n")
    (tmp_path / "elsewhere.so").write_bytes(native)
    (site / "tiny" / "native.so").symlink_to(tmp_path / "elsewhere.so")
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(Path(sys.executable).resolve())
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    [found] = run_installed(python, ["tiny"], WESTMERE, cache=tmp_path / "cache", limits=LIMITS)
    assert (found.failed, found.modules, found.sha256) == (False, 2, "")
    assert (found.loaded, found.unloaded) == (1, 0)
    with pytest.raises(InputError, match="nothing-of-the-kind is not installed there"):
        run_installed(python, ["nothing-of-the-kind"], WESTMERE, cache=tmp_path / "cache")


def test_a_baseline_without_a_model_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the emulator has no CPU like"):
        run_wheels([wheel], find_baseline("x86-64-v4"), cache=tmp_path)


@pytest.mark.full
def test_torch_executes_one_instruction_that_westmere_lacks(cache: Path, tmp_path: Path) -> None:
    project = open_project(REPOSITORY / "repo/cheesegrater.toml")
    target = project.target("bookworm")
    wheels = fetch(read_lock(project, target), target, FileCache.below(cache))
    torch = wheels[canonicalize_name("torch")]
    offered = [path for path in wheels.values() if path.suffix == ".whl"]  # some are sdists
    [found] = run_wheels([torch], WESTMERE, offered=offered, cache=tmp_path / "cache")
    assert [result.name for result in found.findings] == ["quantised_dynamic_onednn"]
    [fault] = found.faults
    assert (fault.code, fault.text) == ("c5 fa 10 07", "vmovss xmm0,[rdi]")
    assert fault.name.startswith("fbgemm::FindMinMax(")
    assert fault.library == "torch/lib/libtorch_cpu.so"
    assert fault.python[-1].startswith("probes/torch.py:")
    assert found.modules > 2000
    assert found.unloaded == 0
    assert [name for name, _ in found.absent if name.startswith("probe ")] == []
    refused = {result.name for result in found.results if result.outcome == "refused"}
    assert refused == {f"quantised_{kind}_{engine}" for kind in ("dynamic", "linear") for engine in ("fbgemm", "x86")}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_by_control_c_or_kill(how: signal.Signals, tmp_path: Path) -> None:
    # In a fork, as most are; the process that it was forked from is at work too.
    body = "import os, time\nopen(os.environ['TMPDIR'] + '/../up', 'w').close()\ntime.sleep(600)\n"
    wheel = tiny(tmp_path, {"sleepy/__init__.py": b"", "sleepy/deep.py": body.encode()}, "sleepy")
    cache = tmp_path / "cache"
    program = f"""
from pathlib import Path
from debtool.audit.baselines import find_baseline
from debtool.audit.gate_run import run_wheels
run_wheels([Path({str(wheel)!r})], find_baseline("westmere"), cache=Path({str(cache)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(cache.glob("gate/work/run-*/run-*/up"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    assert len(_running_below(cache)) == 4
    process.send_signal(how)
    _, told = process.communicate(timeout=30)
    assert process.returncode == -how
    assert told.endswith("KeyboardInterrupt\n") == (how is signal.SIGINT)
    while _running_below(cache):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    if how is signal.SIGINT:
        assert list(cache.glob("gate/work/*")) == []


def _running_below(folder: Path) -> list[str]:
    """Return the command lines of processes that have something to do with ``folder``, other than this one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(folder / "gate").encode() in line and int(entry.name) != os.getpid():
            found.append(line.decode(errors="replace"))
    return found
