"""Everything that can go wrong with a build of PyTorch, looked for before the first minute is spent.

Nothing is changed, and the network is not used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.checks import Check, fix_command, refuse
from debtool.build.machine import Machine, read_machine
from debtool.model.errors import InputError, Issue
from debtool.torch.companions import check_companions
from debtool.torch.libraries import check_libraries
from debtool.torch.python import check_python
from debtool.torch.rocm_checks import check_rocm
from debtool.torch.room import check_cpu, check_disk, check_memory
from debtool.torch.toolchain import check_compilers, check_tools
from debtool.torch.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.version import Version

# Handed out together: whoever looks also refuses, or prints what mends it.
__all__ = ["Check", "Wanted", "fix_command", "preflight", "refuse", "require_known"]


def preflight(
    wanted: Wanted,
    *,
    root: Path = Path("/"),
    machine: Machine | None = None,
    architecture: str | None = None,
    glibc: str | None = None,
) -> list[Check]:
    """Return the checks of this machine for the build ``wanted``, in the order in which they are mended best.

    Args:
        wanted: The build.
        root: The system whose files are looked at: libraries, ROCm, packages. Programs are taken from ``wanted.path``.
        machine: Its processors and memory; by default this machine's.
        architecture: Its architecture, as uname(2) says it; by default this machine's.
        glibc: Its C library's version; by default this machine's.
    """
    checks = [
        *check_cpu(wanted, architecture or os.uname().machine, root),
        *check_memory(wanted, machine or read_machine(root)),
        *check_disk(wanted),
        *check_compilers(wanted),
        *check_tools(wanted),
        *check_python(wanted, glibc or _glibc(), root),
        *check_libraries(wanted, root),
    ]
    if not wanted.cpu_only:
        checks += check_rocm(wanted, root)
    return [*checks, *check_companions(wanted)]


def require_known(version: Version, known: Sequence[Version]) -> None:
    """Raise ``InputError``, which names those that are, unless PyTorch's ``version`` is among the ``known`` ones.

    A local part (``+rocm6.3.noavx``) does not count.
    """
    if version.public in {one.public for one in known}:
        return
    names = ", ".join(map(str, sorted(known)))
    problem = f"no settings are known for PyTorch {version}"
    raise InputError(Issue(problem, fix=f"one of {names}", field="--version"))


def _glibc() -> str:
    """Return the version of the C library that runs this (confstr(3))."""
    return (os.confstr("CS_GNU_LIBC_VERSION") or "glibc 0").rpartition(" ")[2]
