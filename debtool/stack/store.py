"""The store of built packages: a .deb and the record of its inputs for each, so that nothing is built twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from debtool.deb.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from debtool.stack.make import Built
    from debtool.stack.plan import PlannedPackage


@dataclass(frozen=True, slots=True)
class Store:
    """Built packages below one folder.

    A record is written after its package, so a package without a record was interrupted and counts as not built.
    """

    folder: Path

    def path(self, package: PlannedPackage) -> Path:
        """Return where the package's file is, or would be."""
        return self.folder / package.filename

    def has(self, package: PlannedPackage) -> bool:
        """Return whether the package was built from the same inputs, with the same version."""
        record = _read(self._record_path(self.path(package)))
        return record is not None and record.get("key") == package.build.key and self.path(package).is_file()

    def keep(self, package: PlannedPackage, built: Built) -> None:
        """Record that the package's file is complete."""
        record = {
            "package": package.name,
            "version": str(package.build.version),
            "key": package.build.key,
            "date": package.build.date,
            "sha256": built.sha256,
            "size": built.size,
            "inputs": package.draft.all_inputs(),
            "exact": {name: str(version) for name, version in package.build.versions.items()},
        }
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        replace_file(self._record_path(self.path(package)), text.encode())

    def inputs(self, name: str, version: str) -> Mapping[str, str] | None:
        """Return the recorded inputs of ``name`` in ``version``."""
        plain = version.partition(":")[2] or version
        for path in sorted(self.folder.glob(f"{name}_{plain}_*.deb.json")):
            record = _read(path)
            if record is not None and record.get("version") == version:
                inputs: Mapping[str, str] = record["inputs"]
                return inputs
        return None

    @staticmethod
    def _record_path(path: Path) -> Path:
        return path.with_name(f"{path.name}.json")


def _read(path: Path) -> dict[str, Any] | None:
    """Return a record; a damaged one counts as missing."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
