"""The libraries that a build of PyTorch takes from the machine, beside those of ROCm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.checks import Check, check
from debtool.build.tools import ask, find_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from debtool.build.checks import Verdict
    from debtool.torch.wanted import Wanted

_HEADERS = ("usr/include", "usr/include/x86_64-linux-gnu", "usr/local/include")

_DEBIAN_SPARE = {
    "debhelper-compat": "packs the result, which is not done",
    "dh-exec": "packs the result, which is not done",
    "dh-python": "packs the result, which is not done",
    "googletest": "BUILD_TEST=0",
    "libbenchmark-dev": "BUILD_TEST=0",
    "python3-expecttest": "BUILD_TEST=0",
    "python3-onnx": "BUILD_TEST=0",
    "glslc": "USE_VULKAN=0",
    "libvulkan-dev": "USE_VULKAN=0",
    "libvulkan-memory-allocator-dev": "USE_VULKAN=0",
    "mpi-default-dev": "USE_MPI=0",
    "llvm-19": "USE_LLVM is not set",
    "llvm-19-dev": "USE_LLVM is not set",
    "python3-numpy": "the build's own environment has it",
    "python3-setuptools": "the build's own environment has it",
    "python3-yaml": "the build's own environment has it",
    "patchelf": "packs the result, which is not done",
}
"""Build dependencies of Debian's source package that a build of the wheel alone goes without, and why."""


def check_libraries(wanted: Wanted, root: Path) -> Iterator[Check]:
    """Yield the checks of libraries below ``root``, or of what Debian's source package is built with."""
    if wanted.flavour == "debian":
        yield from _debian(wanted, root)
        return
    if wanted.settings.get("BLAS", "OpenBLAS") == "OpenBLAS":
        why = "BLAS=OpenBLAS: without it PyTorch takes a slow one of its own (2.6 cmake/Modules/FindOpenBLAS.cmake)"
        folders = [
            *_HEADERS,
            "usr/include/x86_64-linux-gnu/openblas-pthread",
            "usr/include/openblas",
            "opt/OpenBLAS/include",
        ]
        yield _header("OpenBLAS", "cblas.h", "missing", why, "libopenblas-dev", root, folders)
    if not wanted.off("USE_NUMA"):
        why = "USE_NUMA: without it memory is not placed by processor (2.6 cmake/Dependencies.cmake:766)"
        yield _header("libnuma", "numa.h", "warning", why, "libnuma-dev", root, _HEADERS)


def _header(
    name: str, file: str, verdict: Verdict, why: str, package: str, root: Path, folders: Sequence[str]
) -> Check:
    found = next((Path("/", folder, file) for folder in folders if (root / folder / file).is_file()), None)
    if found is not None:
        return check(name, "ok", str(found), file, why)
    return check(name, verdict, f"no {file}", file, why, packages=[package])


def _debian(wanted: Wanted, root: Path) -> Iterator[Check]:
    name, why = "build dependencies", "Debian's source is built against the system's libraries (debian/control)"
    wants, fix = "those of debian/control", "apt-get build-dep pytorch"
    control = None if wanted.source is None else wanted.source / "debian" / "control"
    if control is None or not control.is_file():
        yield check(name, "warning", "not looked at: the source is not here yet", wants, why, fix=fix)
        return
    tool = find_tool("dpkg-checkbuilddeps", wanted.path)
    if tool.path is None:
        yield check(name, "missing", tool.found, wants, why, packages=["dpkg-dev"])
        return
    answer = ask([tool.path, f"--admindir={root / 'var/lib/dpkg'}", control], path=wanted.path)
    unmet = answer.errors.partition("nmet build dependencies: ")[2].strip()
    if answer.code == 0:
        yield check(name, "ok", "all are installed", wants, why)
    elif not unmet:
        yield check(name, "missing", f"{tool.path} does not work: {answer.trouble}", wants, why, fix=fix)
    else:
        names = re.findall(r"([a-z0-9][a-z0-9+.-]+)(?: \([^)]*\))?", unmet)
        needed = [one for one in names if one not in _DEBIAN_SPARE]
        there = f"not installed: {', '.join(needed or names)}"
        if not needed:
            why = "the wheel alone is built without these"
        yield check(name, "missing" if needed else "ok", there, wants, why, fix=fix)
