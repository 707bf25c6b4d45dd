"""What the program remembers: records, copies of files by version and hash, and a lock.

Every file is replaced in one step, so a run that is killed leaves the old one or the new one; ``sweep`` removes what it
had begun.
"""

# ruff: noqa: PLC0415, PTH103, PTH108, PTH110, PTH123, PTH208
# Pathlib costs half a start of Python; what only some runs need is loaded there.
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time

from .errors import OutsideError, PatchError
from .files import Folder
from .recipe import SCHEMA

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .findings import Finding

LOCK_SECONDS = 600
"""As long as another run may hold the lock: it may ask several slow interpreters."""

TRANSIENT = ("time", "changed", "origin")
"""What two records of the same state may differ in."""


class State:
    """The folder of records and copies."""

    def __init__(self, folder: str, marker: str) -> None:
        self.folder, self.marker = folder, marker

    def records(self) -> list[dict[str, Any]]:
        """Return the records of earlier runs; one that cannot be read is left out."""
        folder = f"{self.folder}/records"
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return []
        found = [self._record(f"{folder}/{name}") for name in names if re.fullmatch(r"[0-9a-f]{32}\.json", name)]
        return [record for record in found if record is not None]

    def record(self, path: str) -> dict[str, Any] | None:
        """Return the record of one copy, or None."""
        return self._record(self.record_file(path))

    def record_file(self, path: str) -> str:
        """Return where the record of a copy is."""
        return f"{self.folder}/records/{digest(path.encode())[:32]}.json"

    def write_record(self, finding: Finding) -> None:
        """Record what was done or what went wrong; a record that says the same stays. Raises OutsideError."""
        content = {"schema": SCHEMA, **finding.content()}
        old = self.record(finding.path)
        if old is not None and not finding.changed and _lasting(old) == _lasting(content):
            return
        self._write("records", f"{digest(finding.path.encode())[:32]}.json", json.dumps(content, indent=2).encode())

    def forget(self, path: str) -> None:
        """Remove the record of a copy that is no more. Its pristine text stays kept."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.record_file(path))

    def keep(self, data: bytes, version: str | None) -> str:
        """Keep a text by version and hash, and return the hash. Raises OutsideError."""
        name, folder = digest(data), f"copies/{_folder_of(version)}"
        if not os.path.exists(f"{self.folder}/{folder}/{name}.py"):
            self._write(folder, f"{name}.py", data, mode=0o600)  # the copy of a file that may be private
        return name

    def kept(self, name: str, version: str | None) -> bytes:
        """Return a text that was kept. Raises PatchError where it is gone or damaged."""
        with Folder.at(f"{self.folder}/copies/{_folder_of(version)}") as folder:
            try:
                data = folder.read(f"{name}.py").data
            except FileNotFoundError as error:
                raise PatchError(f"the kept copy {name[:12]} is gone; reinstall the distribution") from error
        if digest(data) != name:
            raise PatchError(f"the kept copy {name[:12]} is damaged and is not put back; reinstall the distribution")
        return data

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one run at a time change things. Raises OutsideError where another one does not end."""
        import fcntl

        self._make("")
        deadline = time.monotonic() + LOCK_SECONDS
        with contextlib.ExitStack() as stack:
            try:
                stream = stack.enter_context(open(f"{self.folder}/lock", "ab"))
            except OSError as error:
                raise OutsideError(f"{self.folder}/lock: {error.strerror}") from error
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise OutsideError(f"{self.folder}/lock: held for {LOCK_SECONDS} s by another run") from error
                    time.sleep(0.05)
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a killed run had begun to write."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                if name.startswith(".") and name.endswith(f".{self.marker}"):
                    with contextlib.suppress(OSError):
                        os.unlink(f"{folder}/{name}")

    def _write(self, folder: str, name: str, data: bytes, *, mode: int = 0o644) -> None:
        self._make(folder)
        with Folder.at(f"{self.folder}/{folder}") as opened:
            opened.replace(name, data, marker=self.marker, mode=mode)

    def _make(self, folder: str) -> None:
        try:
            os.makedirs(f"{self.folder}/{folder}", exist_ok=True)
        except OSError as error:
            raise OutsideError(f"{error.filename}: {error.strerror}") from error

    @staticmethod
    def _record(file: str) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError), open(file, encoding="utf-8") as stream:
            record = json.load(stream)
            if isinstance(record, dict) and record.get("schema") == SCHEMA and isinstance(record.get("path"), str):
                return record
        return None


def digest(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _folder_of(version: str | None) -> str:
    """Return a version as a folder's name; it comes from names in trees that may be anybody's."""
    return version if version and re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,100}", version) else "unknown"


def _lasting(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TRANSIENT}
