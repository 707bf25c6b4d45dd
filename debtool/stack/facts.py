"""What a release must know of its wheels, read once for each and kept by the wheel's hash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from packaging.utils import NormalizedName
from packaging.version import Version

from debtool.deb.files import replace_file, sha256_of
from debtool.elf.gpu import GpuCode, read_gpu_targets
from debtool.elf.needs import DlopenNote, ElfNeeds, elf_files
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from debtool.model.target import Target
    from debtool.wheel.source import Wheel

# Raised when what is kept of a wheel changes.
_FORMAT = 4

_ROCM = ("libamdhip64.", "libhsa-runtime64.", "libhip", "libroc", "libMIOpen.")
"""What the libraries of ROCm are called."""

_CODE_OBJECTS = (".co", ".hsaco", ".hipfb")
"""Endings of files that are device code themselves."""


@dataclass(frozen=True)
class WheelFacts:
    """One wheel.

    Attributes:
        path: Its file.
        sha256: Its hash.
        name: The distribution.
        version: Its version.
        pure: Whether it runs on every platform.
        size: Bytes of its files when unpacked.
        requires: Its Requires-Dist entries.
        extras: Its Provides-Extra entries.
        elf: What its ELF files say of themselves, by path.
        gpu: The device code in its files, by path.
    """

    path: Path
    sha256: str
    name: NormalizedName
    version: Version
    pure: bool
    size: int
    requires: tuple[str, ...]
    elf: dict[str, ElfNeeds]
    extras: tuple[str, ...] = ()
    gpu: dict[str, GpuCode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FactCache:
    """Facts of wheels as JSON files below one folder, named by the wheel's hash."""

    folder: Path

    def read(self, path: Path, sha256: str, target: Target) -> WheelFacts:
        """Return the facts of the wheel at ``path`` with the hash ``sha256``; raises what `read_wheel` raises."""
        kept = self.folder / f"{sha256}.json"
        try:
            data = json.loads(kept.read_text(encoding="utf-8"))
            if data["format"] == _FORMAT and target.name in data["targets"]:
                return _from_json(data, path, sha256)
        except (OSError, ValueError, KeyError):
            data = {"targets": []}
        facts = read_wheel(path, target, sha256=sha256)
        replace_file(kept, json.dumps(_to_json(facts, [*data["targets"], target.name])).encode())
        return facts


def read_wheel(path: Path, target: Target, *, sha256: str | None = None) -> WheelFacts:
    """Return the facts of the wheel at ``path``, whose hash is computed if it is not given.

    Raises:
        InputError: It is damaged, or not for the target.
    """
    with open_wheel(path) as wheel:
        wheel.check_target(target)
        elf = elf_files(wheel.sizes, wheel.open)
        return WheelFacts(
            path=path,
            sha256=sha256 or sha256_of(path),
            name=wheel.name,
            version=wheel.version,
            pure=wheel.pure,
            size=sum(wheel.sizes.values()),
            requires=wheel.requires,
            elf=elf,
            extras=wheel.extras,
            gpu=_device_code(wheel, elf),
        )


def _device_code(wheel: Wheel, elf: Mapping[str, ElfNeeds]) -> dict[str, GpuCode]:
    """Return the device code of the files that can have some: ELF files of a wheel for ROCm, and code objects by name.

    To look at every file of every wheel would take as long again as reading them.
    """
    needed = (soname for needs in elf.values() for soname in needs.needed)
    for_rocm = any(soname.startswith(_ROCM) for soname in needed)
    found = {}
    for path, size in wheel.sizes.items():
        if (for_rocm and path in elf) or path.endswith(_CODE_OBJECTS):
            code = read_gpu_targets(partial(wheel.open, path), size)
            if code is not None:
                found[path] = code
    return found


def _to_json(facts: WheelFacts, targets: list[str]) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "targets": targets,
        "name": facts.name,
        "version": str(facts.version),
        "pure": facts.pure,
        "size": facts.size,
        "requires": facts.requires,
        "extras": facts.extras,
        "gpu": {path: asdict(code) for path, code in facts.gpu.items()},
        "elf": {path: asdict(needs) for path, needs in facts.elf.items()},
    }


def _from_json(data: dict[str, Any], path: Path, sha256: str) -> WheelFacts:
    return WheelFacts(
        path=path,
        sha256=sha256,
        name=NormalizedName(data["name"]),
        version=Version(data["version"]),
        pure=data["pure"],
        size=data["size"],
        requires=tuple(data["requires"]),
        extras=tuple(data["extras"]),
        gpu={path: _gpu_from_json(code) for path, code in data["gpu"].items()},
        elf={path: _elf_from_json(needs) for path, needs in data["elf"].items()},
    )


def _elf_from_json(data: dict[str, Any]) -> ElfNeeds:
    lists = {key: tuple(data[key]) for key in ("needed", "rpath", "runpath", "symbols")}
    versions = {library: tuple(names) for library, names in data["versions"].items()}
    notes = tuple(DlopenNote(tuple(note["sonames"]), note["priority"], note["feature"]) for note in data["dlopen"])
    return ElfNeeds(data["machine"], data["bits"], data["soname"], versions=versions, dlopen=notes, **lists)


def _gpu_from_json(data: dict[str, Any]) -> GpuCode:
    bundles = tuple(map(tuple, data["bundles"]))
    return GpuCode(bundles, tuple(data["objects"]), tuple(data["unread"]), data["alone"])
