"""Audits that were made before, kept by everything that they depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from debtool.audit.findings import Feature, FileAudit, Finding, Kind, PackageAudit
from debtool.deb.files import replace_file

if TYPE_CHECKING:
    from debtool.audit.baselines import Baseline
    from debtool.audit.rules import Rules

_PROGRAM = (
    "cache.py",
    "calls.py",
    "classify.py",
    "decode.py",
    "examine.py",
    "findings.py",
    "functions.py",
    "image.py",
    "instructions.py",
    "layout.py",
    "rules.py",
)
"""The modules beside this one that decide what is found, and how it is kept."""

_LEVEL = 3
_DAMAGED = (OSError, ValueError, KeyError, TypeError, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class AuditCache:
    """Kept audits below ``folder``, for one baseline and one set of rules.

    A file's audit is one record, by its contents and its path, which rules look at; a package's is a list of those.
    Records are compressed, with a checksum: a damaged one counts as absent.

    Attributes:
        folder: Where they are.
        digest: The hash of what decides: baseline, rules and the program.
        baseline: The baseline's name.
    """

    folder: Path
    digest: str
    baseline: str

    @classmethod
    def below(cls, folder: Path, baseline: Baseline, rules: Rules) -> AuditCache:
        """Return the one in debtool's cache ``folder``."""
        digest = hashlib.sha256(f"{_program()} {baseline.digest} {rules.digest}".encode()).hexdigest()
        return cls(folder / "audit", digest, baseline.name)

    @property
    def scratch(self) -> Path:
        """A folder on the same file system for files without names."""
        return self.folder / "scratch"

    def file(self, path: str, sha256: str, distribution: str) -> FileAudit | None:
        """Return the audit of the file at ``path`` of a distribution, None if there is none."""
        try:
            return _file_from_json(path, _read(self._file_record(path, sha256, distribution)))
        except _DAMAGED:
            return None

    def keep_file(self, audit: FileAudit, distribution: str) -> None:
        """Keep the audit of one file."""
        _write(self._file_record(audit.path, audit.sha256, distribution), _file_to_json(audit))

    def package(self, subject: Path, sha256: str, distribution: str) -> PackageAudit | None:
        """Return the audit of a wheel or package with the hash ``sha256``, None if any part of it is missing."""
        try:
            rows = _read(self._package_record(sha256, distribution))
            files = [self.file(path, held, distribution) for path, held in rows]
        except _DAMAGED:
            return None
        found = tuple(file for file in files if file is not None)
        if len(found) < len(files):
            return None
        return self.joined(subject, sha256, found)

    def keep_package(self, audit: PackageAudit, distribution: str) -> None:
        """Keep the list of a package's files, each of which is kept already."""
        rows = [[file.path, file.sha256] for file in audit.files]
        _write(self._package_record(audit.sha256, distribution), rows)

    def joined(self, subject: Path, sha256: str, files: tuple[FileAudit, ...]) -> PackageAudit:
        """Return the audit of a whole."""
        ordered = tuple(sorted(files, key=lambda file: file.path))
        return PackageAudit(str(subject), sha256, self.baseline, self.digest, ordered)

    def _file_record(self, path: str, sha256: str, distribution: str) -> Path:
        return self._record("files", f"{sha256}\n{distribution}\n{path}")

    def _package_record(self, sha256: str, distribution: str) -> Path:
        return self._record("packages", f"{sha256}\n{distribution}")

    def _record(self, kind: str, key: str) -> Path:
        name = hashlib.sha256(f"{self.digest}\n{key}".encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / kind / name[:2] / f"{name}.json.zst"


@cache
def _program() -> str:
    """Return the hash of the program: of the modules that decide, and the decoder's version."""
    digest = hashlib.sha256(version("iced-x86").encode())
    for name in _PROGRAM:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def _read(record: Path) -> Any:
    return json.loads(zstandard.ZstdDecompressor().decompress(record.read_bytes()))


def _write(record: Path, data: object) -> None:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    replace_file(record, compressor.compress(json.dumps(data, separators=(",", ":")).encode()))


_COUNTS = ("sha256", "size", "code", "instructions", "functions", "symbols", "undecoded", "note")
_NAMES = ("symbol", "name", "unit", "section", "binding", "exported", "address", "kind", "rule", "path")
_PARTS = ("name", "count", "address", "code", "text")


def _file_to_json(audit: FileAudit) -> list[Any]:
    findings = [
        [
            *(getattr(finding, name) for name in _NAMES),
            [[getattr(part, name) for name in _PARTS] for part in finding.features],
        ]
        for finding in audit.findings
    ]
    return [*(getattr(audit, name) for name in _COUNTS), findings]


def _file_from_json(path: str, data: list[Any]) -> FileAudit:
    *counts, findings = data
    audit = FileAudit(path, **dict(zip(_COUNTS, counts, strict=True)))
    return replace(audit, findings=tuple(map(_finding, findings)))


def _finding(row: list[Any]) -> Finding:
    symbol, name, unit, section, binding, exported, address, kind, rule, path, features = row
    parts = tuple(Feature(*part) for part in features)
    return Finding(symbol, name, unit, section, binding, exported, address, parts, Kind(kind), rule, tuple(path))
