"""The source of a PyTorch build: fetched, verified, patched and made ready; again only if what it follows from changes.

Steps are stamps in the build's folder. A tree is changed only after a stamp says that it will be, so that a run which
was killed in the middle is noticed, and its tree is made untouched again before anything else is done to it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from debtool.build.git import is_ref
from debtool.build.series import apply_series, read_series, series_digest
from debtool.build.workplace import Workplace, digest_of
from debtool.deb.files import outside_errors, replace_file
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.model.text import amount
from debtool.torch.hipify import hipify
from debtool.torch.origin import DEBIAN_PACKAGE, UPSTREAM, DebianOrigin, Fetched, GitOrigin, TreeOrigin
from debtool.torch.releases import find_release, series_for, steps_for
from debtool.torch.tree import check_tree

if TYPE_CHECKING:
    from debtool.build.git import Run
    from debtool.torch.origin import Origin
    from debtool.torch.releases import Flavour, Step

_FETCHING, _FETCHED, _CHANGED, _PREPARED = "source-fetching", "source-fetched", "source-changed", "source-prepared"
_YES = "yes"
_SYNTAX = "DIR, GIT-URL@TAG, GIT-URL@COMMIT or debian:SUITE[/PACKAGE]"
# The path of an address, which may hold @: after scheme://authority/ or user@host:
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://[^/]*|[^/:@]+@[^/:]+:)")
_WORD = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """Which source is built.

    Attributes:
        version: The version of PyTorch; a local part is left aside.
        origin: Where it comes from.
        patches: A quilt series of the user's own, applied after what debtool brings.
    """

    version: Version
    origin: Origin
    patches: Path | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source that is ready to be configured.

    Attributes:
        tree: Its folder, below the build's own.
        version: Its version.
        flavour: Whose source it is.
        commit: Its git commit, where one is known.
        digest: What identifies it, with all that was done to it.
        verified: How it was verified, in words.
        steps: What was done to it, in words.
    """

    tree: Path
    version: Version
    flavour: Flavour
    commit: str | None
    digest: str
    verified: str
    steps: tuple[str, ...]


def parse_source(
    text: str | None, version: Version, *, keyring: Path | None = None, patches: Path | None = None
) -> SourceChoice:
    """Return the source that a user names with ``--source``; None is upstream's tag of ``version``.

    >>> parse_source(None, Version("2.7.1")).origin.ref
    'v2.7.1'
    >>> parse_source("debian:trixie", Version("2.6.0")).origin
    DebianOrigin(suite='trixie', package='pytorch')

    Raises:
        InputError: It names no source, or the keyring is missing or of no use.
    """
    origin = _origin(text or f"{UPSTREAM}@v{version.base_version}", version, keyring)
    if keyring is not None and not isinstance(origin, GitOrigin):
        fix = "leave it out, or give the source as a tag of a git repository"
        raise InputError(Issue("only a tag of a git repository has a signature", field="--tag-keyring", fix=fix))
    if keyring is not None and not keyring.is_file():
        raise InputError(Issue("there is no such keyring", file=keyring, field="--tag-keyring", fix="correct the path"))
    return SourceChoice(version, origin, patches)


def look_at(choice: SourceChoice, folder: Path) -> None:
    """Look at a source tree before anything is written into the build's ``folder``; other sources are not here yet.

    Raises:
        InputError: It is not PyTorch's source of the version, not whole, or lies in the folder.
    """
    _keep_apart(choice.origin, folder)
    if isinstance(choice.origin, TreeOrigin):
        check_tree(choice.origin.path, choice.version)


