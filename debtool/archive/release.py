"""The Release file of a suite: what it says, and when it may say that it was made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from debtool.archive.values import ArchiveConfig

_AHEAD = 5
"""Seconds that a Date may be ahead of the clock; apt refuses more than ten (``Acquire::Max-FutureTime``)."""

_PATIENCE = 60
"""Seconds that are waited for the clock to reach a Date; more than that is a wrong clock."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A line of the SHA256 field.

    Attributes:
        path: Relative to the suite.
        size: In bytes.
        sha256: In hexadecimal.
    """

    path: str
    size: int
    sha256: str


def release_settings(config: ArchiveConfig, suite: str, description: str) -> str:
    """Return the fields that stay the same from one generation to the next, a line each.

    Acquire-By-Hash: clients ask for indices by hash, so that none fetches one generation's index for another's
    Release. Only SHA256 is listed, because apt looks by-hash up under the strongest hash listed, and only there.
    """
    return (
        f"Origin: {config.origin}\n"
        f"Label: {config.label}\n"
        f"Suite: {suite}\n"
        f"Codename: {suite}\n"
        f"Architectures: {' '.join(config.architectures)}\n"
        f"Components: {config.component}\n"
        f"Description: {description}\n"
        "Acquire-By-Hash: yes\n"
        "No-Support-for-Architecture-all: Packages\n"
    )


def render_release(settings: str, date: int, valid_for: timedelta | None, files: Iterable[ListedFile]) -> bytes:
    """Return the Release file; ``date`` is in Unix seconds."""
    made = datetime.fromtimestamp(date, UTC)
    text = f"{settings}Date: {format_datetime(made, usegmt=True)}\n"
    if valid_for is not None:
        text += f"Valid-Until: {format_datetime(made + valid_for, usegmt=True)}\n"
    text += "SHA256:\n"
    text += "".join(f" {file.sha256} {file.size:>12} {file.path}\n" for file in files)
    return text.encode()


def next_date(previous: int | None, wanted: datetime | None) -> int:
    """Return the Date of the next Release file in Unix seconds: ``wanted`` or now, and after ``previous``.

    apt ignores a Release that is older than the one it has, and refuses one from the future; where publications
    follow each other within a second this waits for the clock.

    Raises:
        OutsideError: The date is more than a minute ahead: the clock is wrong, or was.
    """
    date = int(time.time() if wanted is None else wanted.timestamp())
    if previous is not None:
        date = max(date, previous + 1)
    ahead = date - time.time() - _AHEAD
    if ahead > _PATIENCE:
        when = datetime.fromtimestamp(date, UTC).isoformat()
        raise OutsideError(
            Issue(
                f"the Release file would be dated {when}, which is in the future",
                rule="apt refuses a Date more than 10 s ahead (apt.conf(5), Acquire::Max-FutureTime)",
                fix="set the clock; if the generation before was dated by a wrong clock, wait until that date",
            )
        )
    if ahead > 0:
        time.sleep(ahead)
    return date


def needs_refresh(date: int, valid_for: timedelta | None) -> bool:
    """Return whether half of a Release file's validity is over, so that an unchanged suite is signed anew."""
    return valid_for is not None and time.time() >= date + valid_for.total_seconds() / 2
