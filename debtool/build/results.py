"""What long builds leave: the wheel, and beside it everything that says how it came about.

A result is the folder ``<cache>/built/<target>/<name>-<version>``. It appears by one rename, complete or not at all.
The results of `debtool.build.wheels` live beside, in folders that are called by 64 hex digits.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from debtool.build.locks import locked
from debtool.deb.files import make_directory, outside_errors, sha256_of, sync_directory, write_new
from debtool.model.errors import InputError, Issue
from debtool.wheel.fetch import FileCache
from debtool.wheel.lock import file_identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COMMANDS: Mapping[str, str] = {"torch": "torch build"}
"""The distributions that debtool builds by a command of their own, and that command."""

_RECORD = "record.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What `keep` puts beside a result while it works, and a killed run leaves there: ``.torch-2.7.1.new``.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<state>new|old)")


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of a build.

    Attributes:
        folder: Where it is.
        wheel: The wheel, in ``folder``.
        sha256: Its hash, as the record says it.
        record: What ``record.json`` says: ``name``, ``version``, ``target``, ``wheel`` (its file name), ``sha256``, and
            what the builder added.
    """

    folder: Path
    wheel: Path
    sha256: str
    record: Mapping[str, Any]


def keep(cache: Path, target: str, name: str, version: str, wheel: Path, files: Mapping[str, Path | bytes]) -> Kept:
    """Keep the result of a build, in place of one of the same name, version and target.

    Everything is first written, and put on the disk, in a folder beside. A folder that is not empty cannot be replaced
    by rename(2), so an earlier result is renamed away, the new one takes its name, and only then the earlier one is
    deleted. Who reads with `find` waits meanwhile. A run that is killed between the two renames leaves both results
    whole under other names; the next `keep` or `find` gives the earlier one its name back.

    Args:
        cache: debtool's cache.
        target: The target's name.
        name: The distribution.
        version: Its version, the local part included.
        wheel: The wheel; it is moved once the result is complete, so that nothing goes on writing into it.
        files: Further files by name, copied from a path or given. ``record.json`` is a JSON object, to which the keys
            of `Kept.record` are added.

    Raises:
        InputError: The wheel is another distribution or version, or the record is no JSON object.
        OutsideError: The files cannot be read or written; an earlier result is as it was.
    """
    if file_identity(wheel.name) != (canonicalize_name(name), Version(version)):
        fix = "build that version, or ask for the one that this is"
        raise InputError(Issue(f"is no wheel of {name} {version}", file=wheel, fix=fix))
    for file in files:
        if "/" in file or file.startswith(".") or file == wheel.name:
            raise ValueError(f"{file!r} is no name for a file of a result")
    folder = _folder(cache, target, name, version)
    new, old = _beside(folder, "new"), _beside(folder, "old")
    with outside_errors(f"keeping the result of {name} {version}"):
        make_directory(folder.parent)
        with locked(folder.parent):
            _mend(folder.parent)
            try:
                make_directory(new)
                _link_or_copy(wheel.resolve(), new / wheel.name)
                _write(new, files, _record(files, name, version, target, new / wheel.name))
                sync_directory(new)
                if folder.exists():
                    folder.rename(old)
                new.rename(folder)
                sync_directory(folder.parent)
            finally:
                _mend(folder.parent)
        if wheel.parent.resolve() != folder.resolve():
            wheel.unlink()
    return _read(folder)


def find(cache: Path, target: str, name: str, version: str) -> Kept | None:
    """Return the result of a build, its wheel held against the record; None if there is none.

    Raises:
        InputError: It is damaged; the fix says how to have it anew.
    """
    folder = _folder(cache, target, name, version)
    if not folder.parent.is_dir():
        return None
    if not folder.is_dir() and _beside(folder, "old").is_dir():
        with locked(folder.parent):
            _mend(folder.parent)
    with locked(folder.parent, shared=True):
        if not folder.is_dir():
            return None
        kept = _read(folder)
        try:
            found = FileCache.below(cache).sha256(kept.wheel)
        except OSError as error:
            raise _damaged(folder, kept.wheel, f"cannot be read: {error.strerror}") from None
    if found != kept.sha256:
        raise _damaged(folder, kept.wheel, f"has the SHA-256 {found}, its record says {kept.sha256}")
    return kept


def kept_results(cache: Path) -> list[Kept]:
    """Return every result below ``cache``, in the order of targets and names, as the records say; no wheel is read.

    Raises:
        InputError: Records are damaged; all of them.
    """
    found: list[Kept] = []
    issues: list[Issue] = []
    for record in sorted((cache / "built").glob(f"[!.]*/[!.]*/{_RECORD}")):
        try:
            found.append(_read(record.parent))
        except InputError as error:
            issues += error.issues
    if issues:
        raise InputError(*issues)
    return found


def _folder(cache: Path, target: str, name: str, version: str) -> Path:
    return cache / "built" / target / f"{canonicalize_name(name)}-{Version(version)}"


def _beside(folder: Path, state: str) -> Path:
    return folder.with_name(f".{folder.name}.{state}")


def _leftovers(parent: Path) -> Iterator[tuple[Path, Path, str]]:
    """Yield what a run has left beside results: it, the result that it belongs to, and ``new`` or ``old``."""
    for path in sorted(parent.iterdir()):
        if match := _LEFTOVER.fullmatch(path.name):
            yield path, path.with_name(match["name"]), match["state"]


def _mend(parent: Path) -> None:
    """Undo or finish what a killed run has begun; the caller holds the lock."""
    for path, result, state in _leftovers(parent):
        if state == "old" and not result.exists():
            path.rename(result)
        else:
            shutil.rmtree(path)


def _record(files: Mapping[str, Path | bytes], name: str, version: str, target: str, wheel: Path) -> bytes:
    given = files.get(_RECORD, b"{}")
    try:
        record = json.loads(given if isinstance(given, bytes) else given.read_bytes())
        own = {"name": canonicalize_name(name), "version": str(Version(version)), "target": target}
        own |= {"wheel": wheel.name, "sha256": sha256_of(wheel)}
        return json.dumps({**record, **own}, indent=1).encode() + b"\n"
    except (ValueError, TypeError):
        raise InputError(Issue("is no JSON object", field=_RECORD, fix="give one, or none")) from None


def _write(folder: Path, files: Mapping[str, Path | bytes], record: bytes) -> None:
    for name, content in {**files, _RECORD: record}.items():
        if isinstance(content, bytes):
            write_new(folder / name, content)
        else:
            shutil.copyfile(content, folder / name)
            _sync(folder / name)


def _link_or_copy(source: Path, destination: Path) -> None:
    """Make ``destination`` the same file as ``source``, or a copy where the file systems differ or know no links."""
    try:
        destination.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, destination)
    _sync(destination)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _read(folder: Path) -> Kept:
    file = folder / _RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        wheel, sha256 = str(record["wheel"]), str(record["sha256"])
    except OSError as error:
        raise _damaged(folder, file, f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        record, wheel, sha256 = {}, "", ""
    if not (_SHA256.fullmatch(sha256) and wheel.endswith(".whl") and "/" not in wheel):
        raise _damaged(folder, file, "does not say which wheel belongs to it, and the wheel's hash")
    return Kept(folder, folder / wheel, sha256, record)


def _damaged(folder: Path, file: Path, problem: str) -> InputError:
    command = COMMANDS.get(folder.name.rpartition("-")[0])
    build = f"debtool {command} --target {folder.parent.name}" if command else "build it anew"
    return InputError(Issue(problem, file=file, fix=f"the result is damaged: rm -r {folder}, then {build}"))
