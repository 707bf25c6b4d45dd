"""A wheel that has been opened and found to keep to its specification, as PyPA installer's source of files."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, BinaryIO, cast

from installer.sources import WheelSource
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from debtool.model.errors import InputError, Issue
from debtool.wheel.archive import Archive
from debtool.wheel.record import SIGNATURES, Record, parse_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from email.message import Message
    from pathlib import Path

    from installer.sources import WheelContentElement
    from packaging.tags import Tag
    from packaging.utils import NormalizedName

    from debtool.deb.payload import Readable
    from debtool.model.target import Target
    from debtool.wheel.archive import MemberStream

_TEXT_LIMIT = 64 * 2**20
"""Bytes of a file in .dist-info that is read as a whole."""

_INSTALLED = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", *SIGNATURES})
"""Files of .dist-info that an installer makes, or that lose their meaning when a wheel is installed."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel file that keeps to the binary distribution format.

    Attributes:
        path: The file.
        name: Of the distribution, normalised.
        version: Of the distribution.
        tags: What the file's name says that it runs on.
        archive: The zip.
        dist_info: The name of its .dist-info directory.
        metadata: METADATA's fields; its payload is the long description.
        record: RECORD, whose hashes are checked as files pass.
    """

    path: Path
    name: NormalizedName
    version: Version
    tags: frozenset[Tag]
    archive: Archive
    dist_info: str
    metadata: Message
    record: Record

    @property
    def requires(self) -> tuple[str, ...]:
        """The Requires-Dist entries of METADATA."""
        return tuple(map(str, self.metadata.get_all("Requires-Dist", [])))

    @property
    def extras(self) -> tuple[str, ...]:
        """The Provides-Extra entries of METADATA."""
        return tuple(map(str, self.metadata.get_all("Provides-Extra", [])))

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each of its files, by path, in the zip's order."""
        return {member.name: member.size for member in self.archive}

    def open(self, path: str) -> MemberStream:
        """Return the contents of one of its files; see `Archive.open`."""
        return self.archive.open(self.archive.members[path])

    @property
    def data_dir(self) -> str:
        """The name of its .data directory, which it need not have."""
        return f"{self.dist_info.removesuffix('.dist-info')}.data"

    @property
    def pure(self) -> bool:
        """Whether it runs on every platform, so that its package is ``Architecture: all``."""
        return all(tag.platform == "any" for tag in self.tags)

    def dist_info_files(self) -> list[str]:
        """Return the names of the files in .dist-info, relative to it."""
        prefix = f"{self.dist_info}/"
        return [member.name.removeprefix(prefix) for member in self.archive if member.name.startswith(prefix)]

    def read_dist_info(self, name: str) -> str:
        """Return a text file of .dist-info, checked against RECORD; bytes that are not UTF-8 become U+FFFD."""
        path = f"{self.dist_info}/{name}"
        member = self.archive.members[path]
        if path not in self.record.entries:
            return self.archive.read(member, limit=_TEXT_LIMIT).decode("utf-8", "replace")
        return self.record.check(path, self.archive.open(member)).read().decode("utf-8", "replace")

    def check_target(self, target: Target) -> None:
        """Raise ``InputError`` unless the target can run the wheel (PEP 425, Requires-Python)."""
        if self.tags.isdisjoint(target.tags()):
            problem = f"the wheel is for {', '.join(sorted(map(str, self.tags)))}"
            rule = f"{target.name} runs CPython {target.python} with glibc {target.glibc} on {target.architecture}"
            fix = f"take the wheel of {self.name} {self.version} for that, or build it"
            raise InputError(Issue(problem, fix=fix, file=self.path, rule=rule))
        wanted = str(self.metadata.get("Requires-Python") or "")
        try:
            fits = target.python_full in SpecifierSet(wanted)
        except InvalidSpecifier as error:
            raise _wrong(self.path, f"{self.dist_info}/METADATA", f"has Requires-Python {wanted!r}") from error
        if not fits:
            problem = f"the wheel requires Python {wanted}, and {target.name} has {target.python_full}"
            fix = f"take a version of {self.name} that supports it"
            raise InputError(Issue(problem, fix=fix, file=self.path, rule="core metadata, Requires-Python"))


