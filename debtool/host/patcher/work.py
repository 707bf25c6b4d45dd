"""What the commands do to one copy: examine, patch, restore, verify."""

# ruff: noqa: PLC0415
# What only some runs need is loaded there.
from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import behaviour, bytecode, text, versions
from .errors import ChangedError, OutsideError, PatchError
from .files import temporary_name
from .findings import FAILED, HAND, OURS, UPSTREAM, Copy, Finding
from .state import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .behaviour import Behaviour
    from .files import Content, Folder, Tree
    from .places import Places
    from .recipe import Recipe
    from .state import State

ISOLATED = "functions in isolation"
TRIES = 3
"""How often a file that somebody else changes meanwhile is looked at again."""


@dataclass(frozen=True, slots=True)
class Host:
    """A patch on a machine: the recipe, the tree, the state, and where copies are."""

    recipe: Recipe
    tree: Tree
    state: State
    places: Places

    def site(self, copy: Copy) -> str:
        """Return the folder that a copy is imported from."""
        return self.places.site(copy.path)

    def open(self, copy: Copy) -> Folder:
        """Open the folder of a copy. Raises FileNotFoundError, PatchError, OutsideError."""
        return self.tree.folder(copy.folder)

    def installed(self, copy: Copy) -> versions.Installed:
        """Read what is installed where a copy is; nothing where that cannot be read."""
        try:
            with self.tree.folder(self.site(copy)) as site:
                return versions.installed(site, self.recipe.distribution, self.recipe.file)
        except (OSError, PatchError, OutsideError):
            return versions.Installed(None)


@dataclass(slots=True)
class Look:
    """A copy as it was seen, and what would become of it."""

    finding: Finding
    source: Content | None = None
    installed: versions.Installed = field(default_factory=lambda: versions.Installed(None))
    patched: bytes | None = None
    trouble: PatchError | None = None


def examine(host: Host, copy: Copy, wanted: str | None = None, *, run: bool = True) -> Look:
    """Say what a copy is, without changing anything; with ``wanted``, also what it would be at that level.

    Without ``run``, its mark says whether it is patched. Raises OutsideError where nothing can be asked.
    """
    finding = Finding(copy.path, "missing", "there is no such file", diverted=copy.diverted, origin=copy.origin)
    finding.python, finding.named = copy.python, copy.named
    look = Look(finding)
    try:
        with host.open(copy) as folder:
            look.source = folder.read(copy.name, attributes=wanted is not None)
    except FileNotFoundError:
        return look
    except PatchError as error:
        finding.state, finding.reason = "unpatchable", str(error)
        return look
    look.installed = host.installed(copy)
    _versions(host, copy, look)
    _history(host, look)
    if finding.affected is False:
        finding.state = "unaffected"
        finding.reason = f"{host.recipe.distribution} {finding.version} needs no patch"
        finding.by = UPSTREAM if versions.mended_upstream(host.recipe, finding.version or "") else None
    elif not look.installed.whole and not copy.diverted and not (copy.named and look.installed.info is None):
        finding.state = "installing"
        finding.reason = "its .dist-info is not there or not finished: it is being installed, or was left half-way"
        finding.fix = "wait for the installer; if none is running, install the distribution again"
    elif run:
        _behaviour(host, look, wanted)
    else:
        _by_mark(host, look)
    if finding.affected is not False and finding.needed is not False and host.recipe.prevention is not None:
        finding.prevention = _prevention(host, copy)
    return look


def listed(host: Host, copy: Copy, state: str | None = None, reason: str = "") -> Finding:
    """Say what a copy is as far as that shows without running anything; or that it is in a given state, and why.

    Raises OutsideError.
    """
    if state is None:
        return examine(host, copy, run=False).finding
    finding = Finding(copy.path, state, reason, diverted=copy.diverted, python=copy.python, origin=copy.origin)
    finding.named = copy.named
    finding.version = host.installed(copy).version
    finding.affected = versions.affected(host.recipe, finding.version) if finding.version else None
    return finding


