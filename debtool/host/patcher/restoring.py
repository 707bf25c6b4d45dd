"""Giving back: the pristine file, if the one that is there is still the one that this program wrote."""

from __future__ import annotations

import contextlib

from . import bytecode, text
from .errors import OutsideError, PatchError
from .examining import Look, untouched
from .findings import OURS, Copy, Finding
from .state import digest

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from .examining import Host


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
            name, pristine, marker=host.recipe.marker, like=present, still=untouched(host, copy, folder, look)
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