@contextmanager
def open_wheel(path: Path) -> Iterator[Wheel]:
    """Open the wheel ``path`` and check everything that can be checked without reading its files.

    Raises ``InputError`` if the zip is unsound (see `Archive`), the names in the file's name, .dist-info and METADATA
    disagree, WHEEL has another major version than 1, or RECORD is incomplete (see `parse_record`).
    """
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        fix = "give the wheel its own name again: NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl"
        rule = "binary distribution format, File name convention"
        raise InputError(Issue(str(error), fix=fix, file=path, rule=rule)) from error
    with Archive(path) as archive:
        dist_info = _dist_info(archive, name)
        for required in ("METADATA", "WHEEL", "RECORD"):
            if f"{dist_info}/{required}" not in archive.members:
                raise _wrong(path, f"{dist_info}/{required}", "is missing")
        record_name = f"{dist_info}/RECORD"
        text = archive.read(archive.members[record_name], limit=_TEXT_LIMIT)
        try:
            record = parse_record(text.decode("utf-8"), path=path, record=record_name, files=archive.members)
        except UnicodeDecodeError as error:
            raise _wrong(path, record_name, "is not UTF-8") from error
        unread = Wheel(path, name, version, tags, archive, dist_info, HeaderParser().parsestr(""), record)
        wheel_version = HeaderParser().parsestr(unread.read_dist_info("WHEEL")).get("Wheel-Version", "")
        if wheel_version.strip().partition(".")[0] != "1":
            raise _wrong(path, f"{dist_info}/WHEEL", f"has Wheel-Version {wheel_version!r}, not 1.x")
        metadata = HeaderParser().parsestr(unread.read_dist_info("METADATA"))
        _check_identity(path, dist_info, metadata, name, version)
        yield Wheel(path, name, version, tags, archive, dist_info, metadata, record)


class CheckedWheel(WheelSource):
    """The files of a `Wheel` for ``installer.install``: in the zip's order, inflated and checked as they are read."""

    def __init__(self, wheel: Wheel, exclude: Collection[str] = ()) -> None:
        distribution, _, version = wheel.dist_info.removesuffix(".dist-info").partition("-")
        super().__init__(distribution, version)
        self._wheel = wheel
        self._exclude = exclude

    @property
    def dist_info_filenames(self) -> list[str]:
        """The names of the files in .dist-info, relative to it."""
        return self._wheel.dist_info_files()

    def read_dist_info(self, filename: str) -> str:
        """Return a text file of .dist-info."""
        return self._wheel.read_dist_info(filename)

    def validate_record(self) -> None:
        """Nothing to do: `open_wheel` checked RECORD itself, and the files are checked as they pass."""

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Yield (RECORD's row, contents, executable) of every file that is to be installed."""
        wheel = self._wheel
        skipped = {f"{wheel.dist_info}/{name}" for name in (*_INSTALLED, "RECORD")}
        for member in wheel.archive:
            # Bytecode in a wheel could say something else than the source beside it.
            if member.name in skipped or "__pycache__" in member.name.split("/"):
                continue
            if any(fnmatchcase(member.name, pattern) for pattern in self._exclude):
                continue
            stream = SizedStream(wheel.record.check(member.name, wheel.archive.open(member)), member.size)
            yield (member.name, "", ""), cast("BinaryIO", stream), member.executable


@dataclass(frozen=True, slots=True)
class SizedStream:
    """A stream whose length is known before it is read."""

    stream: Readable
    size: int

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all that are left if negative."""
        return self.stream.read(size)


def _dist_info(archive: Archive, name: NormalizedName) -> str:
    """Return the one .dist-info directory, which must be this distribution's, as must .data directories."""
    tops = sorted({member.name.partition("/")[0] for member in archive if "/" in member.name})
    found = [top for top in tops if top.endswith(".dist-info")]
    if len(found) != 1:
        raise _wrong(archive.path, ".dist-info", f"there are {len(found)} such directories: {', '.join(found) or '-'}")
    stem = found[0].removesuffix(".dist-info")
    if canonicalize_name(stem.rpartition("-")[0]) != name:
        raise _wrong(archive.path, found[0], f"belongs to another distribution than {name}")
    for top in tops:
        if top.endswith(".data") and top != f"{stem}.data":
            raise _wrong(archive.path, top, f"is not {stem}.data, so its files would be taken for modules")
    return found[0]


def _check_identity(path: Path, dist_info: str, metadata: Message, name: NormalizedName, version: Version) -> None:
    """METADATA must name what the file's name says, and .dist-info its version."""
    field = f"{dist_info}/METADATA"
    if canonicalize_name(metadata.get("Name", "")) != name:
        raise _wrong(path, field, f"has Name {metadata.get('Name')!r}, the file's name says {name}")
    for place, text in ((field, metadata.get("Version", "")), (dist_info, dist_info[:-10].rpartition("-")[2])):
        try:
            same = Version(text.replace("_", "-")) == version
        except InvalidVersion:
            same = False
        if not same:
            raise _wrong(path, place, f"has version {text!r}, the file's name says {version}")


def _wrong(path: Path, field: str, what: str) -> InputError:
    return InputError(
        Issue(
            f"the wheel's {field} {what}" if not field.startswith(".") else what,
            fix="take the wheel from another source, or have it rebuilt",
            file=path,
            field=field,
            rule="binary distribution format",
        )
    )
