"""Fetching: every file of a lock, through pip's own configuration, into a cache that is addressed by content.

A file is in the cache, complete and with the lock's hash, or it is not there: it is downloaded into a scratch folder of
the cache, the hash is checked there, and a rename puts the file in place. What a broken run has finished is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename

from debtool.deb.files import replace_file, sha256_of
from debtool.model.errors import DebtoolError, InputError, Issue, OutsideError
from debtool.wheel.download import check_hash
from debtool.wheel.lock import LockedArtefact, LockedFile, file_identity
from debtool.wheel.pipconfig import PIP
from debtool.wheel.sdist import download_sdist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from packaging.version import Version

    from debtool.model.target import Target
    from debtool.wheel.lock import Lock

    # Called with what is finished, how many files are, and of how many; always from the thread that called `fetch`.
    Progress = Callable[[str, int, int], None]

# One pip start costs about half a second: small enough groups lose little when a run breaks, and show progress.
_GROUP = 6
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class FileCache:
    """Downloaded files below ``folder``, each at ``<sha256>/<file name>``."""

    folder: Path

    @classmethod
    def below(cls, cache: Path) -> FileCache:
        """Return the one in debtool's cache folder ``cache``."""
        return cls(cache / "files")

    def path(self, sha256: str, file: str) -> Path:
        """Return where a file is, or would be."""
        return self.folder / sha256 / file

    def sha256(self, path: Path) -> str:
        """Return the hash of a file: of one in the cache without reading it, of any other by reading it."""
        return path.parent.name if path.parent.parent == self.folder else sha256_of(path)

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder on the same file system, to be filled and emptied."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.folder)

    def keep(self, file: Path, sha256: str) -> Path:
        """Move a complete ``file`` with the hash ``sha256`` into the cache and return its path there."""
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        destination = self.path(sha256, file.name)
        destination.parent.mkdir(exist_ok=True)
        file.replace(destination)
        return destination

    def remember(self, note: Path, kept: Path) -> None:
        """Note at ``note``, a path in the cache, which of its files something is."""
        replace_file(note, json.dumps({"sha256": self.sha256(kept), "file": kept.name}).encode())

    def recall(self, note: Path) -> Path | None:
        """Return the file that was remembered at ``note``, if it is still there."""
        if not note.is_file():
            return None
        known = json.loads(note.read_text())
        path = self.path(known["sha256"], known["file"])
        return path if path.is_file() else None


def fetch(
    lock: Lock,
    target: Target,
    cache: FileCache,
    *,
    sources: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> dict[NormalizedName, Path]:
    """Return the path of every file of the lock's index part, and of every artefact that comes ready made.

    Args:
        lock: What to fetch.
        target: The lock's target.
        cache: Where files are kept; what is there is not fetched again.
        sources: For artefacts by name: a wheel or a folder of wheels, a wheel's URL, or an index's URL; ``external``
            artefacts without an entry are looked for in pip's own configuration, others are left out of the result.
            Names that the lock does not have are passed over.
        progress: Told of each file.

    Raises:
        InputError: A source has no wheel of that version for the target, or a file has another hash than the lock says.
        OutsideError: Something could not be downloaded.
    """
    given = {canonicalize_name(name): place for name, place in (sources or {}).items()}
    artefacts = [entry for entry in lock.artefacts if entry.kind == "external" or entry.name in given]
    result: dict[NormalizedName, Path] = {}
    total = len(lock.files) + len(artefacts)
    missing: list[LockedFile] = []
    for entry in lock.files:
        path = cache.path(entry.sha256, entry.file)
        if path.is_file():
            result[entry.name] = path
        else:
            missing.append(entry)
    absent: list[LockedArtefact] = []
    for artefact in artefacts:
        at_hand = _artefact_at_hand(artefact, target, cache, given.get(artefact.name))
        if at_hand is None:
            absent.append(artefact)
        else:
            result[artefact.name] = at_hand
    jobs: list[Callable[[], dict[NormalizedName, Path]]] = [
        lambda entry=artefact: {entry.name: _fetch_artefact(entry, target, cache, given.get(entry.name))}  # type: ignore[misc]
        for artefact in absent
    ]
    jobs += [lambda group=group: _fetch_group(group, target, cache) for group in _groups(missing)]  # type: ignore[misc]
    jobs += [
        lambda entry=entry: {entry.name: _fetch_locked_sdist(entry, target, cache)}  # type: ignore[misc]
        for entry in missing
        if not entry.is_wheel
    ]
    issues: list[Issue] = []
    kinds: set[type[DebtoolError]] = set()
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="debtool-fetch") as pool:
        for done in as_completed([pool.submit(job) for job in jobs]):
            try:
                found = done.result()
            except DebtoolError as error:
                issues += error.issues
                kinds.add(type(error))
                continue
            for name, path in found.items():
                result[name] = path
                if progress is not None:
                    progress(path.name, len(result), total)
    if issues:
        raise (InputError if InputError in kinds else OutsideError)(*issues)
    return dict(sorted(result.items()))


