from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from debtool.build.machine import Machine
from debtool.model.errors import InputError, OutsideError
from debtool.stack.project import open_project
from debtool.torch import room
from debtool.torch.preflight import fix_command, preflight, refuse, require_known
from debtool.torch.room import check_disk, check_memory, cpu_level
from debtool.torch.toolchain import check_compilers, check_tools
from debtool.torch.wanted import MEMORY_PER_JOB, Wanted
from tests.support.rocm import make_rocm
from tests.support.tools import GCC, make_tool, says

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.build.checks import Check

_PROJECT = open_project(Path(__file__).parents[2] / "repo" / "cheesegrater.toml")

_GIB = 2**30
_MAC_PRO = Machine(cpus=24, memory=64 * _GIB, swap=8 * _GIB, boot="")

# The flags that Linux gives to a Westmere, and what a Haswell has beside them.
_WESTMERE = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx fxsr sse sse2 ss ht "
    "tm pbe syscall nx pdpe1gb rdtscp lm constant_tsc arch_perfmon pebs bts rep_good nopl xtopology nonstop_tsc cpuid "
    "aperfmperf pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cx16 xtpr pdcm pcid dca sse4_1 sse4_2 popcnt "
    "aes lahf_lm pti"
)
_HASWELL = f"{_WESTMERE} xsave avx f16c fma movbe abm bmi1 avx2 bmi2"


