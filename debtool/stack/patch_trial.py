"""A patch tried on real wheels: each is laid out as if installed, and the program of the package runs on it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from debtool.deb.templates import render
from debtool.host.patcher.behaviour import ask_isolated
from debtool.host.patcher.errors import OutsideError as EngineOutsideError
from debtool.host.patcher.errors import PatchError
from debtool.host.patcher.recipe import parse as parse_document
from debtool.host.patcher.text import patched_text
from debtool.model.errors import InputError, Issue, OutsideError
from debtool.model.releases import within
from debtool.model.text import amount
from debtool.stack.host_program import host_package
from debtool.stack.patches import PatchPaths, document_text, patch_document
from debtool.wheel.fetch import FileCache
from debtool.wheel.lock import file_identity
from debtool.wheel.offers import fetch_wheel, offered_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packaging.version import Version

    from debtool.host.patcher.recipe import Recipe
    from debtool.model.patch import Patch

_SITE = "/srv/trial/lib/python3/site-packages"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one wheel.

    Attributes:
        file: The wheel's name.
        version: Its version.
        affected: Whether the patch file says that it needs the patch.
        located: Whether every place that an edit names is there.
        state: What the program calls the copy after it ran: ``patched``, ``unaffected``, ``unpatchable`` ….
        changed: Whether it changed a byte of the file.
        before: What was not as the checks ask, a line a check; None where the functions do not run by themselves.
        after: The same of the patched text.
        problems: What is wrong, none if the patch does what it says.
        notes: What is worth knowing and no problem.
    """

    file: str
    version: Version
    affected: bool
    located: bool
    state: str
    changed: bool
    before: tuple[str, ...] | None
    after: tuple[str, ...] | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]


class TrialWatcher(Protocol):
    """Is told how far it is."""

    def stage(self, name: str, total: int | None) -> None:
        """A stage of ``total`` steps begins."""

    def step(self, what: str) -> None:
        """One of them is done."""


def telling_versions(offered: Sequence[Version], patch: Patch) -> list[Version]:
    """Return the versions that tell most of ``patch``: on both sides of each end of its ranges, and the newest.

    >>> from packaging.version import Version
    >>> from debtool.model.patch import Patch
    >>> patch = Patch.model_construct(affected=">=0.7,<1.8")
    >>> offered = [Version(text) for text in ("0.5", "0.6", "0.7.0", "0.9", "1.7.2", "1.8.0", "1.9", "2.0")]
    >>> [str(version) for version in telling_versions(offered, patch)]
    ['0.6', '0.7.0', '1.7.2', '1.8.0', '2.0']
    """
    ordered = sorted(offered)
    inside = [within(version, patch.ranges) for version in ordered]
    edges = {i for i in range(1, len(ordered)) if inside[i] != inside[i - 1]}
    chosen = edges | {i - 1 for i in edges} | ({len(ordered) - 1} if ordered else set())
    if ordered and inside[0]:
        chosen.add(0)
    return [ordered[index] for index in sorted(chosen)]


def trial_wheels(patch: Patch, versions: Sequence[Version] | None, cache: Path, watcher: TrialWatcher) -> list[Path]:
    """Return wheels of ``versions``, by default of `telling_versions`, fetched as pip is configured.

    Raises:
        InputError: There is no such wheel.
        OutsideError: pip failed.
    """
    if versions is None:
        versions = telling_versions(offered_versions(patch.distribution), patch)
    files = FileCache.below(cache)
    watcher.stage("fetching", len(versions))
    found = []
    for version in versions:
        found.append(fetch_wheel(patch.distribution, version, files))
        watcher.step(found[-1].name)
    return found


def try_patch(patch: Patch, wheels: Sequence[Path], watcher: TrialWatcher) -> list[Trial]:
    """Return what becomes of each wheel, by version.

    Raises:
        InputError: A file is no wheel of the patch's distribution.
        OutsideError: The program does not run here.
    """
    identities = {wheel: _identity(wheel, patch.distribution) for wheel in wheels}
    watcher.stage("trying", len(wheels))
    found = []
    with _program(patch) as program:
        for wheel, version in sorted(identities.items(), key=lambda item: item[1]):
            found.append(_try(patch, program, wheel, version))
            watcher.step(wheel.name)
    return found


def _identity(wheel: Path, distribution: str) -> Version:
    try:
        name, version = file_identity(wheel.name)
    except ValueError as error:
        raise InputError(Issue(f"is no wheel: {error}", file=wheel, fix="give a wheel")) from None
    if name != distribution or wheel.suffix != ".whl":
        raise InputError(Issue(f"is no wheel of {distribution}", file=wheel, fix="give one that the patch is for"))
    return version