def _groups(files: Sequence[LockedFile]) -> Iterable[Sequence[LockedFile]]:
    wheels = [entry for entry in files if entry.is_wheel]
    yield from (wheels[start : start + _GROUP] for start in range(0, len(wheels), _GROUP))


def _fetch_group(group: Sequence[LockedFile], target: Target, cache: FileCache) -> dict[NormalizedName, Path]:
    lines = [f"{entry.name}=={entry.version} --hash=sha256:{entry.sha256}" for entry in group]
    options = ["--require-hashes", *_wheel_options(target)]
    with cache.scratch() as scratch:
        _pip_download(lines, options, Path(scratch))
        result = {}
        for entry in group:
            file = Path(scratch, entry.file)
            if not file.is_file():
                found = ", ".join(sorted(path.name for path in Path(scratch).iterdir() if path.suffix != ".txt"))
                raise OutsideError(
                    Issue(f"pip downloaded {found} in place of {entry.file}", fix="run `debtool lock` for this target")
                )
            _check_locked(file, entry.sha256)
            result[entry.name] = cache.keep(file, entry.sha256)
    return result


def _fetch_locked_sdist(entry: LockedFile, target: Target, cache: FileCache) -> Path:
    with cache.scratch() as scratch:
        file = download_sdist(entry.name, entry.version, target, Path(scratch))
        _check_locked(file, entry.sha256)
        # An index may spell the name otherwise than the one that was locked: MarkupSafe, markupsafe.
        return cache.keep(file.rename(file.with_name(entry.file)), entry.sha256)


def _note(entry: LockedArtefact, target: Target, cache: FileCache, place: str | None) -> Path:
    """Return where it is noted which file an external wheel is: it is remembered by where it was looked for."""
    key = hashlib.sha256(f"{entry} {target.python} {place or ''}".encode()).hexdigest()
    return cache.folder / "external" / f"{key}.json"


def _artefact_at_hand(entry: LockedArtefact, target: Target, cache: FileCache, place: str | None) -> Path | None:
    """Return the artefact's wheel if it is a local file, or was fetched before."""
    if place is not None and "://" not in place:
        path = Path(place)
        return _matching_wheel(entry, sorted(path.glob("*.whl")) if path.is_dir() else [path], target, place)
    return cache.recall(_note(entry, target, cache, place))


