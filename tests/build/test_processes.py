"""Processes of a build: real ones that are started here, and command lines of real builds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from debtool.build.command_line import work_of
from debtool.build.processes import (
    Process,
    below,
    cpu_seconds,
    end,
    job_of,
    marked,
    pause,
    read_process,
    resume,
    uptime,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

BURN = "import time\nwhile time.process_time() < 0.6: pass\n"


def eventually(look: Callable[[], T | None], *, within: float = 30.0) -> T:
    """Return the first true answer; a busy machine may take its time."""
    until = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start commands; whatever is left of them is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*command: str, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]  # as given
        started.append(process)
        return process  # type: ignore[no-any-return]  # of the call above

    yield run
    for process in started:
        end(below(process.pid), 0.0)
        process.kill()
        process.wait()


def names_below(pid: int) -> list[str]:
    return [process.name for process in below(pid)]


def test_this_process() -> None:
    process = read_process(os.getpid())
    assert process is not None
    assert (process.parent, process.uid) == (os.getppid(), os.geteuid())
    assert process.arguments == tuple(Path("/proc/self/cmdline").read_text().removesuffix("\0").split("\0"))
    assert process.cpu > 0
    assert 2**20 < process.memory < 2**40
    assert process.state in "RS"


def test_descendants_come_parents_first(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    top = start("sh", "-c", "sh -c 'sleep 300; :'; :")
    eventually(lambda: names_below(top.pid) == ["sh", "sleep"])
    inner, sleep = below(top.pid)
    assert (inner.parent, sleep.parent) == (top.pid, inner.pid)
    assert (inner.children, sleep.children) == (1, 0)
    assert sleep.arguments == ("sleep", "300")
    assert below(sleep.pid) == []


def test_a_name_may_have_spaces_and_parentheses(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    shutil.copy2(shutil.which("sleep") or "", odd)
    child = start(str(odd), "300")
    process = eventually(lambda: [one for one in below(os.getpid()) if one.pid == child.pid and one.name == odd.name])[
        0
    ]
    assert (process.parent, process.state) == (os.getpid(), "S")


def test_what_has_ended_is_not_there(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = start("true")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert read_process(child.pid) is None
    assert child.pid not in [process.pid for process in below(os.getpid())]


def test_processes_that_come_and_go_disturb_nothing(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    top = start("sh", "-c", "while :; do true & /bin/true; done")
    for _ in range(60):
        assert all(process.pid != top.pid and process.start > 0 for process in below(top.pid))


def test_time_of_what_has_ended_still_counts(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    top = start("sh", "-c", f"{sys.executable} -c '{BURN}'; sleep 300; :")
    eventually(lambda: names_below(top.pid) == ["sleep"])
    root = read_process(top.pid)
    assert root is not None
    assert root.children_cpu > 0.5
    assert cpu_seconds([root, *below(top.pid)]) > 0.5
    assert cpu_seconds(below(top.pid)) < 0.5


def test_a_job_is_held_and_goes_on(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    top = start("sh", "-c", f"{sys.executable} -c 'while True: pass'; :")
    [burner] = eventually(lambda: below(top.pid))
    assert pause([burner]) == [burner]
    held = eventually(lambda: [one for one in below(top.pid) if one.state == "T"])[0]
    job = job_of(replace(held, arguments=("cc1plus", "a.cpp")), uptime())
    assert job is not None
    assert job.paused
    time.sleep(0.1)
    assert [one.cpu for one in below(top.pid)] == [held.cpu]
    assert resume([held]) == [held]
    eventually(lambda: [one for one in below(top.pid) if one.cpu > held.cpu])


def test_another_process_of_the_same_number_is_left_alone(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = start("sleep", "300")
    process = eventually(lambda: read_process(child.pid))
    earlier = replace(process, start=process.start - 1)
    assert pause([earlier]) == []
    assert end([earlier], 0.0) == []
    assert child.poll() is None
    gone = start("true")
    gone.wait()
    assert resume([replace(process, pid=gone.pid)]) == []


def test_what_a_killed_build_left_is_found_and_ended(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    marker = f"DEBTOOL_TEST_MARK=build {os.getpid()}"
    name, _, value = marker.partition("=")
    environment = {**os.environ, name: value}
    script = "sh -c 'trap \"\" TERM; while :; do sleep 1; done' & sleep 300 & wait"
    top = start("sh", "-c", script, env=environment, start_new_session=True)
    start("sleep", "301", env={**os.environ, name: f"{value}0"})
    start("sleep", "302", env={**os.environ, f"X{name}": value})
    eventually(lambda: len(marked(marker)) >= 4)
    left = [process for process in marked(marker) if process.pid != top.pid]
    top.kill()
    top.wait()
    assert {process.pid for process in left} & {process.pid for process in below(os.getpid())} == set(), "orphans"
    orphans = marked(marker)
    assert {process.name for process in orphans} == {"sh", "sleep"}
    pause(orphans)
    assert end(marked(marker), 0.5) == []
    eventually(lambda: marked(marker) == [])


def test_this_process_is_not_its_own_leftover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBTOOL_TEST_MARK", "own")
    script = (
        "import os; from debtool.build.processes import marked\n"
        "print([process.pid for process in marked('DEBTOOL_TEST_MARK=own')])"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_sigterm_comes_first(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    polite, rude = start("sleep", "300"), start("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    eventually(lambda: names_below(rude.pid) == ["sleep"])  # its trap is set
    processes = [process for child in (polite, rude) if (process := read_process(child.pid)) is not None]
    pause(processes)
    assert end(processes, 0.5) == []
    assert (polite.wait(), rude.wait()) == (-signal.SIGTERM, -signal.SIGKILL)
    last = start("sleep", "300")
    assert end([process for process in [read_process(last.pid)] if process], 0.0) == []
    assert last.wait() == -signal.SIGKILL, "no patience, no other signal"


def process_of(*arguments: str, name: str = "", children: int = 0, state: str = "R") -> Process:
    return Process(7, 1, 0, state, name or Path(arguments[0]).name[:15], arguments, 1.5, 0.0, 2**20, 0, children)


CC1PLUS = (
    # ccache in front of it: what follows the source has other names.
    *("/usr/libexec/gcc/x86_64-linux-gnu/14/cc1plus", "-quiet", "-I", "aten/src", "-imultiarch", "x86_64-linux-gnu"),
    *("-D", "_GNU_SOURCE", "-isystem", "/usr/include/eigen3", "../aten/src/ATen/functorch/BatchRulesRandomness.cpp"),
    *("-quiet", "-dumpdir", "caffe2/", "-dumpbase", "cpp_stdout.tmp.Q7qIwb.cpp", "-dumpbase-ext", ".cpp"),
    *("-march=westmere", "-O2", "-o", "tmp/cc4DIk1H.s"),
)
CLANG_DEVICE = (
    *("/opt/rocm-6.3.4/lib/llvm/bin/clang-18", "-cc1", "-triple", "amdgcn-amd-amdhsa", "-aux-triple"),
    *("x86_64-unknown-linux-gnu", "-emit-obj", "-main-file-name", "SortStable.hip", "-aux-target-cpu", "x86-64"),
    *("-fcuda-is-device", "-target-cpu", "gfx1030", "-o", "tmp/SortStable-gfx1030.o", "-x", "hip", "SortStable.hip"),
)
CLANG_HOST = (
    *("/opt/rocm-6.3.4/lib/llvm/bin/clang-18", "-cc1", "-triple", "x86_64-unknown-linux-gnu", "-aux-triple"),
    *("amdgcn-amd-amdhsa", "-emit-obj", "-main-file-name", "SortStable.hip", "-target-cpu", "x86-64"),
    *("-fcuda-include-gpubinary", "tmp/SortStable.hipfb", "-o", "SortStable.o", "-x", "hip", "SortStable.hip"),
)
LLD = (
    *("/opt/rocm-6.3.4/lib/llvm/bin/lld", "-flavor", "gnu", "-m", "elf64_amdgpu", "--no-undefined", "-shared"),
    *("-plugin-opt=-amdgpu-internalize-symbols", "-plugin-opt=mcpu=gfx1030", "-o", "tmp/a/SortStable-gfx1030.out"),
)
CICC = (
    *("/usr/local/cuda/nvvm/bin/cicc", "--c++17", "--orig_src_file_name", "/src/aten/Sort.cu", "--gen_c_file_name"),
    *("tmp/tmpxft_1.cudafe1.c", "tmp/tmpxft_1.cpp1.ii", "-o", "tmp/tmpxft_1.ptx"),
)


@pytest.mark.parametrize(
    ("arguments", "work"),
    [
        (CC1PLUS, ("cc1plus", "BatchRulesRandomness.cpp")),
        (("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "-E", "a.c", "-o", "b.i"), ("cc1", "a.c")),
        (("/usr/lib/gcc/x86_64-linux-gnu/12/f951", "lib/dgemm.f", "-quiet"), ("f951", "dgemm.f")),
        (("lto1", "-quiet", "-fltrans", "tmp/cc.ltrans0.o"), ("lto1", "")),
        (CLANG_DEVICE, ("clang", "SortStable.hip (gfx1030)")),
        (CLANG_HOST, ("clang", "SortStable.hip")),
        (("/usr/bin/clang++-14", "-O2", "-c", "big.cpp", "-o", "cbig.o"), ("clang++", "big.cpp")),
        (LLD, ("lld", "SortStable-gfx1030.out (gfx1030)")),
        (("/usr/bin/ld", "-plugin", "x.so", "-o", "lib/libtorch_cpu.so", "a.o"), ("ld", "libtorch_cpu.so")),
        (("/usr/bin/x86_64-linux-gnu-ld.bfd", "-o", "a.out", "a.o"), ("ld.bfd", "a.out")),
        (("ld.gold", "a.o"), ("ld.gold", "")),
        (("as", "--64", "-o", "CMakeFiles/c10.dir/a.cpp.o", "tmp/cc.s"), ("as", "a.cpp.o")),
        (CICC, ("cicc", "Sort.cu")),
        (("rustc", "--crate-name", "a", "src/lib.rs", "-o", "x"), ("rustc", "lib.rs")),
        (("/srv/venv/bin/python3.12", "-W", "ignore", "tools/gen.py", "-d", "x"), ("python", "gen.py")),
        (("python", "-m", "torchgen.gen", "--source-path", "aten"), ("python", "torchgen.gen")),
        (("python3", "-c", "print()", "a.py"), None),
        (("python3",), None),
        (("/usr/bin/g++", "-c", "a.cpp"), None),
        (("/usr/libexec/gcc/x86_64-linux-gnu/14/collect2", "-o", "a"), None),
        (("ccache", "/usr/bin/c++", "-c", "a.cpp"), None),
        (("/bin/sh", "-c", "cc1plus a.cpp"), None),
        (("ninja", "-j", "2"), None),
        (("/usr/bin/perl", "hipcc", "-c", "a.hip"), None),
    ],
)
def test_who_works_and_on_what(arguments: Sequence[str], work: tuple[str, str] | None) -> None:
    assert work_of("", arguments) == work


def test_a_process_without_arguments_has_its_name() -> None:
    assert work_of("cc1plus", ()) == ("cc1plus", "")
    assert work_of("kworker/0:1", ("",)) is None


def test_who_has_a_child_waits_for_it() -> None:
    driver = ("clang++", "--offload-arch=gfx1030", "-c", "a.hip")
    assert job_of(process_of(*driver, children=1), 10.0) is None
    job = job_of(process_of(*driver, state="D"), 10.0)
    assert job is not None
    assert (job.tool, job.what, job.seconds, job.cpu, job.memory) == ("clang++", "a.hip", 10.0, 1.5, 2**20)
    assert (job.paused, job.waits) == (False, True)


def test_a_real_compiler_is_seen(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    source = tmp_path / "slow.cpp"
    # A compile that takes minutes: a loop that the compiler has to run.
    source.write_text(
        "constexpr unsigned f() { unsigned s = 0; for (unsigned i = 0; i < 1000000000; ++i) s += i * s; return s; }\n"
        "constexpr unsigned x = f();\n"
    )
    limits = ["-fconstexpr-ops-limit=999999999999", "-fconstexpr-loop-limit=2000000000"]
    driver = start("g++", *limits, "-c", str(source), "-o", str(tmp_path / "slow.o"))
    jobs = eventually(lambda: [job for job in map(job_of, below(driver.pid)) if job is not None and job.cpu > 0.1])
    assert [(job.tool, job.what, job.paused) for job in jobs] == [("cc1plus", "slow.cpp", False)]
    assert 0.1 < jobs[0].cpu <= jobs[0].seconds + 1
    compiler = next(process for process in below(driver.pid) if process.name == "cc1plus")
    assert end([compiler], 0.0) == []
    assert driver.wait() == 1