def prepare(choice: SourceChoice, folder: Path, *, rocm: bool, interpreter: Path, run: Run) -> Prepared:
    """Return the source, ready to be configured in ``folder``; what an earlier call has done is not done again.

    Args:
        choice: Which source.
        folder: The build's folder, held by this process alone.
        rocm: Whether it is rewritten for ROCm.
        interpreter: The Python that runs PyTorch's own scripts.
        run: Runs what takes long.

    Raises:
        InputError: The source is not PyTorch's, or not what it should be, or a patch does not apply to it.
        OutsideError: It cannot be fetched, or a program is missing or failed.
    """
    place, tree = Workplace(folder), folder / "source"
    _keep_apart(choice.origin, folder)
    with outside_errors("preparing the source"):
        key = digest_of(choice.version.base_version, choice.origin.key(choice.version))
        fetched, flavour = _fetched(place, choice, key, run)
        recipe = _recipe(choice, flavour, rocm=rocm)
        done = digest_of(key, recipe.digest)
        if not place.has(_PREPARED, done):
            if place.has(_CHANGED, _YES):
                fetched, flavour = _untouched(place, choice, key, run)
            place.mark(_CHANGED, _YES)
            _carry_out(recipe, tree, interpreter, run)
            os.sync()
            place.mark(_PREPARED, done)
    digest = "+".join([fetched.digest, *recipe.digest])
    version = Version(choice.version.base_version)
    return Prepared(tree, version, flavour, fetched.commit, digest, fetched.verified, recipe.words)


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What is done to an untouched tree: ``digest`` identifies it, ``words`` tell it."""

    patches: tuple[Path, ...]
    steps: tuple[Step, ...]
    rocm: bool
    digest: tuple[str, ...]
    words: tuple[str, ...]


def _recipe(choice: SourceChoice, flavour: Flavour, *, rocm: bool) -> _Recipe:
    folders = [folder for folder in (series_for(flavour, choice.version), choice.patches) if folder is not None]
    patches = tuple(patch for folder in folders for patch in read_series(folder))
    steps = steps_for(flavour, choice.version)
    digest = [f"series:{series_digest(patches)}"] if patches else []
    digest += [f"{step.name}:{digest_of(step.model_dump())}" for step in steps]
    words = [f"{amount(len(read_series(folder)), 'change')} of the series {folder.name}" for folder in folders]
    words += [" ".join(step.command) for step in steps]
    if rocm:
        digest.append("hipify")
        words.append("rewritten for ROCm (hipify)")
    return _Recipe(patches, steps, rocm, tuple(digest), tuple(words))


def _carry_out(recipe: _Recipe, tree: Path, interpreter: Path, run: Run) -> None:
    for step in recipe.steps:
        if shutil.which(step.command[0]) is None:
            fix = f"apt install {step.package}"
            raise OutsideError(Issue(f"{step.command[0]} is not installed: {step.reason}", rule=step.source, fix=fix))
    apply_series(recipe.patches, tree)
    for step in recipe.steps:
        run(step.command, "read the log", cwd=tree / step.folder)
        if not (tree / step.folder / step.makes).is_file():
            raise OutsideError(Issue(f"{step.command[0]} has not made {step.makes}", file=tree, fix="read the log"))
    if recipe.rocm:
        hipify(tree, interpreter, run)


def _fetched(place: Workplace, choice: SourceChoice, key: str, run: Run) -> tuple[Fetched, Flavour]:
    """Return what is known of the tree, which is fetched if it is not there whole."""
    tree, facts = place.folder / "source", place.folder / "source.json"
    if place.has(_FETCHED, key) and tree.is_dir():
        known = json.loads(facts.read_text(encoding="utf-8"))
        return Fetched(**known["fetched"]), known["flavour"]
    if not (choice.origin.resumes and place.has(_FETCHING, key)):
        # In this order: what says that a tree can be gone on with must not outlive what says that it is whole.
        for step in (_FETCHING, _PREPARED, _FETCHED):
            place.forget(step)
        if tree.exists():
            shutil.rmtree(tree)
        place.forget(_CHANGED)
        place.mark(_FETCHING, key)
    fetched = choice.origin.fetch(choice.version, tree, run)
    flavour = check_tree(tree, choice.version)
    replace_file(facts, json.dumps({"fetched": asdict(fetched), "flavour": flavour}, indent=1).encode())
    os.sync()  # the stamp must not be on the disk before what it stands for
    place.mark(_FETCHED, key)
    place.forget(_FETCHING)
    return fetched, flavour


def _untouched(place: Workplace, choice: SourceChoice, key: str, run: Run) -> tuple[Fetched, Flavour]:
    """Make the tree as it was fetched; until that is done, the stamp that says that it is changed stays."""
    place.forget(_PREPARED)
    if not choice.origin.restore(place.folder / "source", run):
        place.forget(_FETCHED)
    return _fetched(place, choice, key, run)


def _keep_apart(origin: Origin, folder: Path) -> None:
    """Refuse a tree that lies in the build's folder, where it would be deleted, or the other way round."""
    if not isinstance(origin, TreeOrigin):
        return
    tree, folder = origin.path.resolve(), folder.resolve()
    if tree.is_relative_to(folder) or folder.is_relative_to(tree):
        fix = "give a source outside it, or build in another folder"
        problem = f"the source and the build's folder {folder} lie in one another"
        raise InputError(Issue(problem, file=tree, field="--source", fix=fix))


def _origin(text: str, version: Version, keyring: Path | None) -> Origin:
    if text.startswith("debian:"):
        suite, slash, package = text.removeprefix("debian:").partition("/")
        if not (_WORD.fullmatch(suite) and (_WORD.fullmatch(package) or not slash)):
            raise _no_source(text, "name a suite, and a source package if it is not pytorch: debian:trixie/pytorch")
        return DebianOrigin(suite, package or DEBIAN_PACKAGE)
    if _is_folder(text):
        return TreeOrigin(Path(text).resolve())
    address = _ADDRESS.match(text)
    start = address.end() if address else 0
    base, at, ref = text[start:].rpartition("@")
    if address is None and not (at and _is_folder(base)):
        raise _no_source(text, f"give {_SYNTAX}", "there is no such folder")
    if not at or not is_ref(ref):
        problem = "a git repository needs the tag or the commit to build"
        raise _no_source(text, f"add it: {text.rpartition('@')[0] if at else text}@v{version.base_version}", problem)
    repository = text[:start] + base if address else str(Path(base).resolve())
    if repository.startswith("-"):
        raise _no_source(text, f"give {_SYNTAX}")
    release = find_release(version) if ref == f"v{version.base_version}" else None
    return GitOrigin(repository, ref, release.commit if release else None, keyring)


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except OSError:  # a name that is too long
        return False


def _no_source(text: str, fix: str, problem: str = "this names no source") -> InputError:
    return InputError(Issue(f"{problem}: {text}", field="--source", rule=f"--source {_SYNTAX}", fix=fix))