def _versions(host: Host, copy: Copy, look: Look) -> None:
    """Fill in the version, whether it is affected, and whether the defect shows here."""
    finding, recipe = look.finding, host.recipe
    finding.version = look.installed.version
    finding.affected = versions.affected(recipe, finding.version) if finding.version else None
    with contextlib.suppress(OSError, PatchError, OutsideError), host.tree.folder(host.site(copy)) as site:
        finding.needed, finding.needed_why = versions.needed(recipe, site)


def _history(host: Host, look: Look) -> None:
    """Fill in what is recorded of these very bytes."""
    record = host.state.record(look.finding.path)
    if look.source is None or record is None or record.get("patched_sha256") != digest(look.source.data):
        return
    for name in ("pristine_sha256", "patched_sha256", "verified", "verified_time", "unverified"):
        setattr(look.finding, name, record.get(name))


def _behaviour(host: Host, look: Look, wanted: str | None) -> None:
    """Fill in how the copy behaves, and for ``wanted`` the patched text, if it behaves."""
    finding, recipe, source = look.finding, host.recipe, (look.source and look.source.data) or b""
    if wanted is not None:
        try:
            look.patched = text.patched_text(source, recipe, wanted)
        except PatchError as error:
            look.trouble = error
    patched = look.patched if look.patched not in {None, source} else None
    try:
        seen = behaviour.ask_isolated(recipe, [source] if patched is None else [source, patched])
    except PatchError as error:
        if patched is None:
            finding.state, finding.reason = "unpatchable", str(error)
            return
        look.trouble, look.patched = error, None
        _behaviour(host, look, None)
        return
    if patched is not None and wanted is not None:
        look.trouble = _judged(seen[0], seen[1], wanted)
    finding.level = seen[0].level()
    if finding.level is None:
        finding.state, finding.affected, finding.reason = "unpatched", True, recipe.defect
        return
    finding.state, finding.by = "patched", _who(host, look)
    finding.reason = f"it behaves, level {finding.level}"
    if finding.verified is None:
        finding.seen(ISOLATED)


def _by_mark(host: Host, look: Look) -> None:
    marked = look.source is not None and host.recipe.marker.encode() in look.source.data
    look.finding.state, look.finding.by = ("patched", OURS) if marked else ("unpatched", None)
    look.finding.reason = "this program's mark is in it" if marked else "this program's mark is not in it"


def _judged(before: Behaviour, after: Behaviour, level: str) -> PatchError | None:
    wrong = [*after.wrong(level), *after.changed(before)]
    return PatchError("the patched functions do not behave: " + "; ".join(wrong)) if wrong else None


def _who(host: Host, look: Look) -> str:
    """Say who made a copy behave: this program by its mark, upstream if it is as it was shipped, else somebody."""
    data = look.source.data if look.source else b""
    if host.recipe.marker.encode() in data:
        return OURS
    if look.installed.recorded is not None:
        return UPSTREAM if look.installed.recorded == digest(data) else HAND
    try:
        guarded = not text.missing(data, host.recipe, look.finding.level or host.recipe.levels[0])
    except PatchError:
        return UPSTREAM
    return HAND if guarded else UPSTREAM


def _prevention(host: Host, copy: Copy) -> str | None:
    """Say how the defect is kept away in the copy's environment by pip's own means."""
    what = host.recipe.prevention
    if what is None or copy.environment is None:
        return None
    file = f"{copy.environment}/pip.conf"
    content = host.tree.read(file)
    if content is not None and what.file.encode() in content.data:
        return f"in place: {file} holds {what.constraint}"
    return f"offered: pip --python {copy.python or copy.environment} config --site set install.constraint {what.file}"


# --- Patching -------------------------------------------------------------------------------------------------------


