"""Builds the stand-in for torchvision against the torch that is installed, as torchvision is built.

Variables: BUILD_VERSION, PYTORCH_VERSION, TORCHVISION_USE_PNG, TORCHVISION_USE_JPEG, TORCHVISION_INCLUDE, FORCE_CUDA,
PYTORCH_ROCM_ARCH. A codec that is wanted and not found is left out with a warning, as torchvision does it.
"""

# ruff: noqa: T201
# It is a program of its own, and tells what it does.

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import warnings
from pathlib import Path

import torch
from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).resolve().parent
os.chdir(ROOT)


def version() -> tuple[str, str]:
    """Return the version, and the commit or ``Unknown``."""
    commit = "Unknown"
    if shutil.which("git"):
        asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = asked.stdout.strip() if asked.returncode == 0 else commit
    own = (ROOT / "version.txt").read_text().strip()
    return os.environ.get("BUILD_VERSION") or (own if commit == "Unknown" else f"{own}+{commit[:7]}"), commit


def wants(codec: str) -> bool:
    """Return whether a codec is to be built in; "1" alone says yes, and so does saying nothing."""
    return os.environ.get(f"TORCHVISION_USE_{codec}", "1") == "1"


def find_png() -> bool:
    """Return whether libpng is here: its own program says so."""
    return shutil.which("libpng-config") is not None


def find_jpeg() -> bool:
    """Return whether libjpeg's header is where headers are, or where TORCHVISION_INCLUDE says."""
    folders = [*os.environ.get("TORCHVISION_INCLUDE", "").split(os.pathsep), "/usr/include", "/usr/local/include"]
    return any(Path(folder, "jpeglib.h").is_file() for folder in folders if folder)


def extension() -> Extension:
    """Return the extension module, with the codecs that are wanted and found."""
    folder = Path(torch.__file__).parent
    codecs = []
    for name, found in (("PNG", find_png), ("JPEG", find_jpeg)):
        if wants(name) and found():
            print(f"Building torchvision with {name} support")
            codecs.append(name)
        elif wants(name):
            warnings.warn(f"Building torchvision without {name} support", stacklevel=1)
    return Extension(
        "torchvision._C",
        sources=["torchvision/csrc/vision.cpp"],
        language="c++",
        include_dirs=[str(folder / "include")],
        library_dirs=[str(folder / "lib")],
        libraries=["c10", "torch", "torch_cpu", *(name.lower() for name in codecs)],
        define_macros=[(f"{name}_FOUND", "1") for name in codecs],
        extra_compile_args=["-std=c++17", "-g0"],
    )


def main() -> None:
    """Write what is known of this build beside the package, then let setuptools do the rest."""
    name, commit = version()
    (ROOT / "torchvision" / "version.py").write_text(
        f"__version__ = {name!r}\n"
        f"git_version = {commit!r}\n"
        f"built_against = {torch.__version__!r}\n"
        f"force_cuda = {os.environ.get('FORCE_CUDA', '0') == '1'}\n"
        f"gpus = {os.environ.get('PYTORCH_ROCM_ARCH', '').replace(' ', ';').split(';')!r}\n"
    )
    pin = os.environ.get("PYTORCH_VERSION")
    print(f"Building torchvision {name} for {sysconfig.get_platform()}", flush=True)
    setup(
        name="torchvision",
        version=name,
        description="A stand-in for torchvision, for tests",
        packages=find_packages(),
        ext_modules=[extension()],
        install_requires=[f"torch=={pin}" if pin else "torch"],
        python_requires=">=3.11",
    )


main()