def _fetch_artefact(entry: LockedArtefact, target: Target, cache: FileCache, place: str | None) -> Path:
    with cache.scratch() as scratch:
        is_wheel = place is not None and place.partition("#")[0].endswith(".whl")
        line = f"{entry.name} @ {place}" if is_wheel else f"{entry.name}=={entry.version}"
        options = _wheel_options(target) if not is_wheel else []
        options += ["--index-url", place] if place is not None and not is_wheel else []
        try:
            _pip_download([line], options, Path(scratch))
        except OutsideError as error:
            raise _not_offered(entry, place, error) from None
        wheel = _matching_wheel(entry, sorted(Path(scratch).glob("*.whl")), target, place or "pip's configuration")
        digest = sha256_of(wheel)
        if entry.sha256 is not None:
            _check_locked(wheel, entry.sha256)
        kept = cache.keep(wheel, digest)
    cache.remember(_note(entry, target, cache, place), kept)
    return kept


def _matching_wheel(entry: LockedArtefact, files: Sequence[Path], target: Target, place: str) -> Path:
    """Return the one of ``files`` that is ``entry`` for the target."""
    tags = frozenset(target.tags())
    seen: list[str] = []
    for file in files:
        try:
            identity = file_identity(file.name)
        except ValueError:
            continue
        seen.append(file.name)
        if identity == (entry.name, entry.version) and parse_wheel_filename(file.name)[3] & tags and file.is_file():
            return file
    wanted = f"no wheel of {entry.name} {entry.version} for Python {target.python} ({target.name}) in {place}"
    found = f"; it has {', '.join(seen)}" if seen else ""
    raise InputError(Issue(f"{wanted}{found}", field=f"source {entry.name}", fix=_source_fix(entry)))


def _not_offered(entry: LockedArtefact, place: str | None, error: OutsideError) -> DebtoolError:
    if "No matching distribution" not in str(error):
        return error
    problem = f"{place or 'pip as it is configured here'} offers no {entry.name} {entry.version} for this target"
    if entry.version.local and place is None:
        problem += (
            f" (a build without +{entry.version.local} is another one: the plain {entry.name} wheels are CUDA builds)"
        )
    return InputError(Issue(problem, field=f"source {entry.name}", fix=_source_fix(entry)))


def _source_fix(entry: LockedArtefact) -> str:
    fix = f"pass --source {entry.name}=PATH|URL|INDEX-URL"
    return f"{fix}, such as the address of PyTorch's own CPU index" if entry.version.local == "cpu" else fix


def fetch_sdist(name: NormalizedName, version: Version, target: Target, cache: FileCache) -> LockedFile:
    """Fetch the sdist of a distribution in exactly this version into the cache, from where pip is configured to look.

    Returns:
        The line of a lock for it; its file is at ``cache.path(sha256, file)``.

    Raises:
        InputError: There is none, or the file is not the one that the index tells of.
        OutsideError: It cannot be had.
    """
    with cache.scratch() as scratch:
        file = download_sdist(name, version, target, Path(scratch))
        digest = sha256_of(file)
        return LockedFile(name, version, cache.keep(file, digest).name, digest)


def _wheel_options(target: Target) -> list[str]:
    platforms = dict.fromkeys(tag.platform for tag in target.tags() if tag.platform != "any")
    options = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", target.python_full]
    for platform in platforms:
        options += ["--platform", platform]
    return options


def _pip_download(lines: Sequence[str], options: Sequence[str], folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join([*lines, ""]))
    command = [
        *PIP,
        "download",
        "--quiet",
        "--no-deps",
        *options,
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    said = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line.strip()]
    text = " ".join(line.strip() for line in said if not line.startswith("WARNING"))
    names = ", ".join(line.split(" ")[0] for line in lines)
    if "DO NOT MATCH THE HASHES" in text:
        fix = "the index's file is not the one that was locked: find out why before you lock anew"
        raise InputError(Issue(f"{names}: another hash than the lock's: {text}", fix=fix))
    fix = "check the network and pip's settings (`pip config list`); what was fetched is kept"
    raise OutsideError(Issue(f"pip could not download {names}: {text}", fix=fix))


def _check_locked(file: Path, expected: str) -> None:
    fix = "the file is not the one that was locked: find out why before you lock anew"
    check_hash(file, expected, "the lock", fix=fix)