def make_python(folder: Path, **changes: object) -> Path:
    """Make a stand-in for noble's Python, which says what the real one would, but for ``changes``."""
    header = folder / "include" / "Python.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    header.touch()
    said = {"name": "cpython", "version": "3.12.3", "bits": 64, "header": str(header), "venv": True, "packaging": True}
    said |= {"special": [], **changes}
    return make_tool(folder, "python3.12", f"cat <<'END'\n{json.dumps(said)}\nEND".replace("cat", "/bin/cat"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of an Ubuntu 24.04 on a Mac Pro that lacks nothing."""
    root = tmp_path / "root"
    files = {
        "proc/cpuinfo": f"processor\t: 0\nflags\t\t: {_WESTMERE}\nbugs\t\t: meltdown\n",
        "etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n',
        "usr/include/x86_64-linux-gnu/cblas.h": "",
        "usr/include/numa.h": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with stand-ins of all the programs that a build needs."""
    folder = tmp_path / "bin"
    for name, version in {
        "cmake": "cmake version 3.28.3",
        "ninja": "1.11.1",
        "git": "git version 2.43.0",
        "patch": "GNU patch 2.7.6",
        "ccache": "ccache version 4.9.1",
    }.items():
        make_tool(folder, name, says(version))
    make_tool(folder, "cc", GCC)
    make_tool(folder, "c++", GCC)
    make_python(folder)
    return folder


@pytest.fixture
def wanted(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Wanted:
    # Whatever room this machine has, its figures are tested apart.
    for name in ("_BUILD_CPU", "_BUILD_ROCM", "_CACHE_CPU", "_CACHE_ROCM"):
        monkeypatch.setattr(room, name, 1)
    monkeypatch.setattr(room, "_SOURCE", {"upstream": 1, "debian": 1})
    folders = (tmp_path / "work" / "build", tmp_path / "work" / "cache")
    return Wanted(Version("2.6.0"), _PROJECT.target("noble"), *folders, path=str(tools), cpu_only=True)


def looked(wanted: Wanted, root: Path, machine: Machine = _MAC_PRO) -> list[Check]:
    return preflight(wanted, root=root, machine=machine, architecture="x86_64", glibc="2.39")


def bad(checks: Sequence[Check]) -> dict[str, Check]:
    return {one.name: one for one in checks if one.verdict != "ok"}


def test_a_fit_machine_is_fit(wanted: Wanted, root: Path) -> None:
    checks = looked(wanted, root)
    assert bad(checks) == {}
    assert fix_command(checks) == ""
    refuse(checks)
    names = {one.name for one in checks}
    assert names > {
        "CPU",
        "memory",
        "swap",
        "disk",
        "cmake",
        "ninja",
        "C++ compiler",
        "Python headers",
        "glibc",
        "OpenBLAS",
    }
    assert not any("ROCm" in name for name in names)


def test_rocm_belongs_to_a_build_that_is_not_for_the_cpu_alone(wanted: Wanted, root: Path) -> None:
    with_rocm = replace(wanted, cpu_only=False, gpu=("gfx1030",), target=_PROJECT.target("noble-rocm6.3"))
    assert "ROCm hipBLASLt" in bad(looked(with_rocm, root))
    make_rocm(root / "opt" / "rocm")
    assert bad(looked(with_rocm, root)) == {}


def test_a_bare_machine_is_told_everything_at_once(wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bare = replace(wanted, path=str(tmp_path / "empty"))
    (tmp_path / "bare" / "etc").mkdir(parents=True)
    (tmp_path / "bare" / "etc" / "os-release").write_text("VERSION_CODENAME=noble\n")
    checks = looked(bare, tmp_path / "bare")
    command = fix_command(checks, superuser=False).splitlines()[-1]
    assert command == (
        "sudo apt install build-essential ccache cmake git libnuma-dev libopenblas-dev ninja-build patch "
        "python3.12-dev python3.12-venv"
    )
    with pytest.raises(OutsideError) as caught:
        refuse(checks)
    fields = [issue.field for issue in caught.value.issues]
    assert fields == ["C compiler", "C++ compiler", "cmake", "ninja", "git", "patch", "ccache", "Python", "OpenBLAS"]


def test_this_machine_is_looked_at_without_any_argument(wanted: Wanted) -> None:
    checks = preflight(replace(wanted, path="/usr/bin:/bin"))
    assert {one.name: one.verdict for one in checks}["architecture"] == "ok"


@given(st.integers(0, 256), st.integers(0, 2**45), st.integers(1, 2**40))
def test_jobs_never_need_more_than_there_is(cpus: int, memory: int, each: int) -> None:
    jobs = Machine(cpus, memory, 0, "").jobs(each)
    assert 0 <= jobs <= cpus
    assert jobs * each <= memory
    assert jobs == cpus or (jobs + 1) * each > memory


@pytest.mark.parametrize(
    ("machine", "jobs", "verdict", "words"),
    [
        (Machine(24, 64 * _GIB, 1, ""), None, "ok", "68.7 GB for 24 processors"),
        (Machine(24, 16 * _GIB, 1, ""), None, "ok", "17.2 GB for 24 processors"),
        (Machine(24, 16 * _GIB, 1, ""), 24, "warning", "enough for 6 jobs"),
        (Machine(4, 2 * _GIB, 4 * _GIB, ""), None, "warning", "and swap"),
        (Machine(4, 1 * _GIB, 0, ""), None, "missing", "too little for even one compiler"),
    ],
)
def test_memory_is_held_against_the_jobs(
    wanted: Wanted, machine: Machine, jobs: int | None, verdict: str, words: str
) -> None:
    memory = next(iter(check_memory(replace(wanted, jobs=jobs), machine)))
    assert memory.verdict == verdict
    assert words in memory.found
    assert (memory.fix == "") == (verdict == "ok")


def test_swap_is_advised_where_memory_is_short(wanted: Wanted) -> None:
    memory, swap = check_memory(wanted, Machine(24, 64 * _GIB, 0, ""))
    assert (memory.verdict, swap.verdict) == ("ok", "warning")
    assert swap.fix.startswith("fallocate -l 30G /swapfile && ")
    _memory, swap = check_memory(wanted, Machine(4, 64 * _GIB, 0, ""))
    assert swap.verdict == "ok"


def test_the_memory_of_a_job_can_be_said(wanted: Wanted) -> None:
    memory, _swap = check_memory(replace(wanted, memory_per_job=2 * MEMORY_PER_JOB, jobs=16), _MAC_PRO)
    assert memory.fix == "--jobs 12, or leave --jobs out"


def test_the_disk_must_hold_the_build_and_the_cache(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(wanted.folder.parents[1]).free
    monkeypatch.setattr(room, "_BUILD_CPU", 2 * free)
    monkeypatch.setattr(room, "_CACHE_CPU", 10)
    disk, cache = check_disk(wanted)
    assert (disk.verdict, cache.verdict) == ("missing", "warning")
    assert cache.found.startswith("0 B free after the build")
    assert [one.name for one in check_disk(replace(wanted, launcher="none"))] == ["disk"]


def test_what_a_build_has_already_is_room_for_it(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted.folder.mkdir(parents=True)
    (wanted.folder / "libtorch.so").write_bytes(b"x" * 5_000_000)
    (wanted.folder / "loop").symlink_to(wanted.folder)
    monkeypatch.setattr(room, "_room", lambda folder: (0, room._size(folder)))
    monkeypatch.setattr(room, "_BUILD_CPU", 4_000_000)
    disk, _cache = check_disk(wanted)
    assert disk.verdict == "ok"
    assert "MB used by the build so far" in disk.found
    monkeypatch.setattr(room, "_BUILD_CPU", 6_000_000)
    assert next(iter(check_disk(wanted))).verdict == "missing"


def test_a_folder_with_white_space_is_refused(wanted: Wanted, tmp_path: Path) -> None:
    checks = bad(list(check_disk(replace(wanted, folder=tmp_path / "my build"))))
    assert "white space" in checks["build folder"].found


@pytest.mark.parametrize(
    ("flags", "level"),
    [(_WESTMERE, "x86-64-v2"), (_HASWELL, "x86-64-v3"), ("cmov cx8 fxsr mmx sse sse2", "x86-64"), ("", None)],
)
def test_levels_of_cpus(flags: str, level: str | None) -> None:
    assert cpu_level(f"processor : 0\nflags : {flags}\n") == level


def test_the_builders_cpu_does_not_matter_unless_native_is_asked_for(wanted: Wanted, root: Path) -> None:
    assert bad(looked(replace(wanted, march="native"), root)) == {}
    (root / "proc/cpuinfo").write_text(f"flags : {_HASWELL}\n")
    cpu = next(one for one in looked(wanted, root) if one.name == "CPU")
    assert (cpu.verdict, cpu.found) == ("ok", "x86-64-v3")
    assert "-march=westmere" in cpu.why
    native = bad(looked(replace(wanted, march="native"), root))["CPU"]
    assert native.verdict == "missing"
    assert "avx2" in native.found
    (root / "proc/cpuinfo").write_text("flags : cmov cx8 fxsr mmx sse sse2\n")
    assert bad(looked(wanted, root))["CPU"].verdict == "warning"


def test_another_architecture_is_refused(wanted: Wanted, root: Path) -> None:
    checks = preflight(wanted, root=root, machine=_MAC_PRO, architecture="aarch64", glibc="2.39")
    assert bad(checks)["architecture"].found == "aarch64"


def test_a_newer_glibc_than_the_targets_is_refused(wanted: Wanted, root: Path) -> None:
    checks = preflight(wanted, root=root, machine=_MAC_PRO, architecture="x86_64", glibc="2.41")
    assert bad(checks)["glibc"].wanted == "glibc 2.39 or older"
    checks = preflight(wanted, root=root, machine=_MAC_PRO, architecture="x86_64", glibc="2.9")
    assert "glibc" not in bad(checks)


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"version": "3.11.9"}, "Python", "cpython 3.11.9"),
        ({"version": "3.1.2"}, "Python", "cpython 3.1.2"),
        ({"name": "pypy"}, "Python", "pypy 3.12.3"),
        ({"bits": 32}, "Python", "32 bits"),
        ({"special": ["Py_GIL_DISABLED"]}, "Python", "built with Py_GIL_DISABLED"),
        ({"header": "/nowhere/Python.h"}, "Python headers", "there is no /nowhere/Python.h"),
        ({"venv": False}, "Python venv", "no module venv"),
        ({"packaging": False}, "Python packaging", "no module packaging"),
    ],
)
def test_a_python_that_will_not_do(
    wanted: Wanted, root: Path, tools: Path, changes: dict[str, object], name: str, words: str
) -> None:
    make_python(tools, **changes)
    (one,) = bad(looked(wanted, root)).values()
    assert one.name == name
    assert words in one.found
    assert one.fix.startswith(("apt install python3", "name a plain"))


@pytest.mark.parametrize(
    "script", ["exit 1", "echo hello", "echo 3", "echo 'pyenv: python3.12: command not found' >&2; exit 127"]
)
def test_a_python_that_does_not_run(wanted: Wanted, root: Path, tools: Path, script: str) -> None:
    make_tool(tools, "python3.12", script)
    (one,) = bad(looked(wanted, root)).values()
    assert (one.name, one.verdict) == ("Python", "missing")
    assert "does not run" in one.found


def test_no_package_is_named_that_the_distribution_has_not(wanted: Wanted, root: Path, tools: Path) -> None:
    (root / "etc/os-release").write_text('VERSION_CODENAME="bookworm"\n')
    (tools / "python3.12").unlink()
    (one,) = bad(looked(wanted, root)).values()
    assert (one.packages, one.fix.split(",")[0]) == ((), "uv python install 3.12")


def test_this_very_python_is_read_right(wanted: Wanted, root: Path) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    here = wanted.target.model_copy(update={"python": python})
    checks = looked(replace(wanted, target=here, interpreter=Path(sys.executable)), root)
    found = {one.name: one for one in checks}
    assert found["Python"].verdict == "ok"
    assert found["Python venv"].verdict == "ok"
    assert "Python.h" in found["Python headers"].found


def test_an_old_or_broken_compiler_is_refused(wanted: Wanted, tools: Path) -> None:
    make_tool(tools, "c++", GCC.replace("13.2.0", "8.4.0"))
    make_tool(tools, "cc", GCC.replace(": > probe", "echo 'cc: error: no as' >&2; exit 1"))
    c, cxx = check_compilers(wanted)
    assert (c.verdict, c.found[-12:]) == ("missing", "error: no as")
    assert cxx.verdict == "missing"
    assert "8.4.0" in cxx.found
    assert "gcc 9.3 or newer" in cxx.wanted


def test_the_compilers_that_the_settings_name_are_looked_at(wanted: Wanted, tools: Path) -> None:
    make_tool(tools, "g++-8", GCC.replace("13.2.0", "8.4.0"))
    _c, cxx = check_compilers(replace(wanted, settings={"CXX": "g++-8"}))
    assert "8.4.0" in cxx.found


def test_the_compilers_of_this_machine_compile(wanted: Wanted) -> None:
    assert {one.verdict for one in check_compilers(replace(wanted, path="/usr/bin:/bin"))} == {"ok"}


@pytest.mark.parametrize(
    ("version", "cmake", "settings", "verdict"),
    [
        ("2.6.0", "3.17.0", {}, "missing"),
        ("2.6.0", "3.31.6", {}, "ok"),
        ("2.6.0", "4.0.0", {}, "missing"),
        ("2.6.0", "4.0.0", {"CMAKE_POLICY_VERSION_MINIMUM": "3.5"}, "ok"),
        ("2.7.0", "4.1.2", {}, "ok"),
        ("2.7.1+rocm6.3.noavx", "4.1.2", {}, "ok"),
    ],
)
def test_cmake_4_is_for_2_7_and_later(
    wanted: Wanted, tools: Path, version: str, cmake: str, settings: dict[str, str], verdict: str
) -> None:
    make_tool(tools, "cmake", says(f"cmake version {cmake}"))
    one = next(iter(check_tools(replace(wanted, version=Version(version), settings=settings))))
    assert (one.name, one.verdict) == ("cmake", verdict)


def test_the_newer_one_of_cmake_and_cmake3_counts_as_in_setup_py(wanted: Wanted, tools: Path) -> None:
    make_tool(tools, "cmake", says("cmake version 2.8.12"))
    make_tool(tools, "cmake3", says("cmake3 version 3.26.5"))
    one = next(iter(check_tools(wanted)))
    assert (one.verdict, one.found) == ("ok", f"{tools}/cmake3, 3.26.5")


def test_launchers_and_git_are_needed_where_they_are_used(wanted: Wanted, tools: Path, tmp_path: Path) -> None:
    for name in ("git", "ccache"):
        (tools / name).unlink()
    given = replace(wanted, source=tmp_path)
    assert set(bad(list(check_tools(wanted)))) == {"git", "ccache"}
    assert set(bad(list(check_tools(given)))) == {"ccache"}
    assert set(bad(list(check_tools(replace(given, launcher="none"))))) == set()
    assert set(bad(list(check_tools(replace(given, launcher="distcc"))))) == {"ccache", "distcc"}


def test_libraries_are_needed_as_the_settings_say(wanted: Wanted, root: Path) -> None:
    (root / "usr/include/numa.h").unlink()
    (root / "usr/include/x86_64-linux-gnu/cblas.h").unlink()
    checks = bad(looked(wanted, root))
    assert {name: one.verdict for name, one in checks.items()} == {"OpenBLAS": "missing", "libnuma": "warning"}
    off = replace(wanted, settings={"BLAS": "Generic", "USE_NUMA": "0"})
    assert bad(looked(off, root)) == {}


@pytest.mark.parametrize(
    ("script", "verdict", "words"),
    [
        ("exit 0", "ok", "all are installed"),
        ("echo 'error: Unmet build dependencies: dh-python glslc' >&2; exit 1", "ok", "dh-python, glslc"),
        (
            "echo 'error: Unmet build dependencies: glslc libgloo-dev (>= 0.0~git2) libfmt-dev' >&2; exit 1",
            "missing",
            "not installed: libgloo-dev, libfmt-dev",
        ),
        ("echo 'error: cannot read control' >&2; exit 2", "missing", "does not work: error: cannot read control"),
    ],
)
def test_debians_build_dependencies(
    wanted: Wanted, root: Path, tools: Path, tmp_path: Path, script: str, verdict: str, words: str
) -> None:
    (tmp_path / "source" / "debian").mkdir(parents=True)
    (tmp_path / "source" / "debian" / "control").touch()
    make_tool(tools, "dpkg-checkbuilddeps", f"[ $# = 0 ] || [ $1 = --version ] || {{ {script}; }}")
    debian = replace(wanted, flavour="debian", source=tmp_path / "source")
    one = next(one for one in looked(debian, root) if one.name == "build dependencies")
    assert one.verdict == verdict
    assert words in one.found
    assert one.fix == ("" if verdict == "ok" else "apt-get build-dep pytorch")


def test_the_real_dpkg_checks_the_dependencies_of_a_system(wanted: Wanted, root: Path, tmp_path: Path) -> None:
    (root / "var/lib/dpkg").mkdir(parents=True)
    status = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n"
    status += "Maintainer: -\nDescription: -\n\n"
    (root / "var/lib/dpkg/status").write_text("".join(map(status.format, ["build-essential", "libgloo-dev"])))
    (tmp_path / "source" / "debian").mkdir(parents=True)
    control = "Source: pytorch\nBuild-Depends: libgloo-dev, libfmt-dev (>= 9), glslc\n\nPackage: p\nArchitecture: any\n"
    (tmp_path / "source" / "debian" / "control").write_text(control)
    debian = replace(wanted, flavour="debian", source=tmp_path / "source", path="/usr/bin:/bin")
    one = next(one for one in looked(debian, root) if one.name == "build dependencies")
    assert (one.verdict, one.found) == ("missing", "not installed: libfmt-dev")


def test_build_dependencies_are_left_open_until_the_source_is_there(wanted: Wanted, root: Path) -> None:
    one = bad(looked(replace(wanted, flavour="debian"), root))["build dependencies"]
    assert one.verdict == "warning"


def test_an_unknown_version_names_those_that_are_known() -> None:
    known = [Version("2.7.1"), Version("2.6.0")]
    require_known(Version("2.6.0+rocm6.3.noavx"), known)
    with pytest.raises(InputError, match=r"no settings are known for PyTorch 1.13.1; fix: one of 2.6.0, 2.7.1"):
        require_known(Version("1.13.1"), known)
