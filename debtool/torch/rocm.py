"""ROCm as a build of PyTorch finds it: where it is, which release, and which of its components are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import Field, field_validator

from debtool.build.tools import version_in
from debtool.model.definition import Strict, parse_definition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.torch.wanted import Wanted

_FILE = Path(__file__).with_name("rocm.toml")
_MAX_LINKS = 40  # as path_resolution(7)
_HEADER = "include/rocm-core/rocm_version.h"
_KERNELS = "lib/rocblas/library/TensileLibrary_lazy_{gpu}.dat"
_BITCODE = "amdgcn/bitcode/oclc_isa_version_{number}.bc"


class Component(Strict):
    """A part of ROCm that a build needs.

    Attributes:
        name: What people call it.
        package: AMD's package that brings it.
        cmake: The name that ``find_package`` gets, if its configuration is looked for.
        files: Further files that must be there; ``a|b`` is one of both.
        torch: The versions of PyTorch that need it (PEP 440); "" for all.
        rocm: The releases of ROCm that have it apart; "" for all.
        settings: It is needed while none of these settings is off.
        why: What needs it.
        source: Who says so.
        recorded: Whether its files were seen in a list of what ROCm installs.
    """

    name: str
    package: str
    cmake: str | None = None
    files: tuple[str, ...] = ()
    torch: str = ""
    rocm: str = ""
    settings: tuple[str, ...] = ()
    why: str
    source: str
    recorded: bool = False

    @field_validator("torch", "rocm")
    @classmethod
    def _specifier(cls, value: str) -> str:
        SpecifierSet(value)
        return value

    @property
    def reason(self) -> str:
        """What needs it, and who says so."""
        return f"{self.why}; {self.source}"

    def needed(self, wanted: Wanted, release: Version) -> bool:
        """Return whether the build ``wanted`` needs it of the ROCm ``release``."""
        versions = SpecifierSet(self.torch).contains(wanted.version, prereleases=True)
        return versions and release in SpecifierSet(self.rocm) and not any(map(wanted.off, self.settings))

    def absent(self, folder: Path) -> list[str]:
        """Return what is not below ``folder``, the one of ROCm."""
        lost = [file for file in self.files if not any((folder / one).exists() for one in file.split("|"))]
        if self.cmake is not None and not any((folder / name).is_file() for name in _configurations(self.cmake)):
            lost.insert(0, next(_configurations(self.cmake)))
        return lost


class StandIn(Strict):
    """A GPU that rocBLAS has no kernels for, and the one that it passes for.

    Attributes:
        gpu: The GPU.
        runs: The GPU whose code it runs.
        override: What ``HSA_OVERRIDE_GFX_VERSION`` must be for that.
        source: Who says so.
    """

    gpu: str
    runs: str
    override: str
    source: str


class Caution(Strict):
    """What a user must know of a release.

    Attributes:
        rocm: The releases (PEP 440).
        codename: The distribution's release that it is said of; None for all.
        problem: What it is.
        source: Who says so.
    """

    rocm: str
    codename: str | None = None
    problem: str
    source: str


class RocmNeeds(Strict):
    """Everything in ``rocm.toml``."""

    component: tuple[Component, ...]
    stand_in: tuple[StandIn, ...] = Field(alias="stand-in")
    caution: tuple[Caution, ...]


@cache
def rocm_needs() -> RocmNeeds:
    """Return what builds need of ROCm."""
    return parse_definition(_FILE.read_text(encoding="utf-8"), _FILE, RocmNeeds, "docs/torch.md")


@dataclass(frozen=True, slots=True)
class Installation:
    """ROCm on a machine.

    Attributes:
        named: Its folder as the user names it, ``/opt/rocm``.
        folder: Where that is read, links followed; None if there is none.
        release: Its release; None if it does not say one.
        side_by_side: Whether it was installed from AMD's side-by-side packages (``rocblas6.3.4``).
    """

    named: Path
    folder: Path | None
    release: Version | None
    side_by_side: bool

    def package(self, name: str) -> str:
        """Return what the package ``name`` is called here: both kinds have the same files and exclude each other."""
        return f"{name}{self.release}" if self.side_by_side else name

    def has_kernels(self, gpu: str) -> bool:
        """Return whether rocBLAS has kernels for ``gpu``."""
        return self.folder is not None and (self.folder / _KERNELS.format(gpu=gpu)).is_file()

    def has_device_code(self, gpu: str) -> bool:
        """Return whether the compiler's device libraries know ``gpu``."""
        number = gpu.removeprefix("gfx")
        return self.folder is not None and (self.folder / _BITCODE.format(number=number)).is_file()


def read_rocm(path: Path, root: Path = Path("/")) -> Installation:
    """Return the ROCm at ``path`` of the system below ``root``."""
    folder = follow(path, root)
    if not folder.is_dir():
        return Installation(path, None, None, side_by_side=False)
    release = _release(folder)
    owned = root / "var/lib/dpkg/info" / f"rocm-core{release}.list"
    return Installation(path, folder, release, side_by_side=release is not None and owned.is_file())


def installations(root: Path = Path("/")) -> list[Path]:
    """Return the folders of releases of ROCm below ``/opt`` of the system below ``root``, as that system names them."""
    return [Path("/opt", found.name) for found in sorted((root / "opt").glob("rocm-[0-9]*")) if found.is_dir()]


def follow(path: Path, root: Path) -> Path:
    """Return where ``path`` of the system below ``root`` is found: ``/opt/rocm`` is a link to a link of alternatives.

    Links in the middle of a path are left to the kernel.
    """
    here = root / path.absolute().relative_to("/")
    for _ in range(_MAX_LINKS):
        if not here.is_symlink():
            break
        link = here.readlink()
        here = root / link.relative_to("/") if link.is_absolute() else here.parent / link
    return here


def _release(folder: Path) -> Version | None:
    """Return the release that the files of ROCm at ``folder`` say; with its build number, ``6.3.4-76``, as one line."""
    try:
        if version := version_in((folder / ".info" / "version").read_text(encoding="utf-8", errors="replace")):
            return version
    except OSError:
        pass
    try:
        text = (folder / _HEADER).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    numbers = [re.search(rf"ROCM_VERSION_{part} +([0-9]+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    found = [match[1] for match in numbers if match]
    return Version(".".join(found)) if len(found) == len(numbers) else None


def _configurations(name: str) -> Iterator[str]:
    """Yield where ``find_package(name)`` finds a configuration (cmake-commands(7), Config Mode, Unix)."""
    for library in ("lib/cmake", "lib64/cmake", "share/cmake"):
        yield f"{library}/{name}/{name.lower()}-config.cmake"
        yield f"{library}/{name}/{name}Config.cmake"
