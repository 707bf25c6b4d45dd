"""What pip, as it is configured here, offers of a distribution beside any lock: to read it, not to ship it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.wheel.pipconfig import PIP

if TYPE_CHECKING:
    from debtool.wheel.fetch import FileCache

# Whoever reads a wheel may have another Python than it is for.
_ANY_WHEEL = ("--only-binary", ":all:", "--ignore-requires-python")


def offered_versions(name: str) -> list[Version]:
    """Return the versions of a distribution that there are wheels of, ascending; no pre-releases, as pip does it.

    Raises:
        InputError: There is no such distribution.
        OutsideError: pip could not ask.
    """
    text = _pip("index", "versions", *_ANY_WHEEL, name, doing=f"list the versions of {name}", name=name)
    # pip-index(1): a heading and this line; newer versions have JSON too.
    prefix = "Available versions:"
    found = [line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)]
    return sorted(Version(version.strip()) for line in found for version in line.split(","))


def fetch_wheel(name: str, version: Version, cache: FileCache) -> Path:
    """Return a wheel of a distribution in exactly this version: a pure one, or one for this machine; kept in the cache.

    Raises:
        InputError: There is none.
        OutsideError: pip could not download it.
    """
    note = cache.folder / "offers" / f"{name}-{version}.json"
    if (known := cache.recall(note)) is not None:
        return known
    with cache.scratch() as scratch:
        options = ("--no-deps", *_ANY_WHEEL, "--dest", scratch)
        _pip("download", *options, f"{name}=={version}", doing=f"download {name} {version}", name=name)
        [file] = Path(scratch).glob("*.whl")
        kept = cache.keep(file, sha256_of(file))
    cache.remember(note, kept)
    return kept


def _pip(*arguments: str, doing: str, name: str) -> str:
    done = subprocess.run([*PIP, *arguments], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    said = " ".join(line.removeprefix("ERROR: ").strip() for line in done.stderr.splitlines() if "ERROR" in line)
    if "No matching distribution" in said:
        problem = f"pip as it is configured here offers no wheel to {doing}"
        raise InputError(Issue(problem, field=name, fix="correct the name or the version, or give a wheel"))
    fix = "check the network and pip's settings (`pip config list`)"
    raise OutsideError(Issue(f"pip could not {doing}: {said}", field=name, fix=fix))
