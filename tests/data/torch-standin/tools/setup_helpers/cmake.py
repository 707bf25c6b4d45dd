"""Calls CMake: which variables it is passed, when it configures, and how it builds."""

# ruff: noqa: T201
# It is a program of its own, and tells what it does.

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from .env import BUILD_DIR, is_off

_PREFIXES = ("BUILD_", "USE_", "CMAKE_")
_SUFFIXES = ("EXITCODE", "EXITCODE__TRYRUN_OUTPUT")
# Passed on under their own names, though they begin otherwise.
# fmt: off
# One name a line would be a page.
_OTHERS = frozenset(
    {
        "ATEN_THREADING", "BLAS", "CAFFE2_USE_MSVC_STATIC_RUNTIME", "CUDA_HOST_COMPILER", "CUDA_NVCC_EXECUTABLE",
        "CUDA_SEPARABLE_COMPILATION", "CUDNN_INCLUDE_DIR", "CUDNN_LIBRARY", "CUDNN_ROOT",
        "EXPERIMENTAL_SINGLE_THREAD_POOL", "INSTALL_TEST", "INTEL_MKL_DIR", "INTEL_OMP_DIR", "JAVA_HOME",
        "MKLDNN_CPU_RUNTIME", "MKL_THREADING", "MSVC_Z7_OVERRIDE", "Numa_INCLUDE_DIR", "Numa_LIBRARIES", "ONNX_ML",
        "ONNX_NAMESPACE", "OPENSSL_ROOT_DIR", "PYTHON_LIB_REL_PATH", "SELECTED_OP_LIST", "STATIC_DISPATCH_BACKEND",
        "TORCH_CUDA_ARCH_LIST", "TORCH_XPU_ARCH_LIST", "TRACING_BASED", "UBSAN_FLAGS", "WERROR", "WITH_BLAS",
    }
)
# fmt: on
_RENAMED = {
    "_GLIBCXX_USE_CXX11_ABI": "GLIBCXX_USE_CXX11_ABI",
    "CUDNN_LIB_DIR": "CUDNN_LIBRARY",
    "USE_CUDA_STATIC_LINK": "CAFFE2_STATIC_LINK_CUDA",
}
_INSTALL = "CMAKE_INSTALL_PREFIX"

USE_NINJA = not is_off("USE_NINJA") and shutil.which("ninja") is not None
if "CMAKE_GENERATOR" in os.environ:
    USE_NINJA = os.environ["CMAKE_GENERATOR"].lower() == "ninja"


def cached_values() -> dict[str, str]:
    """Return what CMakeCache.txt has; nothing if there is none."""
    file = Path(BUILD_DIR, "CMakeCache.txt")
    lines = file.read_text().splitlines() if file.is_file() else []
    entries = [line.partition("=") for line in lines if "=" in line and not line.startswith(("#", "//"))]
    return {name.partition(":")[0]: value for name, _, value in entries}


def options(version: str) -> dict[str, str]:
    """Return the -D options for CMake, from this process's variables."""
    passed: dict[str, str] = {}
    for name, value in os.environ.items():
        if name in _RENAMED:
            passed[_RENAMED[name]] = value
        elif name in _OTHERS or name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
            passed[name] = value
    places = [sysconfig.get_path("purelib"), passed.get("CMAKE_PREFIX_PATH", "")]
    passed["CMAKE_PREFIX_PATH"] = ";".join(filter(None, places))
    passed |= {"BUILD_PYTHON": "True", "BUILD_TEST": str(not is_off("BUILD_TEST"))}
    passed["USE_NUMPY"] = str(not is_off("USE_NUMPY"))
    if _INSTALL in passed:
        print(f"{_INSTALL} is not for the environment: the build sets it")
        sys.exit(1)
    passed[_INSTALL] = str(Path("torch").absolute())
    return passed | {"Python_EXECUTABLE": sys.executable, "TORCH_BUILD_VERSION": version}


def configure(version: str, *, again: bool) -> None:
    """Run CMake, unless an earlier run has left a build that is ready; ``again`` forgets that one."""
    cache = Path(BUILD_DIR, "CMakeCache.txt")
    if again:
        cache.unlink(missing_ok=True)
    if cache.exists() and (not USE_NINJA or Path(BUILD_DIR, "build.ninja").exists()):
        return
    Path(BUILD_DIR).mkdir(exist_ok=True)
    command = ["cmake"]
    if USE_NINJA:
        command.append("-GNinja")
    command += [f"-D{name}={value}" for name, value in sorted(options(version).items())]
    _run([*command, str(Path.cwd())])


def build() -> None:
    """Build and install into ``torch``; MAX_JOBS says how many jobs run at once."""
    kind = cached_values().get("CMAKE_BUILD_TYPE", os.environ["CMAKE_BUILD_TYPE"])
    command = ["cmake", "--build", ".", "--target", "install", "--config", kind]
    jobs = os.environ.get("MAX_JOBS") or ("" if USE_NINJA else str(os.cpu_count() or 1))
    if jobs:
        command += ["--", "-j", jobs]
    _run(command)


def _run(command: list[str]) -> None:
    print(" ".join(command), flush=True)
    if subprocess.run(command, cwd=BUILD_DIR, check=False).returncode:
        sys.exit(1)
