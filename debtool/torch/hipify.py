"""PyTorch's CUDA sources rewritten for ROCm by its own script, ``tools/amd_build/build_amd.py``.

c10/hip and aten/src/ATen/hip are there before, with little more than a CMakeLists.txt in them: the sources that it
compiles, and the two files that CMake configures first, are made by this script. A ROCm build without it ends there.

The script writes into the tree, and running it again is not without effect: on 2.6.0 each further run makes a
``hip/driver_types.h`` in torch/csrc/cuda/Module.cpp one ``hip/`` longer. So it runs once, on an untouched tree. Its
result does not depend on the order of files on the disk (the same on two file systems), nor on the third_party folders
that Debian leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.git import Run

SCRIPT = "tools/amd_build/build_amd.py"
# What configure_file() reads in c10/hip/CMakeLists.txt and aten/src/ATen/CMakeLists.txt of 2.6.0.
_MADE = ("c10/hip/impl/hip_cmake_macros.h.in", "aten/src/ATen/hip/HIPConfig.h.in")
# The script looks for a ROCm older than 6 at HIP_PATH, and then keeps kernel launches as they are. The result must not
# depend on such things: nothing of the user's environment reaches it.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def hipify(tree: Path, interpreter: Path, run: Run) -> None:
    """Rewrite the untouched ``tree`` for ROCm: of 2.6.0, 593 files appear and 96 change, in about 10 s.

    Raises:
        InputError: The tree has no such script, or is rewritten already.
        OutsideError: The script failed, or has not made what CMake needs.
    """
    if not (tree / SCRIPT).is_file():
        fix = "give a whole source of PyTorch, or build with --cpu-only"
        raise InputError(Issue("has no script that rewrites it for ROCm", file=tree / SCRIPT, fix=fix))
    if is_hipified(tree):
        fix = "give the source as it comes from upstream"
        raise InputError(Issue("is rewritten for ROCm already", file=tree, field="--source", fix=fix))
    run([str(interpreter), "-I", "-B", SCRIPT], "read the log", cwd=tree, environment=_ENVIRONMENT)
    if missing := [name for name in _MADE if not (tree / name).exists()]:
        problem = f"{SCRIPT} has not made {' and '.join(missing)}, which CMake needs for ROCm"
        raise OutsideError(Issue(problem, file=tree, fix="read the log of the build"))


def is_hipified(tree: Path) -> bool:
    """Return whether the script has run on ``tree``; it may have been stopped in the middle."""
    return any((tree / name).exists() for name in _MADE)