@dataclass(frozen=True, slots=True)
class _Program:
    """The program of the patch's package, in a folder of its own.

    Attributes:
        launcher: What is run.
        recipe: What it reads.
    """

    launcher: Path
    recipe: Recipe

    def apply(self, root: Path, path: str) -> dict[str, Any]:
        """Run it on one copy below ``root``, as in a dpkg run, and return what it says of it."""
        command = [sys.executable, "-IS", str(self.launcher), "--root", str(root), "apply", "--trigger", "--json", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            [copy] = json.loads(done.stdout)["copies"]
        except (ValueError, KeyError) as error:
            said = (done.stderr.strip().splitlines() or [str(error)])[-1]
            fix = "if it is no matter of this machine, report it: it is a defect of debtool"
            raise OutsideError(Issue(f"the patch program gave no answer: {said}", fix=fix)) from None
        result: dict[str, Any] = copy
        return result


@contextmanager
def _program(patch: Patch) -> Iterator[_Program]:
    paths = PatchPaths("debtool-trial", "debtool", "trial", f"{_SITE}/{patch.file}", "3")
    document = {**patch_document(patch, paths), "diverted": None}
    with tempfile.TemporaryDirectory(prefix="debtool-patch-") as folder:
        yield _Program(write_program(document, Path(folder)), parse_document(document, "patch.json"))


def write_program(document: dict[str, Any], share: Path) -> Path:
    """Put the program of a patch's package, its modules and ``document`` into a folder; return what is to be run."""
    for name, source in host_package("patcher").items():
        _write(share / "patcher" / name, source.encode())
    file = share / "patch.json"
    _write(file, document_text(document).encode())
    values = {"package": document["package"], "share": str(share), "document": str(file)}
    _write(share / "launcher", render("patch/launcher.j2", **values).encode())
    return share / "launcher"


def _try(patch: Patch, program: _Program, wheel: Path, version: Version) -> Trial:
    with tempfile.TemporaryDirectory(prefix="debtool-patch-") as folder:
        root = Path(folder)
        site = root / _SITE.lstrip("/")
        source = _lay_out(wheel, patch.file, site)
        said = program.apply(root, f"{_SITE}/{patch.file}")
        copy = site / patch.file
        result = copy.read_bytes() if copy.is_file() else None
    affected = within(version, patch.ranges)
    located, before, after, why = _examine(program.recipe, source)
    changed = result != source
    notes = []
    if affected:
        problems = list(_unmended(said, why, after, changed=changed))
        if before == ():
            notes.append("affected, but right before it is patched: is the range too wide?")
    else:
        problems = ["not affected, and changed all the same"] if changed else []
        if before:
            notes.append(
                f"not affected, yet {amount(len(before), 'check')} not passed, such as {before[0]}: as intended?"
            )
    if said["affected"] is not None and said["affected"] is not affected:
        problems.append(f"the program takes it for {'' if said['affected'] else 'un'}affected")
    parts = (located, str(said["state"]), changed, before, after, tuple(problems), tuple(notes))
    return Trial(wheel.name, version, affected, *parts)


def _unmended(said: dict[str, Any], why: str, after: tuple[str, ...] | None, *, changed: bool) -> Iterable[str]:
    """Return why an affected copy is not mended."""
    if said["state"] != "patched":
        yield f"{said['state']}: {said['reason']}"
    elif why:
        yield why
    elif after:
        yield from after
    if changed and said["state"] != "patched":
        yield "changed, though it could not be patched"


def _examine(recipe: Recipe, source: bytes | None) -> tuple[bool, tuple[str, ...] | None, tuple[str, ...] | None, str]:
    """Return whether the edits fit, what is wrong before and after them, and what is in the way of knowing."""
    if source is None:
        return False, None, None, "the file is not there"
    located, texts = True, [source]
    why = ""
    try:
        texts.append(patched_text(source, recipe, recipe.ships))
    except PatchError as error:
        located, why = False, str(error)
    try:
        answers = ask_isolated(recipe, texts)
    except PatchError as error:
        return located, None, None, str(error)
    except EngineOutsideError as error:
        raise OutsideError(Issue(str(error), fix="mend what it names")) from None
    wrong = [tuple(one.wrong(recipe.ships)) for one in answers]
    if not located:
        return False, wrong[0], None, why
    return True, wrong[0], (*wrong[1], *answers[1].changed(answers[0])), ""


def _lay_out(wheel: Path, file: str, site: Path) -> bytes | None:
    """Put the patched file and the metadata of a wheel where pip would; return the file, None if it has none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                top = PurePosixPath(name).parts[0]
                if top.endswith(".dist-info") or name == file:
                    archive.extract(name, site)
            return archive.read(file) if file in archive.namelist() else None
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(Issue(f"cannot be read: {error}", file=wheel, fix="give a whole wheel")) from None


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
