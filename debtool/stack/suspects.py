"""What a release looks at of a wheel's audit every time, kept apart: the whole of torch's has 30,000 findings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from debtool.audit.cache import AuditCache
from debtool.audit.findings import SAFE, Feature, Finding, Kind, Level
from debtool.deb.files import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.audit.baselines import Baseline
    from debtool.audit.findings import PackageAudit
    from debtool.audit.rules import Rules

# Raised when what is kept changes.
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class FileFinding:
    """A finding and where it is.

    Attributes:
        file: The ELF file's path in the wheel.
        finding: What was found.
    """

    file: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Suspects:
    """What may be executed on the baseline, of one wheel.

    Attributes:
        files: How many ELF files the wheel has, those that no linker loads included.
        level: What is promised of the wheel.
        findings: The findings that are not safe.
        unread: The ELF files that cannot be read, each with the reason: nothing can be promised of them.
    """

    files: int
    level: Level
    findings: tuple[FileFinding, ...] = ()
    unread: tuple[str, ...] = ()

    @classmethod
    def of(cls, audit: PackageAudit) -> Suspects:
        """Return those of a wheel's audit."""
        found = (FileFinding(file.path, one) for file in audit.files for one in file.findings if one.kind not in SAFE)
        unread = (f"{file.path}: {file.note}" for file in audit.files if file.damaged)
        return cls(len(audit.files), audit.level, tuple(found), tuple(unread))


@dataclass(frozen=True, slots=True)
class SuspectCache:
    """Suspects as JSON files below one folder, named by the wheel's hash and what decides."""

    folder: Path

    @classmethod
    def below(cls, cache: Path, baseline: Baseline, rules: Rules) -> SuspectCache:
        """Return the one in debtool's cache folder ``cache``."""
        return cls(cache / "audit" / "suspects" / AuditCache.below(cache, baseline, rules).digest)

    def read(self, sha256: str) -> Suspects | None:
        """Return what is kept of the wheel with the hash ``sha256``; None if it was not audited, or is damaged."""
        try:
            data = json.loads((self.folder / f"{sha256}.json").read_text(encoding="utf-8"))
            if data["format"] != _FORMAT:
                return None
            findings = tuple(FileFinding(one["file"], _finding(one["finding"])) for one in data["findings"])
            return Suspects(data["files"], Level(data["level"]), findings, tuple(data["unread"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, sha256: str, suspects: Suspects) -> None:
        """Keep what was found in the wheel with the hash ``sha256``."""
        data = {"format": _FORMAT, **asdict(suspects)}
        replace_file(self.folder / f"{sha256}.json", json.dumps(data).encode())


def _finding(data: dict[str, Any]) -> Finding:
    features = tuple(Feature(**feature) for feature in data["features"])
    return Finding(**{**data, "features": features, "kind": Kind(data["kind"]), "path": tuple(data["path"])})
