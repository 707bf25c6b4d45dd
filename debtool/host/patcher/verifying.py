"""Verifying: an interpreter is asked what it really imports."""

from __future__ import annotations

import contextlib
import os

from . import behaviour
from .errors import OutsideError
from .examining import examine

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from .examining import Host, Look
    from .findings import Copy, Finding


def verify(host: Host, copy: Copy, python: str | None) -> Finding:
    """Examine a copy, and ask its own interpreter, or ``python``, what it really imports; record the answer.

    Raises OutsideError.
    """
    look = examine(host, copy)
    finding = look.finding
    if look.source is not None and finding.state in {"patched", "unpatched"}:
        state, reason = finding.state, finding.reason
        verify_by_import(host, copy, look, finding.level or host.recipe.levels[0], python)
        if state == "unpatched":
            finding.state, finding.reason = state, reason
        elif state == finding.state == "patched" and finding.patched_sha256 is not None:
            with contextlib.suppress(OutsideError):  # whoever may not write there is told all the same
                host.state.write_record(finding)
    return finding


def verify_by_import(host: Host, copy: Copy, look: Look, level: str, python: str | None = None) -> None:
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
