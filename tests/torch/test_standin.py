"""The stand-in for PyTorch's source keeps how PyTorch is built: what its README says of it is so."""

from __future__ import annotations

import io
import json
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.audit.baselines import find_baseline
from debtool.audit.emulate import find_emulator
from debtool.build.cmake import is_true, read_cache, summary_values, unused_variables
from debtool.build.compile_commands import WESTMERE, beyond, read_commands
from debtool.build.ninja import parse_status
from debtool.build.series import apply_series, read_series
from debtool.elf.needs import elf_files
from tests.support.rocm import make_rocm
from tests.support.torch_tree import build_environment, make_builder, make_tree, make_vision_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATCHES = Path(__file__).parents[2] / "debtool" / "torch" / "patches" / "debian-2.6"
SAFE = {"USE_CUDA": "0", "USE_ROCM": "0", "USE_FBGEMM": "0", "BUILD_TEST": "0"}
FREE = SAFE | {"USE_NNPACK": "0", "USE_XNNPACK": "0"}
BEFORE = "".join(
    f'set({name} {value} CACHE BOOL "")\n'
    for name, value in {
        **{f"{language}_{unit}_FOUND": "FALSE" for language in ("C", "CXX") for unit in ("AVX", "AVX2", "AVX512")},
        "SLEEF_DISABLE_AVX2": "ON",
    }.items()
)
SLEEF = 'set(SLEEF_SUPPORTED_LIBM_EXTENSIONS "SSE2;PUREC_SCALAR" CACHE STRING "")\n'
ADD = "import torch; assert torch.add([1, 2], [3, 4]) == [4, 6]; "
NUMBERS = "[1.0, 2.0, 3.5, -1.0, 0.5, 0.25, 2.5, 1.5, 0.125]"
QUANTIZED = f"import torch; assert abs(torch.quantized_sum({NUMBERS}) - 10.375) < 0.1; "


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with setuptools and wheel, and nothing else."""
    return make_builder(tmp_path_factory.mktemp("builder") / "venv", sys.executable)


@pytest.fixture(scope="module")
def wheel(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small build at level dispatch-safe, packed."""
    tree = make_tree(tmp_path_factory.mktemp("safe") / "pytorch")
    setup(tree, python, "bdist_wheel", **SAFE, PYTORCH_BUILD_VERSION="2.6.0+noavx", PYTORCH_BUILD_NUMBER="1")
    return only_wheel(tree)


def setup(tree: Path, python: Path, *words: str, **variables: str) -> str:
    """Run ``setup.py``, which must succeed, and return what it and all that it runs print."""
    code, log = _setup(tree, python, words, variables)
    assert code == 0, log
    return log


def refused(tree: Path, python: Path, *words: str, **variables: str) -> str:
    """Run ``setup.py``, which must fail, and return what it and all that it runs print."""
    code, log = _setup(tree, python, words, variables)
    assert code != 0, log
    return log


