"""Which version of a distribution is installed in a site-packages folder, whole or half, and what that means."""

from __future__ import annotations

import base64
import contextlib
import json
import re

from .errors import OutsideError, PatchError
from .recipe import RELEASE
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .files import Folder
    from .recipe import Recipe


DEBIAN = "/usr/lib/python3/dist-packages"
"""dpkg's alone: packages there are whole, and may have neither RECORD nor INSTALLER (Debian Python Policy 2.5)."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What a site-packages folder says of a distribution.

    Attributes:
        version: Its version, if exactly one is told.
        info: The name of its .dist-info or .egg-info, if there is exactly one.
        whole: Its installation was finished. An installer writes RECORD last; packages of a distribution have none,
            and an INSTALLER that is no installer of wheels.
        recorded: The SHA-256 that RECORD has for the patched file.
    """

    version: str | None
    info: str | None = None
    whole: bool = False
    recorded: str | None = None


def installed(site: Folder, distribution: str, file: str) -> Installed:
    """Read what ``site`` says of a distribution, and of its ``file`` (its path below ``site``)."""
    found = infos(site.names(), distribution)
    if len(found) != 1:
        return Installed(_package_json(site, file))
    info = found[0]
    version = _version_in(info, distribution)
    if info.endswith(".egg-info"):
        return Installed(version, info, whole=True)
    with _opened(site, info) as folder:
        record, installer = _text(folder, "RECORD"), _text(folder, "INSTALLER")
    whole = record is not None or (installer or "").strip() not in {"", "pip", "uv"} or site.path == DEBIAN
    return Installed(version, info, whole, _recorded(record or "", file))


def infos(names: Sequence[str], distribution: str) -> list[str]:
    """Return the .dist-info names of a distribution, of all names in a folder; where there is none, its .egg-info."""
    wanted = normalized(distribution)
    found: dict[str, list[str]] = {".dist-info": [], ".egg-info": []}
    for name in names:
        stem, point, kind = name.rpartition(".")
        if point + kind in found and normalized(stem.partition("-")[0]) == wanted:
            found[point + kind].append(name)
    return found[".dist-info"] or found[".egg-info"]


def normalized(name: str) -> str:
    """Return a distribution's name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def release(version: str) -> tuple[int, ...] | None:
    """Return a version's release as numbers, without trailing zeros; None where it has none.

    A pre-release counts as its release, and an epoch is not looked at.
    """
    found = re.match(rf"(?:\d+!)?({RELEASE})", version)
    if found is None:
        return None
    numbers = [int(part) for part in found.group(1).split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def affected(recipe: Recipe, version: str) -> bool:
    """Say whether a version has the defect; one that cannot be understood may have it."""
    number = release(version)
    return number is None or any(
        (start is None or (release(start) or ()) <= number) and (end is None or number < (release(end) or ()))
        for start, end in recipe.affected
    )


def mended_upstream(recipe: Recipe, version: str) -> bool:
    """Say whether a version is a later one than all that have the defect."""
    number, ends = release(version), [end for _, end in recipe.affected]
    return number is not None and all(end is not None and (release(end) or ()) <= number for end in ends)


def needed(recipe: Recipe, site: Folder) -> tuple[bool | None, str]:
    """Say whether the defect shows with what is installed beside the copy, and why; None: it cannot be told."""
    if recipe.needed_with is None:
        return True, "needed whatever else is installed"
    other, first = recipe.needed_with.distribution, recipe.needed_with.first
    found = infos(site.names(), other)
    version = _version_in(found[0], other) if len(found) == 1 else None
    number = release(version) if version else None
    if number is None:
        return None, f"needed with {other} {first} or later; which one is used here is not known"
    if number >= (release(first) or ()):
        return True, f"needed: {other} {version} is {first} or later"
    unless = f", unless {recipe.needed_with.unless}" if recipe.needed_with.unless else ""
    return False, f"not needed at present: {other} {version} is before {first}{unless}"


def _version_in(info: str, distribution: str) -> str | None:
    """Return the version in ``name-version.dist-info``; an .egg-info may go on with ``-py3.12``."""
    stem = info.rpartition(".")[0]
    version = stem.partition("-")[2] if normalized(stem) != normalized(distribution) else ""
    return version.partition("-py")[0] or None


def _package_json(site: Folder, file: str) -> str | None:
    """Return the version that the package itself tells (gradio_client does), where no .dist-info tells one."""
    with contextlib.suppress(ValueError, AttributeError), _opened(site, file.partition("/")[0]) as folder:
        version = json.loads(_text(folder, "package.json") or "{}").get("version")
        if isinstance(version, str) and version:
            return version
    return None


def _recorded(record: str, file: str) -> str | None:
    for line in record.splitlines():
        if line.startswith(f"{file},sha256="):
            digest = line.split(",")[1].removeprefix("sha256=")
            with contextlib.suppress(ValueError):
                return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()
    return None


@contextlib.contextmanager
def _opened(site: Folder, name: str) -> Iterator[Folder | None]:
    folder = site.sub(name)
    if folder is None:
        yield None
        return
    with folder:
        yield folder


def _text(folder: Folder | None, name: str) -> str | None:
    if folder is None:
        return None
    try:
        return folder.read(name).data.decode(errors="replace")
    except (FileNotFoundError, PatchError, OutsideError):
        return None
