"""The lock: exactly which Python packages a release is made of, and the hash of every file.

A lock is in pip's hashed requirements format, one line for each file of the index that the target uses, so that
``pip install --require-hashes --no-deps -r FILE`` installs that part without debtool. It names no index host. What
the index does not have (torch, what is compiled against it) stands in lines that begin with ``#:``, which pip takes
for comments::

    #: torch==2.13.0+cpu external sha256=<64 hex digits>
    #: torchvision==0.21.0 companion against=torch source=sha256:<64 hex digits>
    accelerate==0.31.0 --hash=sha256:<64 hex digits>  # wheel accelerate-0.31.0-py3-none-any.whl
    jsonmerge==1.8.0 --hash=sha256:<64 hex digits>  # sdist jsonmerge-1.8.0.tar.gz
    markupsafe==2.1.5 --hash=sha256:<64 hex digits>  # sdist MarkupSafe-2.1.5.tar.gz cpu=westmere
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from pathlib import Path

ArtefactKind = Literal["external", "companion", "build"]

_TITLE = re.compile(r"# debtool lock 1: stack (?P<stack>\S+), target (?P<target>\S+)")
_INPUTS = re.compile(r"# inputs sha256:(?P<inputs>[0-9a-f]{64})")
_FILE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
    r"  # (?P<kind>wheel|sdist) (?P<file>[A-Za-z0-9._+!-]+)(?: cpu=(?P<cpu>[a-z0-9][a-z0-9.+-]*))?"
)
_ARTEFACT = re.compile(
    r"#: (?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>\S+) (?P<kind>external|companion|build)"
    r"(?: against=(?P<against>[a-z0-9][a-z0-9-]*))?"
    r"(?: source=(?P<source>(?:sha256:[0-9a-f]{64})|(?:git:[0-9a-f]{40})|path))?"
    r"(?: sha256=(?P<sha256>[0-9a-f]{64}))?"
)
_RULE = "the lock format, docs/lock.md"
_RELOCK = "make the lock anew with `debtool lock --target {target}`"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file of the index: a wheel that the target runs, or the sdist of a distribution that has no such wheel.

    A distribution that the stack compiles for a CPU has its sdist here, whatever wheels there are.

    Attributes:
        name: The distribution's normalised name (PEP 503).
        version: Its version.
        file: The file's name.
        sha256: Its hash, 64 hex digits.
        cpu: The baseline that an sdist is compiled for; None for wheels, and sdists that are compiled for any CPU.
    """

    name: NormalizedName
    version: Version
    file: str
    sha256: str
    cpu: str | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel; an sdist is built into one."""
        return self.file.endswith(".whl")

    def __str__(self) -> str:
        kind = "wheel" if self.is_wheel else "sdist"
        cpu = f" cpu={self.cpu}" if self.cpu else ""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}  # {kind} {self.file}{cpu}"


@dataclass(frozen=True, slots=True)
class LockedArtefact:
    """One wheel that the index does not have.

    Attributes:
        name: The distribution's normalised name (PEP 503).
        version: Its exact version, the local part (``+cpu``) included.
        kind: How it comes about; the words of the stack's ``artefact`` tables.
        against: What a companion is compiled against.
        source: What it is compiled from: ``sha256:…`` of an archive, ``git:`` and a commit, ``path`` (not pinned).
        sha256: The wheel's own hash, where the stack pins it.
    """

    name: NormalizedName
    version: Version
    kind: ArtefactKind
    against: NormalizedName | None = None
    source: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        parts = [f"#: {self.name}=={self.version}", self.kind]
        parts += [f"against={self.against}"] if self.against else []
        parts += [f"source={self.source}"] if self.source else []
        parts += [f"sha256={self.sha256}"] if self.sha256 else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Lock:
    """The complete set of one stack for one target; ``str()`` gives the file's text.

    Attributes:
        stack: The stack's name.
        target: The target's name.
        inputs: Hash of what it was resolved from: see `debtool.wheel.resolve.inputs_digest`.
        files: What the index has, in the order of names.
        artefacts: What it does not have, in the order of names.
    """

    stack: str
    target: str
    inputs: str
    files: tuple[LockedFile, ...]
    artefacts: tuple[LockedArtefact, ...]

    @property
    def versions(self) -> dict[NormalizedName, Version]:
        """The version of every distribution of the set."""
        return {entry.name: entry.version for entry in self.files} | {
            entry.name: entry.version for entry in self.artefacts
        }

    def __str__(self) -> str:
        head = [
            f"# debtool lock 1: stack {self.stack}, target {self.target}",
            f"# inputs sha256:{self.inputs}",
            f"# Made by `debtool lock --target {self.target}`; do not edit. The lines below install without debtool:",
            "# pip install --require-hashes --no-deps -r FILE",
            "#",
            "# What the index does not have:",
        ]
        return "\n".join([*head, *map(str, self.artefacts), "", *map(str, self.files), ""])


def parse_lock(text: str, file: Path) -> Lock:
    """Return the lock in ``text``, read from ``file``.

    Raises:
        InputError: The text breaks a rule of the format; one issue for each line that does.
    """
    lines = text.splitlines()
    title = _TITLE.fullmatch(lines[0]) if lines else None
    inputs = _INPUTS.fullmatch(lines[1]) if len(lines) > 1 else None
    if title is None or inputs is None:
        expected = "# debtool lock 1: stack NAME, target NAME" if title is None else "# inputs sha256:<64 hex digits>"
        fix = "make the lock with `debtool lock`"
        raise InputError(
            Issue(f"expected {expected!r}", file=file, line=1 if title is None else 2, rule=_RULE, fix=fix)
        )
    files: list[LockedFile] = []
    artefacts: list[LockedArtefact] = []
    issues: list[Issue] = []
    seen: dict[NormalizedName, int] = {}
    for number, line in enumerate(lines, 1):
        if not line or (line.startswith("#") and not line.startswith("#:")):
            continue
        try:
            entry = _parse_entry(line)
            if entry.name in seen:
                raise ValueError(f"{entry.name} stands in line {seen[entry.name]} already")  # noqa: TRY301 -- one handler
        except ValueError as error:
            fix = _RELOCK.format(target=title["target"])
            issues.append(Issue(str(error), file=file, line=number, rule=_RULE, fix=fix))
            continue
        seen[entry.name] = number
        if isinstance(entry, LockedFile):
            files.append(entry)
        else:
            artefacts.append(entry)
    if issues:
        raise InputError(*issues)
    return Lock(title["stack"], title["target"], inputs["inputs"], tuple(files), tuple(artefacts))


def _parse_entry(line: str) -> LockedFile | LockedArtefact:
    if match := _ARTEFACT.fullmatch(line):
        return LockedArtefact(
            canonicalize_name(match["name"]),
            _version(match["version"]),
            cast("ArtefactKind", match["kind"]),
            canonicalize_name(match["against"]) if match["against"] else None,
            match["source"],
            match["sha256"],
        )
    match = _FILE.fullmatch(line)
    if match is None:
        raise ValueError(f"not understood: {line[:80]!r}")
    name, version = canonicalize_name(match["name"]), _version(match["version"])
    entry = LockedFile(name, version, match["file"], match["sha256"], match["cpu"])
    if (match["kind"] == "wheel") != entry.is_wheel:
        raise ValueError(f"{entry.file} is no {match['kind']}")
    if entry.cpu and entry.is_wheel:
        raise ValueError(f"{entry.file} is compiled already: only an sdist has a cpu")
    if file_identity(entry.file) != (entry.name, entry.version):
        raise ValueError(f"{entry.file} is not a file of {entry.name} {entry.version}")
    return entry


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise ValueError(f"{text!r} is no version (PEP 440)") from None


def file_identity(file: str) -> tuple[NormalizedName, Version]:
    """Return the distribution and version that the name of a wheel or sdist says.

    Raises:
        ValueError: It is no such name (PyPA specifications, "binary" and "source distribution format").

    >>> file_identity("Jinja2-3.1.6-py3-none-any.whl")
    ('jinja2', <Version('3.1.6')>)
    """
    try:
        if file.endswith(".whl"):
            name, version, _build, _tags = parse_wheel_filename(file)
            return name, version
        return parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise ValueError(str(error)) from None
