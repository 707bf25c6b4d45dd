"""PyTorch's releases: the commits of their tags, the torchvision that belongs to each, and how sources are prepared."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from debtool.model.definition import Strict, parse_definition
from debtool.model.stack import Commit

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = Path(__file__).with_name("releases.toml")
_PATCHES = Path(__file__).with_name("patches")

Flavour = Literal["upstream", "debian"]


class Release(Strict):
    """A release of PyTorch.

    Attributes:
        version: Its version.
        commit: The commit of its tag ``v<version>``.
        vision: The version of torchvision that belongs to it.
        vision_commit: The commit of that torchvision, where it is known.
    """

    version: str
    commit: Commit
    vision: str
    vision_commit: Commit | None = None


class Step(Strict):
    """A command that some sources need before they are configured.

    Attributes:
        name: What it makes, in a word.
        flavour: Whose source it is for.
        versions: Which versions of PyTorch (PEP 440).
        folder: Where it runs, below the source's top.
        command: The program and its arguments.
        makes: The file in ``folder`` that is there afterwards.
        package: The Debian package that has the program.
        reason: Why it is needed.
        source: Who says so.
    """

    name: str
    flavour: Flavour
    versions: str
    folder: str
    command: tuple[str, ...]
    makes: str
    package: str
    reason: str
    source: str


class _File(Strict):
    release: tuple[Release, ...]
    step: tuple[Step, ...]


@cache
def _file() -> _File:
    return parse_definition(_FILE.read_text(encoding="utf-8"), _FILE, _File, "debtool/torch/releases.toml")


def releases() -> tuple[Release, ...]:
    """Return every release whose commit is known, oldest first."""
    return _file().release


def find_release(version: Version) -> Release | None:
    """Return the release ``version``, whatever its local part; None if it is not known.

    >>> find_release(Version("2.7.1+rocm6.3.noavx")).vision
    '0.22.1'
    """
    return next((found for found in releases() if Version(found.version) == Version(version.public)), None)


def steps_for(flavour: Flavour, version: Version) -> tuple[Step, ...]:
    """Return the steps that a source needs.

    >>> [step.name for step in steps_for("debian", Version("2.6.0"))], steps_for("upstream", Version("2.6.0"))
    (['flatbuffers'], ())
    """
    return tuple(
        step
        for step in _file().step
        if step.flavour == flavour and SpecifierSet(step.versions).contains(version, prereleases=True)
    )


def series_for(flavour: Flavour, version: Version) -> Path | None:
    """Return the folder of the patches that debtool brings for a source; None if it needs none.

    The folders are called ``<flavour>-<release>``; the one with the longest release that ``version`` belongs to counts.

    >>> series_for("debian", Version("2.6.0")).name, series_for("upstream", Version("2.7.1"))
    ('debian-2.6', None)
    """
    return _longest(sorted(_PATCHES.iterdir()), flavour, version)


def _longest(folders: Sequence[Path], flavour: Flavour, version: Version) -> Path | None:
    found = [
        (len(release), folder)
        for folder in folders
        for name, _dash, release in [folder.name.partition("-")]
        if name == flavour and SpecifierSet(f"=={release}.*").contains(version, prereleases=True)
    ]
    return max(found)[1] if found else None
