"""Builds the stand-in as PyTorch is built: ``setup.py build --cmake-only`` configures, ``setup.py bdist_wheel`` packs.

The environment says how (tools/setup_helpers); everything happens in the tree, in ``build`` and ``torch``.
"""

# ruff: noqa: T201
# It is a program of its own, and tells what it does.

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent
os.chdir(ROOT)
# Called as a PEP 517 backend, Python has no reason to look here.
sys.path.insert(0, str(ROOT))

from tools.generate_torch_version import get_torch_version  # noqa: E402 -- found by the line above
from tools.setup_helpers import cmake  # noqa: E402 -- the same

VENDORED = ("gloo", "cpuinfo", "onnx", "fbgemm", "cutlass")
PROOFS = ("CMakeLists.txt", "Makefile", "setup.py", "LICENSE", "LICENSE.md", "LICENSE.txt")


def check_submodules() -> None:
    """End the build unless the submodules are there; all missing at once are fetched first."""
    # Any value but none will do, "0" as well.
    if os.environ.get("USE_SYSTEM_LIBS"):
        return
    modules = ROOT / ".gitmodules"
    folders = [ROOT / "third_party" / name for name in VENDORED]
    if modules.exists():
        lines = [line.strip() for line in modules.read_text().splitlines()]
        folders = [ROOT / line.partition("=")[2].strip() for line in lines if line.startswith("path")]
    if not any(folder.is_dir() and any(folder.iterdir()) for folder in folders):
        print("No submodule is there: trying to fetch them", flush=True)
        subprocess.run(["git", "submodule", "update", "--init", "--recursive"], check=False)
    asmjit = ROOT / "third_party/fbgemm/third_party/asmjit"
    for folder, names in [*((one, PROOFS) for one in folders), (asmjit, PROOFS[:1])]:
        if not any((folder / name).exists() for name in names):
            print(f"{folder} has none of {', '.join(names)}: run git submodule update --init --recursive")
            sys.exit(1)


class BuildExtension(build_ext):
    """Copies CMake's list of commands to where editors look for it."""

    def build_extensions(self) -> None:
        """Compile the extension module."""
        shutil.copyfile("build/compile_commands.json", "compile_commands.json")
        super().build_extensions()


class Wheel(bdist_wheel):
    """Packs with the licences of third_party below our own, in the tree's own file."""

    def run(self) -> None:
        """Pack; a build that is killed meanwhile leaves LICENSE longer than it was, here as in PyTorch."""
        licence = ROOT / "LICENSE"
        own = licence.read_text()
        bundled = sorted((ROOT / "third_party").glob("*/LICENSE"))
        licence.write_text("\n".join([own, *(file.read_text() for file in bundled)]))
        try:
            super().run()
        finally:
            licence.write_text(own)


def package_files() -> list[str]:
    """Return what of torch is packed beside its Python modules."""
    installed = [*Path("torch/lib").glob("*.so*"), *Path("torch/include").rglob("*.h")]
    return sorted(str(path.relative_to("torch")) for path in installed)


def main() -> None:
    """Configure and build what is not built, then let setuptools do the rest."""
    version = get_torch_version()
    print(f"Building wheel torch-{version}")
    words = sys.argv[1:]
    again, cmake_only = "--cmake" in words, "--cmake-only" in words
    sys.argv[1:] = ["build" if word == "rebuild" else word for word in words if word not in {"--cmake", "--cmake-only"}]
    if not {"clean", "egg_info", "sdist"} & set(words):
        print(f"-- Building version {version}", flush=True)
        check_submodules()
        cmake.configure(version, again=again)
        if cmake_only:
            print("CMake has run; look at build/CMakeCache.txt, then build.")
            sys.exit()
        cmake.build()
    setup(
        name="torch",
        version=version,
        description="A stand-in for PyTorch, for tests",
        packages=find_packages(include=["torch", "torch.*"]),
        package_data={"torch": package_files()},
        ext_modules=[
            Extension(
                "torch._C",
                sources=["torch/csrc/stub.c"],
                libraries=["torch_python"],
                library_dirs=[str(ROOT / "torch/lib")],
                extra_link_args=["-Wl,-rpath,$ORIGIN/lib"],
            )
        ],
        cmdclass={"bdist_wheel": Wheel, "build_ext": BuildExtension},
        python_requires=">=3.11",
    )


main()
