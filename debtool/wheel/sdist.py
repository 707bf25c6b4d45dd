"""The sdist of a distribution, as an index has it.

uv tells where it is, and it is fetched from there. pip would ask it for its metadata even when it only downloads, and
some build backends answer by compiling all of it.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from debtool.model.errors import DebtoolError, InputError, Issue, OutsideError
from debtool.wheel.download import check_hash, download
from debtool.wheel.pipconfig import pip_indexes
from debtool.wheel.pylock import CannotResolveError, file_name, resolved

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from debtool.model.target import Target

_FIX = "check the network and pip's settings (`pip config list`); what was fetched is kept"


def download_sdist(name: NormalizedName, version: Version, target: Target, folder: Path) -> Path:
    """Return the sdist of a distribution in exactly this version, put into ``folder``; nothing of it is run.

    Args:
        name: The distribution.
        version: Its version.
        target: Whose Python it must be for.
        folder: A folder of one's own.

    Raises:
        InputError: There is none, or the file is not the one that the index tells of.
        OutsideError: It cannot be had.
    """
    try:
        [package] = resolved([f"{name}=={version}"], target, folder, "--no-deps", "--no-binary", name)
    except CannotResolveError as error:
        raise _not_had(name, version, error) from None
    sdist = package["sdist"]
    url = sdist.get("url") or (folder / sdist["path"]).resolve().as_uri()
    file = folder / file_name(sdist)
    if urlsplit(url).scheme == "file":
        _copy(url, file)
    else:
        indexes = pip_indexes()
        download(url, file, fix=_FIX, auth=indexes.auth_for(url), cert=indexes.cert, proxy=indexes.proxy)
    if (told := sdist.get("hashes", {}).get("sha256")) is not None:
        check_hash(file, told, "the index", fix="try again; if it stays, do not use this index, and tell its owner")
    return file


def _copy(url: str, file: Path) -> None:
    try:
        shutil.copyfile(url2pathname(urlsplit(url).path), file)
    except OSError as error:
        raise OutsideError(Issue(f"{file.name} cannot be read: {error.strerror}", fix=_FIX)) from None


def _not_had(name: str, version: Version, error: CannotResolveError) -> DebtoolError:
    if not error.unsolvable:
        return OutsideError(Issue(f"the sdist of {name} {version} was not found: {error}", fix=_FIX))
    fix = "take another version, or a wheel that was built elsewhere: an [[artefact]] of kind 'external'"
    problem = f"pip as it is configured here offers no sdist of {name} {version}"
    return InputError(Issue(problem, field=name, fix=fix))
