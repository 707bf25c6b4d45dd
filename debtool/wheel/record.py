"""RECORD: which files a wheel has, with hashes and sizes, and the check of each file as it passes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from installer.records import InvalidRecordEntry, parse_record_file

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from debtool.deb.payload import Readable

SIGNATURES = frozenset({"RECORD.jws", "RECORD.p7s"})
"""Signatures of RECORD, which it cannot list (binary distribution format, "Signed wheel files")."""

_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
"""The specification allows sha256 "or better"; these are the better ones that :mod:`hashlib` always has."""

_RULE = "binary distribution format, The .dist-info directory"


@dataclass(frozen=True, slots=True)
class Expected:
    """What RECORD says of one file: a hash algorithm, its digest, and the size in bytes if it is recorded."""

    algorithm: str
    digest: bytes
    size: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """A wheel's RECORD.

    Attributes:
        path: Of the wheel, for errors.
        entries: What is said of each file that must be checked.
    """

    path: Path
    entries: dict[str, Expected]

    def check(self, name: str, stream: Readable) -> CheckedStream:
        """Return ``stream`` such that reading its end raises ``InputError`` unless RECORD's hash and size are right."""
        return CheckedStream(stream, self.entries[name], name, self.path)


class CheckedStream:
    """Passes on what it reads and hashes it."""

    def __init__(self, stream: Readable, expected: Expected, name: str, path: Path) -> None:
        self._stream = stream
        self._expected = expected
        self._name = name
        self._path = path
        self._digest = hashlib.new(expected.algorithm)
        self._size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if negative; checks the sum when the end is reached."""
        data = self._stream.read(size)
        self._digest.update(data)
        self._size += len(data)
        if not data or size < 0:
            self._verify()
        return data

    def _verify(self) -> None:
        expected = self._expected
        if self._digest.digest() != expected.digest or expected.size not in (None, self._size):
            raise InputError(
                Issue(
                    f"the member does not have the {expected.algorithm} or the size that RECORD says",
                    fix="fetch the wheel again; if it stays so, the wheel was changed after it was built",
                    file=self._path,
                    field=self._name,
                    rule=_RULE,
                )
            )


def parse_record(text: str, *, path: Path, record: str, files: Iterable[str]) -> Record:
    """Return the RECORD of the wheel ``path``.

    ``record`` is its own name in the wheel and ``files`` what the wheel holds. Raises ``InputError`` with every problem
    unless it lists each of them once, with a hash that the specification allows, and nothing else.
    """
    try:
        rows = list(parse_record_file(io.StringIO(text, newline="")))
    except InvalidRecordEntry as error:
        raise InputError(_issue(path, record, str(error))) from error
    folder = record.rpartition("/")[0]
    exempt = {record, *(f"{folder}/{name}" for name in SIGNATURES)}
    left = set(files) - exempt
    entries: dict[str, Expected] = {}
    issues: list[Issue] = []
    for name, digest, size in rows:
        if name in exempt:
            continue
        if name in entries:
            issues.append(_issue(path, name, "RECORD lists the file twice"))
        elif name not in left:
            issues.append(_issue(path, name, "RECORD lists a file that the wheel does not have"))
        elif expected := _expected(digest, size):
            entries[name] = expected
            left.remove(name)
        else:
            left.remove(name)
            issues.append(_issue(path, name, f"RECORD has the hash {digest!r} and the size {size!r} for it"))
    issues += [_issue(path, name, "RECORD does not list the file") for name in sorted(left)]
    if issues:
        raise InputError(*issues)
    return Record(path, entries)


def _expected(digest: str, size: str) -> Expected | None:
    """Return a row's hash and size, None where they are not as the specification has them."""
    algorithm, separator, value = digest.partition("=")
    if algorithm not in _ALGORITHMS or not separator or not (size == "" or (size.isascii() and size.isdigit())):
        return None
    if {"+", "/", "="} & set(value):
        return None
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != hashlib.new(algorithm).digest_size:
        return None
    return Expected(algorithm, raw, int(size) if size else None)


def _issue(path: Path, field: str, problem: str) -> Issue:
    fix = "fetch the wheel again; if it stays so, have it rebuilt or repacked (wheel unpack, wheel pack)"
    return Issue(problem, fix=fix, file=path, field=field, rule=_RULE)
