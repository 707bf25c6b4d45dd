"""Patching a copy: in place, or from the file that dpkg diverts."""

# ruff: noqa: PLC0415
# What only some runs need is loaded there.
from __future__ import annotations

import contextlib
import os

from . import behaviour, bytecode, text
from .errors import ChangedError, OutsideError, PatchError
from .examining import ISOLATED, Look, add_versions, examine, judged, untouched
from .files import temporary_name
from .findings import FAILED, OURS, UPSTREAM, Copy, Finding
from .state import digest
from .verifying import verify_by_import

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from .examining import Host
    from .files import Folder

TRIES = 3
"""How often a file that somebody else changes meanwhile is looked at again."""


def apply_plain(host: Host, copy: Copy, level: str, *, full: bool, again: bool) -> Finding:
    """Patch a copy in place and record it. A copy that behaves without this program is left alone.

    With ``full``, the copy's own interpreter is asked what it imports afterwards; wrong behaviour puts the pristine
    file back. That is not tried ``again`` unasked, as long as nothing else is installed: whoever watches would never
    come to rest. Raises PatchError, OutsideError.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(ChangedError):
            return _apply_once(host, copy, level, full=full, again=again)
    return _apply_once(host, copy, level, full=full, again=again)


def _apply_once(host: Host, copy: Copy, level: str, *, full: bool, again: bool) -> Finding:
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
    attempt = f"{digest(look.patched)} beside {host.beside(copy)}"
    record = host.state.record(copy.path)
    if not again and record is not None and record.get("refused") == attempt:
        finding.state, finding.reason, finding.refused = "unpatchable", str(record["reason"]), attempt
        finding.fix = f"mend what it names, then: {host.recipe.package} apply {copy.path}"
        return finding
    pristine = text.pristine_text(source.data, host.recipe) or source.data
    finding.pristine_sha256 = host.state.keep(pristine, finding.version)
    finding.patched_sha256 = host.state.keep(look.patched, finding.version)
    name = copy.name
    with host.open(copy) as folder:
        bytecode.remove_hiding(folder, name)
        folder.replace(
            name, look.patched, marker=host.recipe.marker, like=source, still=untouched(host, copy, folder, look)
        )
        bytecode.refresh(folder, name, shown=copy.path, suffix=None, marker=host.recipe.marker)
        finding.state, finding.level, finding.by, finding.changed = "patched", level, OURS, True
        finding.reason = f"guards inserted, level {level}"
        finding.seen(ISOLATED)
        if full:
            _confirm(host, copy, look, folder, look.patched, pristine)
            finding.refused = attempt if finding.state == "unpatchable" else None
    host.state.write_record(finding)
    return finding


def _confirm(host: Host, copy: Copy, look: Look, folder: Folder, patched: bytes, pristine: bytes) -> None:
    """Verify a patched copy by import; put the pristine text back where that shows wrong behaviour."""
    finding = look.finding
    verify_by_import(host, copy, look, finding.level or host.recipe.levels[0])
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
    add_versions(host, copy, look)
    content = pristine.data
    if finding.affected is False:
        finding.state = "unaffected"
        finding.reason = f"{recipe.distribution} {finding.version} needs no patch"
    else:
        try:
            content = text.patched_text(pristine.data, recipe, level)
            before, after = behaviour.ask_isolated(recipe, [pristine.data, content])
            if (trouble := judged(before, after, level)) is not None:
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
