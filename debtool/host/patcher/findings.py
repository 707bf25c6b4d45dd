"""A copy, and what there is to say of it."""

from __future__ import annotations

import time

from .values import dataclass

OURS, HAND, UPSTREAM = "this program", "hand", "upstream"
"""Who made a copy work."""

GOOD = frozenset({"patched", "unaffected", "missing", "restored"})
FAILED = frozenset({"unpatchable", "error"})
"""States that are a failure to tell of until the copy is well."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of the patched file.

    Attributes:
        path: Where it is, as the machine names it.
        diverted: Where its pristine file is, if dpkg diverts it (dpkg-divert(1)).
        python: The interpreter that imports it, if one is known.
        environment: The virtual or conda environment it is in, if it is in one.
        origin: How it came to be known: a configuration file and line, a record, the command line.
        named: Its very path was given, so its folder need not look like a finished installation.
    """

    path: str
    diverted: str | None = None
    python: str | None = None
    environment: str | None = None
    origin: str = ""
    named: bool = False

    @property
    def folder(self) -> str:
        """The folder that it is in."""
        return self.path.rpartition("/")[0] or "/"

    @property
    def name(self) -> str:
        """Its name in that folder."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True)
class Finding:
    """What there is to say of one copy; printed by every command and recorded by those that change things.

    ``state`` is one of patched, unpatched, unaffected, missing, restored, installing, unpatchable and error.
    ``verified`` says how the behaviour was seen ("functions in isolation", "imported by …"), and ``verified_time``
    when (seconds since 1970). ``refused`` tells what a wrong import came of: the patched text, and what was beside it.
    """

    path: str
    state: str
    reason: str
    version: str | None = None
    affected: bool | None = None
    needed: bool | None = None
    needed_why: str | None = None
    level: str | None = None
    by: str | None = None
    diverted: str | None = None
    changed: bool = False
    pristine_sha256: str | None = None
    patched_sha256: str | None = None
    verified: str | None = None
    verified_time: int | None = None
    unverified: str | None = None
    prevention: str | None = None
    python: str | None = None
    origin: str = ""
    named: bool = False
    fix: str | None = None
    refused: str | None = None

    @property
    def good(self) -> bool:
        """Nothing is left to do."""
        return self.state in GOOD

    @property
    def status(self) -> int:
        """The exit status that this finding alone deserves."""
        return 0 if self.good else 3 if self.state == "error" else 1

    def content(self) -> dict[str, object]:
        """Return it as a JSON object, with the time (seconds since 1970)."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "time": int(time.time())}

    def seen(self, how: str) -> None:
        """Note how, and now, the behaviour was verified."""
        self.verified, self.verified_time, self.unverified = how, int(time.time()), None