def apply_plain(host: Host, copy: Copy, level: str, *, full: bool) -> Finding:
    """Patch a copy in place and record it. A copy that behaves without this program is left alone.

    With ``full``, the copy's own interpreter is asked what it imports afterwards; wrong behaviour puts the pristine
    file back. Raises PatchError, OutsideError.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(ChangedError):
            return _apply_once(host, copy, level, full=full)
    return _apply_once(host, copy, level, full=full)


def _apply_once(host: Host, copy: Copy, level: str, *, full: bool) -> Finding:
    look = examine(host, copy, level)
    finding, source = look.finding, look.source
    if finding.state == "missing":
        host.state.forget(copy.path)
        return finding
    ours = finding.by == OURS
    if source is None or finding.state not in {"patched", "unpatched"} or (finding.state == "patched" and not ours):
        _settle_record(host, finding)
        return finding
    if ours and host.recipe.reaches(finding.level, level):
        _repair(host, copy, look, full=full)
        return finding
    if look.trouble is not None or look.patched is None:
        raise look.trouble or PatchError("there is nothing to patch")
    pristine = text.pristine_text(source.data, host.recipe) or source.data
    finding.pristine_sha256 = host.state.keep(pristine, finding.version)
    finding.patched_sha256 = host.state.keep(look.patched, finding.version)
    name = copy.name
    with host.open(copy) as folder:
        bytecode.remove_hiding(folder, name)
        folder.replace(
            name, look.patched, marker=host.recipe.marker, like=source, still=_untouched(host, copy, folder, look)
        )
        bytecode.refresh(folder, name, shown=copy.path, suffix=None, marker=host.recipe.marker)
        finding.state, finding.level, finding.by, finding.changed = "patched", level, OURS, True
        finding.reason = f"guards inserted, level {level}"
        finding.seen(ISOLATED)
        if full:
            _confirm(host, copy, look, folder, look.patched, pristine)
    host.state.write_record(finding)
    return finding


def _confirm(host: Host, copy: Copy, look: Look, folder: Folder, patched: bytes, pristine: bytes) -> None:
    """Verify a patched copy by import; put the pristine text back where that shows wrong behaviour."""
    finding = look.finding
    _verify_by_import(host, copy, look, finding.level or host.recipe.levels[0])
    if finding.state == "patched":
        return
    finding.reason += "; the pristine file is back"
    folder.replace(
        copy.name,
        pristine,
        marker=host.recipe.marker,
        like=look.source,
        still=lambda: _holds(folder, copy.name, patched),
    )
    bytecode.refresh(folder, copy.name, shown=copy.path, suffix=None, marker=host.recipe.marker)
    finding.level, finding.by, finding.changed = None, None, False


def _untouched(host: Host, copy: Copy, folder: Folder, look: Look) -> Callable[[], bool]:
    """Return the question whether file and distribution are still the ones that were looked at."""

    def ask() -> bool:
        try:
            present = folder.read(copy.name)
        except (FileNotFoundError, PatchError, OutsideError):
            return False
        return look.source is not None and present.same(look.source) and host.installed(copy) == look.installed

    return ask


def _repair(host: Host, copy: Copy, look: Look, *, full: bool) -> None:
    """Finish what a killed run left of a copy that is patched: leftovers, bytecode, the record."""
    finding, name = look.finding, copy.name
    with host.open(copy) as folder:
        with contextlib.suppress(OSError):
            folder.remove(temporary_name(name, host.recipe.marker))
            bytecode.remove_hiding(folder, name)
        if look.source is not None and finding.patched_sha256 is None:
            pristine = text.pristine_text(look.source.data, host.recipe)
            finding.patched_sha256 = host.state.keep(look.source.data, finding.version)
            if pristine is not None:
                finding.pristine_sha256 = host.state.keep(pristine, finding.version)
                if full:
                    _confirm(host, copy, look, folder, look.source.data, pristine)
    host.state.write_record(finding)


def _settle_record(host: Host, finding: Finding) -> None:
    """Record a copy that was left alone; an earlier failure must not be told of for ever."""
    record = host.state.record(finding.path)
    if not finding.good or (record is not None and record.get("state") in {*FAILED, "patched", "installing"}):
        host.state.write_record(finding)


def apply_diverted(host: Host, copy: Copy, level: str) -> Finding:
    """Write ``copy.path`` from the diverted pristine file: patched, or byte for byte where that cannot or need not be.

    Where the pristine file has gone, its package was removed: the patched file goes too. The functions are asked in
    isolation only: within a dpkg run the distribution's own dependencies may not be unpacked. Raises PatchError,
    OutsideError.
    """
    recipe, name, diverted = host.recipe, copy.name, copy.diverted or ""
    suffix = diverted.removeprefix(copy.path)
    finding = Finding(copy.path, "missing", "the package with this file is not installed", diverted=copy.diverted)
    finding.origin, finding.python = copy.origin, copy.python
    try:
        with host.open(copy) as folder:
            pristine = folder.read(name + suffix, attributes=True)
    except FileNotFoundError:
        if not _may_go(host, copy):
            finding.state, finding.reason = "unpatchable", f"{diverted} is not there, and {copy.path} is a package's"
            finding.fix = f"dpkg-divert --list {copy.path}; then apt install --reinstall {recipe.package}"
            host.state.write_record(finding)
            return finding
        finding.changed = _remove_leftovers(host, copy)
        if finding.changed or host.state.record(copy.path) is not None:
            host.state.write_record(finding)
        return finding
    look = Look(finding, pristine, host.installed(copy))
    _versions(host, copy, look)
    content = pristine.data
    if finding.affected is False:
        finding.state = "unaffected"
        finding.reason = f"{recipe.distribution} {finding.version} needs no patch"
    else:
        try:
            content = text.patched_text(pristine.data, recipe, level)
            before, after = behaviour.ask_isolated(recipe, [pristine.data, content])
            if (trouble := _judged(before, after, level)) is not None:
                raise trouble
            finding.state, finding.level = "patched", level
            finding.by = OURS if content != pristine.data else UPSTREAM
            finding.reason = f"guards inserted, level {level}"
            finding.seen(ISOLATED)
        except (PatchError, OutsideError) as error:
            content = pristine.data
            finding.state = "unpatchable" if isinstance(error, PatchError) else "error"
            finding.reason = f"the pristine file is in place: {error}"
    with host.open(copy) as folder:
        if not _holds(folder, name, content):
            folder.replace(name, content, marker=recipe.marker, like=pristine)
            finding.changed = True
        bytecode.refresh(folder, name, shown=copy.path, suffix=suffix, marker=recipe.marker)
    # Only now: whatever becomes of the state, the file that Python imports is there.
    finding.pristine_sha256 = host.state.keep(pristine.data, finding.version)
    finding.patched_sha256 = host.state.keep(content, finding.version)
    host.state.write_record(finding)
    return finding


def _holds(folder: Folder, name: str, content: bytes | None) -> bool:
    try:
        return folder.read(name).data == content
    except (FileNotFoundError, PatchError):
        return False


def _may_go(host: Host, copy: Copy) -> bool:
    """Say whether a file whose pristine one is gone is this program's: by its mark or its record, and no package's.

    A diversion may have been removed behind this package's back: then the file is its package's own again.
    """
    present = host.tree.read(copy.path)
    if present is None:
        return True
    recorded = (host.state.record(copy.path) or {}).get("patched_sha256")
    ours = host.recipe.marker.encode() in present.data or digest(present.data) == recorded
    return ours and not _owned(host.tree.root, copy.path)


def _remove_leftovers(host: Host, copy: Copy) -> bool:
    """Remove the patched file, its bytecode and then the folders that are empty and no package's."""
    name = copy.name
    try:
        with host.open(copy) as folder:
            there = folder.remove(name)
            folder.remove(temporary_name(name, host.recipe.marker))
            bytecode.remove_all(folder, name)
    except FileNotFoundError:
        return False
    path = f"{copy.folder}/{bytecode.CACHE}"
    while path != "/":
        parent, _, last = path.rpartition("/")
        try:
            with host.tree.folder(parent or "/") as folder:
                if folder.status(last) is not None:
                    if host.tree.names(path) or _owned(host.tree.root, path):
                        break
                    os.rmdir(last, dir_fd=folder.handle)
        except FileNotFoundError:
            break
        path = parent or "/"
    return there