def _setup(tree: Path, python: Path, words: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [str(python), "setup.py", *words],
        cwd=tree,
        env=build_environment(python, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def ask(tree: Path, program: str, **variables: str) -> str:
    """Run a Python program in the tree and return what it prints."""
    environment = build_environment(Path(sys.executable), **variables)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def only_wheel(tree: Path) -> Path:
    (found,) = (tree / "dist").iterdir()
    return found


def unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_paths(wheel: Path, folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the folders in the RUNPATH of each library and extension module in a wheel, by their names' beginnings."""
    unpack(wheel, folder)
    sizes = {str(path): path.stat().st_size for path in folder.rglob("*.so")}
    found = elf_files(sizes, lambda name: io.BytesIO(Path(name).read_bytes()))
    return {Path(name).name.partition(".")[0]: needs.runpath for name, needs in found.items()}


def run(site: Path, python: Path, program: str, *, westmere: bool = False, **variables: str) -> int:
    """Run a Python program with what is unpacked at ``site``; return how it ended."""
    command = [str(python), "-c", program]
    if westmere:
        emulator = find_emulator(find_baseline("westmere"))
        command = [str(emulator.program), "-cpu", emulator.cpu, *command]
    environment = build_environment(python, PYTHONPATH=str(site), **variables)
    return subprocess.run(command, env=environment, cwd=site, check=False).returncode


def commands_of(tree: Path) -> dict[str, tuple[str, ...]]:
    """Return the units of a configured tree that may use what a Westmere has not, with the flags that let them."""
    return {
        Path(unit.file).name: flags
        for unit, flags in beyond(read_commands(tree / "build" / "compile_commands.json"), WESTMERE)
    }


def changed(tree: Path) -> list[str]:
    """Return what git sees changed or new in a tree."""
    command = ["git", "status", "--short", "--untracked-files=all"]
    asked = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    return [line[3:] for line in asked.stdout.splitlines()]


def test_a_version_is_the_variables_or_the_commits(tmp_path: Path) -> None:
    program = "from tools.generate_torch_version import *; print(get_torch_version(), get_torch_version(get_sha()))"
    plain = make_tree(tmp_path / "plain", units=0)
    assert ask(plain, program) == "2.6.0a0+gitUnknown 2.6.0a0"
    wish = {"PYTORCH_BUILD_VERSION": "2.6.0+noavx"}
    assert ask(plain, program, **wish, PYTORCH_BUILD_NUMBER="1") == "2.6.0+noavx 2.6.0+noavx"
    assert ask(plain, program, **wish, PYTORCH_BUILD_NUMBER="2") == "2.6.0+noavx.post2 2.6.0+noavx.post2"
    with pytest.raises(subprocess.CalledProcessError):
        ask(plain, program, **wish)
    checkout = make_tree(tmp_path / "checkout", units=0, version="2.7.1a0", git=True)
    first, second = ask(checkout, program).split()
    assert first == second
    assert first.startswith("2.7.1a0+git")
    assert len(first) == len("2.7.1a0+git") + 7


def test_what_cmake_is_passed(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=0)
    program = "import json; from tools.setup_helpers.cmake import options; print(json.dumps(options('2.6.0')))"
    given = {
        "USE_AVX2": "0",
        "BLAS": "OpenBLAS",
        "CMAKE_C_COMPILER_LAUNCHER": "ccache",
        "CXX_AVX2_FOUND": "0",
        "SLEEF_DISABLE_AVX2": "1",
        "BUILD_TEST": "0",
    }
    passed = json.loads(ask(tree, program, CMAKE_PREFIX_PATH="/opt/here", **given))
    assert {name: passed.get(name) for name in given} == {
        "USE_AVX2": "0",
        "BLAS": "OpenBLAS",
        "CMAKE_C_COMPILER_LAUNCHER": "ccache",
        "CXX_AVX2_FOUND": None,
        "SLEEF_DISABLE_AVX2": None,
        "BUILD_TEST": "False",
    }
    assert passed["CMAKE_BUILD_TYPE"] == "Release"
    assert passed["CMAKE_PREFIX_PATH"].endswith("site-packages;/opt/here")
    assert passed["CMAKE_INSTALL_PREFIX"] == str(tree / "torch")
    with pytest.raises(subprocess.CalledProcessError):
        ask(tree, program, CMAKE_INSTALL_PREFIX="/usr")


def test_cflags_count_for_cxx_where_it_has_none(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=0)
    program = "import os; from tools.setup_helpers import env; print(os.environ['CXXFLAGS'])"
    assert ask(tree, program, CFLAGS="-march=westmere") == "-march=westmere"
    assert ask(tree, program, CFLAGS="-march=westmere", CXXFLAGS="-O1") == "-O1"


def test_rewriting_for_rocm_twice_changes_what_is_rewritten_in_place_again(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=0, git=True)
    command = [sys.executable, "-I", "-B", str(tree / "tools" / "amd_build" / "build_amd.py")]
    made = [
        "torch/csrc/cuda/Module.cpp",
        "aten/src/ATen/hip/HIPConfig.h.in",
        "aten/src/ATen/hip/HIPContext.cpp",
        "aten/src/ATen/native/hip/Scale.hip",
        "c10/hip/HIPStream.cpp",
        "c10/hip/HIPStream.h",
        "c10/hip/impl/hip_cmake_macros.h.in",
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert changed(tree) == made
    before = {name: (tree / name).read_text() for name in made}
    assert "hip::getCurrentHIPStream" in before["aten/src/ATen/hip/HIPContext.cpp"]
    subprocess.run(command, check=True, capture_output=True)
    again = [name for name in made if (tree / name).read_text() != before[name]]
    assert (changed(tree), again) == (made, ["torch/csrc/cuda/Module.cpp"])
    assert " hip/hip/driver_types.h" in (tree / again[0]).read_text()


def test_a_checkout_has_a_tag_and_a_submodule(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", git=True)
    assert changed(tree) == []
    clone = ["git", "-c", "protocol.file.allow=always", "clone", "--quiet", "--branch", "v2.6.0", "--recursive"]
    subprocess.run([*clone, tree.as_uri(), tmp_path / "clone"], check=True, capture_output=True)
    assert (tmp_path / "clone" / "third_party" / "fmt" / "include" / "fmt" / "standin.h").is_file()
    assert (tmp_path / "clone" / ".gitmodules").read_text().count("path = ") == 1


def test_debtools_patch_for_debians_source_applies_and_gives_the_version_back(tmp_path: Path) -> None:
    program = "from tools.generate_torch_version import get_torch_version as get; print(get())"
    tree = make_tree(tmp_path / "pytorch", units=0, debian=True)
    wish = {"PYTORCH_BUILD_VERSION": "2.6.0+noavx", "PYTORCH_BUILD_NUMBER": "1"}
    assert ask(tree, program, **wish) == "2.6.0+debian"
    apply_series(read_series(PATCHES), tree)
    assert (ask(tree, program, **wish), ask(tree, program)) == ("2.6.0+noavx", "2.6.0+debian")
    assert [path.name for path in (tree / "third_party").iterdir()] == ["README.md"]


@pytest.mark.slow
def test_configure_once_and_the_guides_flags_change_nothing(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch")
    variables = SAFE | {"USE_AVX": "0", "USE_AVX2": "0", "BLAS": "OpenBLAS", "CFLAGS": "-march=westmere"}
    log = setup(tree, python, "build", "--cmake-only", **variables)
    assert not (tree / "torch" / "lib").exists()
    assert sorted(unused_variables(log)) == ["USE_AVX", "USE_AVX2"]
    summary = summary_values(log)
    told = {name: is_true(summary[name]) for name in ("USE_FBGEMM", "USE_CUDA", "USE_XNNPACK", "BUILD_TEST")}
    assert told == {"USE_FBGEMM": False, "USE_CUDA": False, "USE_XNNPACK": True, "BUILD_TEST": False}
    assert (summary["BLAS"], summary["CXX flags"]) == ("open", "-march=westmere")
    kernels = {name for name in commands_of(tree) if ".AVX" in name}
    assert kernels == {
        f"{kernel}.cpp.{unit}.cpp"
        for kernel in ("BinaryOpsKernel", "BlasKernel", "QuantizedOpKernels", "ReduceOpsKernel", "UnaryOpsKernel")
        for unit in ("AVX2", "AVX512")
    }
    assert commands_of(tree).keys() - kernels == {"avx2.c", "purecfma.c", "embedding_avx2.cc"}
    again = setup(tree, python, "build", "--cmake-only", **FREE, BLAS="MKL")
    assert "Performing Test" not in again
    cache = read_cache(tree / "build" / "CMakeCache.txt")
    assert (cache["BLAS"].value, cache["USE_AVX2"].type) == ("OpenBLAS", "UNINITIALIZED")
    assert cache["TORCH_BUILD_VERSION"].value == "2.6.0a0+gitUnknown"


@pytest.mark.slow
def test_level_free_has_no_avx_at_all(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=1)
    before = tmp_path / "before.cmake"
    before.write_text(BEFORE)
    variables = FREE | {"CMAKE_PROJECT_INCLUDE_BEFORE": str(before)}
    log = setup(tree, python, "build", "--cmake-only", **variables)
    assert unused_variables(log) == []
    # Of sleef a unit is left that no switch turns off, as of the real one.
    assert commands_of(tree).keys() == {"purecfma.c"}
    shutil.rmtree(tree / "build")
    before.write_text(BEFORE + SLEEF)
    setup(tree, python, "bdist_wheel", **variables)
    assert commands_of(tree) == {}
    site = unpack(only_wheel(tree), tmp_path / "site")
    library = site / "torch" / "lib" / "libtorch_cpu.so"
    code = subprocess.run(["objdump", "--disassemble", library], capture_output=True, text=True, check=True).stdout
    assert "sum_kernel" in code
    assert "%ymm" not in code
    assert run(site, python, f"{ADD}{QUANTIZED}assert torch._count_units() == 1", westmere=True) == 0
    # What is not there cannot be asked for either.
    assert run(site, python, ADD, westmere=True, ATEN_CPU_CAPABILITY="avx2") == 0


@pytest.mark.slow
def test_level_dispatch_safe_runs_on_a_westmere_unless_it_is_told_to_use_avx2(
    python: Path, wheel: Path, tmp_path: Path
) -> None:
    minor = "{}{}".format(*sys.version_info)
    assert wheel.name == f"torch-2.6.0+noavx-cp{minor}-cp{minor}-linux_x86_64.whl"
    found = run_paths(wheel, tmp_path)
    # Flags that Python was built with may put a folder of its own before.
    assert found.pop("_C")[-1] == "$ORIGIN/lib"
    assert found == dict.fromkeys(["libc10", "libtorch", "libtorch_cpu", "libtorch_python"], ("$ORIGIN",))
    # The units' constants make nothing of 0 but 1.
    told = f"{ADD}{QUANTIZED}assert torch.__version__ == torch.version.__version__ == '2.6.0+noavx'; "
    told += "assert (torch._count_units(), torch._run_units(0)) == (12, 12.0); "
    assert run(tmp_path, python, told) == 0
    level = "assert torch.backends.cpu.get_cpu_capability() == 'NO AVX'; "
    assert run(tmp_path, python, told + level, westmere=True) == 0
    assert run(tmp_path, python, ADD, westmere=True, ATEN_CPU_CAPABILITY="nonsense") == 0
    assert run(tmp_path, python, ADD, westmere=True, ATEN_CPU_CAPABILITY="avx2") == -signal.SIGILL


@pytest.mark.slow
def test_fbgemm_executes_avx_on_a_westmere(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=0)
    setup(tree, python, "bdist_wheel", **SAFE | {"USE_FBGEMM": "1"})
    assert only_wheel(tree).name.startswith("torch-2.6.0a0+gitunknown-")
    site = unpack(only_wheel(tree), tmp_path / "site")
    if " avx2 " in Path("/proc/cpuinfo").read_text():
        assert run(site, python, QUANTIZED) == 0
    assert run(site, python, ADD, westmere=True) == 0
    assert run(site, python, QUANTIZED, westmere=True) == -signal.SIGILL


@pytest.mark.slow
def test_the_build_tells_its_steps_and_costs_little(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    log = setup(tree, python, "bdist_wheel", **SAFE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of two processors' time: a busy machine takes longer by the clock.
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 60
    steps = [step for line in log.splitlines() if (step := parse_status(line)) is not None]
    # CMake runs again after the code is generated, and ninja counts anew.
    assert [step.what for step in steps[:2]] == ["Generating ATen sources", "Re-running CMake..."]
    assert steps[0].total == 2
    kernel = "caffe2/CMakeFiles/torch_cpu.dir/__/aten/src/ATen/native/cpu/BinaryOpsKernel.cpp.AVX2.cpp.o"
    assert f"Building CXX object {kernel}" in {step.what for step in steps}
    # Beside the units: four libraries, torch/version.py and the installation.
    units = len(read_commands(tree / "build" / "compile_commands.json"))
    assert (units, steps[-1].total) == (42, units + 6)
    assert steps[-1].what == "Install the project..."


@pytest.mark.slow
def test_debians_flavour_prints_commands_and_has_a_run_path_by_our_patch(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=1, debian=True)
    generic = {"BLAS": "Generic", "GENERIC_BLAS_LIBRARIES": "blas"}
    assert "has none of" in refused(tree, python, "build", "--cmake-only", **SAFE, **generic)
    log = setup(tree, python, "bdist_wheel", **SAFE, **generic, USE_SYSTEM_LIBS="1")
    steps = [step.what for line in log.splitlines() if (step := parse_status(line)) is not None]
    assert not [step for step in steps if step.startswith("Building CXX object")]
    assert [step for step in steps if " -c " in step and "Unit000.cpp" in step]
    assert read_cache(tree / "build" / "CMakeCache.txt")["BLAS_LIBRARIES"].value.endswith("libblas.so")
    assert only_wheel(tree).name.startswith("torch-2.6.0+debian-")
    site = tmp_path / "site"
    found = run_paths(only_wheel(tree), site)
    assert {name for name, folders in found.items() if not folders} == found.keys() - {"_C"}
    assert run(site, python, ADD) == 1
    assert run(site, python, ADD, LD_LIBRARY_PATH=str(site / "torch" / "lib")) == 0
    apply_series(read_series(PATCHES), tree)
    shutil.rmtree(tree / "dist")
    setup(tree, python, "bdist_wheel", **SAFE, **generic, USE_SYSTEM_LIBS="1")
    mended = tmp_path / "mended"
    assert all(run_paths(only_wheel(tree), mended).values())
    assert run(mended, python, ADD) == 0


@pytest.mark.slow
def test_rocm_is_off_without_hip_and_needs_what_is_rewritten(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=0)
    wanted = {**SAFE, "USE_ROCM": "1", "PYTORCH_ROCM_ARCH": "gfx1030"}
    without = make_rocm(tmp_path / "without", without=["hip-dev"])
    log = setup(tree, python, "build", "--cmake-only", **wanted, ROCM_PATH=str(without))
    assert summary_values(log)["USE_ROCM"] == "OFF"
    shutil.rmtree(tree / "build")
    here = wanted | {"ROCM_PATH": str(make_rocm(tmp_path / "rocm"))}
    log = refused(tree, python, "build", "--cmake-only", **here)
    assert "c10/hip/impl/hip_cmake_macros.h.in does not exist" in log
    subprocess.run([python, tree / "tools" / "amd_build" / "build_amd.py"], check=True, capture_output=True)
    log = setup(tree, python, "build", "--cmake-only", "--cmake", **here)
    assert "Building PyTorch for GPU arch: gfx1030" in log
    assert summary_values(log)["USE_ROCM"] == "ON"
    # On by default, and downloaded or built in the middle of everything.
    assert "download step for 'aotriton_external'" in refused(tree, python, "bdist_wheel", **here)
    log = setup(tree, python, "bdist_wheel", "--cmake", **here, USE_FLASH_ATTENTION="0", USE_MEM_EFF_ATTENTION="0")
    assert "Building HIPCC object caffe2/CMakeFiles/torch_hip.dir/" in log
    site = unpack(only_wheel(tree), tmp_path / "site")
    assert run(site, python, f"{ADD}assert torch.version.hip == '6.3.4'") == 0
    gone = refused(tree, python, "build", "--cmake-only", "--cmake", **here | {"ROCM_PATH": "/nowhere"})
    assert "/nowhere, which does not exist" in gone


@pytest.mark.slow
def test_slow_units_are_slow_and_wide_units_take_memory(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=1, slow=1, memory=200, wide=1)
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    measure += "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime, used.ru_maxrss / 1024)"

    def cost(unit: str) -> tuple[float, float]:
        command = ["c++", "-O3", "-c", f"aten/src/ATen/native/{unit}.cpp", "-o", "unit.o"]
        done = subprocess.run(
            [sys.executable, "-c", measure, *command], cwd=tree, capture_output=True, text=True, check=True
        )
        seconds, memory = done.stdout.split()
        return float(seconds), float(memory)

    plain, slow, wide = (cost(f"Unit00{number}") for number in range(3))
    assert slow[0] > 5 * plain[0]
    assert plain[1] < 100
    assert 160 < wide[1] < 280


@pytest.mark.slow
def test_a_submodule_that_is_missing_is_named(python: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "pytorch", units=0)
    shutil.rmtree(tree / "third_party" / "fbgemm" / "third_party")
    log = refused(tree, python, "build", "--cmake-only", **SAFE)
    assert "asmjit has none of CMakeLists.txt: run git submodule update --init --recursive" in log


@pytest.mark.slow
def test_the_companion_is_compiled_against_torch(python: Path, wheel: Path, tmp_path: Path) -> None:
    site = unpack(wheel, tmp_path / "site")

    def build(name: str, *words: str, **variables: str) -> tuple[Path, str]:
        tree = make_vision_tree(tmp_path / name)
        log = setup(tree, python, *words, PYTHONPATH=str(site), BUILD_VERSION="0.21.0", **variables)
        return tree, log

    program = (
        "import torchvision; boxes = [[0, 0, 1, 1], [0, 0, 1, 1.1], [5, 5, 6, 6]]; "
        "assert torchvision.ops.nms(boxes, [0.9, 0.8, 0.7], 0.5) == [0, 2]; "
        "assert sorted(torchvision.io.codecs()) == {codecs}; from torchvision import version; "
        "assert (version.force_cuda, version.gpus, version.built_against) == (True, ['gfx1030'], '2.6.0+noavx')"
    )
    gpu = {"FORCE_CUDA": "1", "PYTORCH_ROCM_ARCH": "gfx1030"}
    off = {"TORCHVISION_USE_PNG": "0", "TORCHVISION_USE_JPEG": "0"}
    tree, _ = build("plain", "bdist_wheel", **gpu, **off)
    assert only_wheel(tree).name.startswith("torchvision-0.21.0-cp")
    unpack(only_wheel(tree), site)
    assert run(site, python, program.format(codecs=[])) == 0
    assert run(site, python, program.format(codecs=[]), westmere=True) == 0
    # What is here of the codecs is built in; what is not is left out with a warning, and no error.
    here = {"png": shutil.which("libpng-config") is not None, "jpeg": Path("/usr/include/jpeglib.h").is_file()}
    tree, log = build("codecs", "bdist_wheel", **gpu)
    for codec, there in here.items():
        assert f"Building torchvision {'with' if there else 'without'} {codec.upper()} support" in log
    unpack(only_wheel(tree), site)
    assert run(site, python, program.format(codecs=sorted(codec for codec, there in here.items() if there))) == 0
    _, log = build("without", "egg_info", PATH=str(python.parent))
    assert "Building torchvision without PNG support" in log
