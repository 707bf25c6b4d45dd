"""What is compiled against PyTorch, and whether it belongs to it: torchvision's version, and its GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from debtool.build.checks import check
from debtool.torch.releases import find_release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from debtool.build.checks import Check
    from debtool.torch.wanted import Wanted

_PAIRS = "debtool/torch/releases.toml, as Spack's py_torchvision pairs them"


@dataclass(frozen=True, slots=True)
class Companion:
    """A distribution that is compiled against PyTorch in the same run.

    Attributes:
        name: The distribution.
        version: Its version.
        environment: The variables of its build.
    """

    name: str
    version: str
    environment: Mapping[str, str]


def check_companions(wanted: Wanted) -> Iterator[Check]:
    """Check what is compiled against the build ``wanted``."""
    for one in wanted.companions:
        yield from _version(one, wanted)
        yield from _gpu(one, wanted)


def _version(one: Companion, wanted: Wanted) -> Iterator[Check]:
    release = find_release(wanted.version)
    if one.name != "torchvision" or release is None:
        return
    right = Version(one.version).base_version == release.vision
    wants = f"torchvision {release.vision}"
    why = f"it belongs to PyTorch {release.version}: {_PAIRS}"
    fix = f'version = "{release.vision}", and its source, in the stack\'s artefact torchvision'
    yield check("torchvision", "ok" if right else "warning", f"{one.name} {one.version}", wants, why, fix=fix)


def _gpu(one: Companion, wanted: Wanted) -> Iterator[Check]:
    if wanted.cpu_only:
        return
    found = one.environment.get("PYTORCH_ROCM_ARCH", "")
    right = {*found.replace(";", " ").split()} == {*wanted.gpu}
    wants = f"PYTORCH_ROCM_ARCH = {';'.join(wanted.gpu)}"
    why = "its operators must be for the GPUs that PyTorch's are for (PyTorch 2.6.0, torch/utils/cpp_extension.py)"
    fix = f"{wants} in the environment of the stack's artefact {one.name}"
    there = f"PYTORCH_ROCM_ARCH = {found}" if found else "no PYTORCH_ROCM_ARCH: those of this machine's own GPUs"
    yield check(f"{one.name}'s GPUs", "ok" if right else "missing", there, wants, why, fix=fix)