def _owned(root: str, path: str) -> bool:
    """Say whether a dpkg package has this path; a diversion of it is no package's."""
    import subprocess

    asked = subprocess.run(  # noqa: PLW1510 -- 1: none has it
        ["dpkg-query", f"--root={root}", "--search", path], capture_output=True, text=True
    )
    return any(not line.startswith(("diversion by ", "local diversion ")) for line in asked.stdout.splitlines())


# --- Restoring and verifying ----------------------------------------------------------------------------------------


def restore(host: Host, copy: Copy) -> Finding:
    """Put the pristine file back where the file is still the one that this program wrote. Raises PatchError."""
    record = host.state.record(copy.path)
    name = copy.name
    finding = Finding(copy.path, "restored", "the pristine file is back", diverted=copy.diverted, origin=copy.origin)
    finding.named = copy.named
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(host.open(copy))
            present = folder.read(name, attributes=True)
        except FileNotFoundError:
            raise PatchError("the file is gone: there is nothing to restore") from None
        installed = host.installed(copy)
        finding.version = installed.version
        pristine = _kept_pristine(host, record, present.data, finding.version)
        look = Look(finding, present, installed)
        folder.replace(
            name, pristine, marker=host.recipe.marker, like=present, still=_untouched(host, copy, folder, look)
        )
        suffix = copy.diverted.removeprefix(copy.path) if copy.diverted else None
        bytecode.refresh(folder, name, shown=copy.path, suffix=suffix, marker=host.recipe.marker)
    finding.changed, finding.pristine_sha256 = True, digest(pristine)
    host.state.write_record(finding)
    return finding


