"""What a build of PyTorch is to be, as far as the machine that builds it must be fit for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.cmake import is_true

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.version import Version

    from debtool.model.target import Target
    from debtool.torch.companions import Companion
    from debtool.torch.launchers import LauncherName
    from debtool.torch.releases import Flavour

MEMORY_PER_JOB = 5 * 2**29
"""Bytes of memory for one compiler: 2.5 GiB.

Builders of the no-AVX guide saw 35 to 45 GB with 24 jobs, 1.5 to 2 GB each; the rest is for the worst units, which come
several at once.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A build.

    Attributes:
        version: PyTorch's version.
        target: The system that the wheel is for.
        folder: Where the build goes; it need not exist yet.
        cache: Where the compiler cache is.
        path: The PATH that tools are taken from.
        cpu_only: Whether it is built without ROCm.
        gpu: The GPUs that device code is made for: ``gfx1030``.
        rocm_path: Where ROCm is.
        jobs: How many compilers are to run at once; None for as many as the machine bears.
        launcher: What is put before the compilers (`debtool.torch.launchers`).
        interpreter: The Python that builds; None for ``python3.NN`` on PATH.
        flavour: Whose source: PyTorch's own, or Debian's, which is built against the system's libraries.
        source: The source tree, where it is there already; None if it is to be cloned or fetched.
        march: The compilers' ``-march``.
        memory_per_job: Bytes of memory that one compiler is taken to need.
        settings: The build's settings, as they were chosen, by name: ``USE_KINETO`` …
        companions: What is compiled against the result.
    """

    version: Version
    target: Target
    folder: Path
    cache: Path
    path: str
    cpu_only: bool = False
    gpu: tuple[str, ...] = ()
    rocm_path: Path = Path("/opt/rocm")
    jobs: int | None = None
    launcher: LauncherName = "ccache"
    interpreter: Path | None = None
    flavour: Flavour = "upstream"
    source: Path | None = None
    march: str = "westmere"
    memory_per_job: int = MEMORY_PER_JOB
    settings: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[Companion, ...] = ()

    def off(self, setting: str) -> bool:
        """Return whether ``setting`` is switched off; one that is not chosen is on where PyTorch's default is."""
        return not is_true(self.settings.get(setting, "1"))