def _kept_pristine(host: Host, record: dict[str, object] | None, present: bytes, version: str | None) -> bytes:
    """Return the text that belongs back in a copy. Raises PatchError where an old one would cover a newer one."""
    if record is None or record.get("state") != "patched":
        pristine = text.pristine_text(present, host.recipe)
        if pristine is None:
            raise PatchError("no patch of this file is recorded, and it holds none of this program; it stays as it is")
        return pristine
    if digest(present) != record.get("patched_sha256"):
        raise PatchError("the file is not the one that was patched (upgraded or edited since); it stays as it is")
    if record.get("version") != version:
        was = record.get("version") or "an unknown version"
        raise PatchError(f"the kept file is of {was}, {version or 'no known version'} is installed; it stays as it is")
    if record.get("by") != OURS:
        raise PatchError("this program did not patch it; it stays as it is")
    try:
        return host.state.kept(str(record.get("pristine_sha256")), version)
    except (PatchError, OutsideError):
        pristine = text.pristine_text(present, host.recipe)
        if pristine is None or digest(pristine) != record.get("pristine_sha256"):
            raise
        return pristine


def verify(host: Host, copy: Copy, python: str | None) -> Finding:
    """Examine a copy, and ask its own interpreter, or ``python``, what it really imports; record the answer.

    Raises OutsideError.
    """
    look = examine(host, copy)
    finding = look.finding
    if look.source is not None and finding.state in {"patched", "unpatched"}:
        state, reason = finding.state, finding.reason
        _verify_by_import(host, copy, look, finding.level or host.recipe.levels[0], python)
        if state == "unpatched":
            finding.state, finding.reason = state, reason
        elif state == finding.state == "patched" and finding.patched_sha256 is not None:
            with contextlib.suppress(OutsideError):  # whoever may not write there is told all the same
                host.state.write_record(finding)
    return finding


def _verify_by_import(host: Host, copy: Copy, look: Look, level: str, python: str | None = None) -> None:
    """Ask an interpreter what it imports, as the file's owner or nobody; wrong behaviour makes it unpatchable.

    Its own dependencies may be absent: then nothing is known, nothing is claimed and nothing is undone. A ``python``
    that was asked for is to import this very copy.
    """
    finding = look.finding
    asked = python or (host.tree.at(copy.python) if copy.python else None)
    if asked is None or look.source is None:
        finding.unverified = "by import: no interpreter of this copy is known"
        return
    account = behaviour.account_of(look.source.status.st_uid, look.source.status.st_gid)
    seen = behaviour.ask_import(host.recipe, asked, account)
    if seen.behaviour is None:
        finding.unverified = f"by import: {seen.why}"
    elif os.path.realpath(seen.file) != os.path.realpath(host.tree.at(copy.path)):
        finding.unverified = f"by import: {asked} imports another copy: {seen.file}"
        if python is not None:
            finding.state, finding.reason = "unpatchable", f"{asked} imports another copy: {seen.file}"
    elif wrong := seen.behaviour.wrong(level):
        finding.verified, finding.verified_time, finding.state = None, None, "unpatchable"
        finding.reason = f"{asked} imports code that does not behave: {'; '.join(wrong)}"
    else:
        finding.seen(f"imported by {asked}")
