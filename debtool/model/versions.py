"""PEP 440 versions as Debian versions, in an order that dpkg and pip agree on.

The mapping, and why (dpkg's order is in deb-version(7): ``~`` sorts before the end, letters before other characters):

=================  =====================  ==============================================================
PEP 440            Debian                 because
=================  =====================  ==============================================================
``1.0a1``          ``1.0~a1``             ``~`` sorts before ``1.0``
``1.0.dev1``       ``1.0~~dev1``          ... and ``~~`` before ``1.0~a1``
``1.0a1.dev1``     ``1.0~a1~~dev1``
``1.0.post1``      ``1.0++post1``         above ``1.0+local``, below ``1.0.1`` (``+`` sorts before ``.``)
``1!2.0``          ``1:2.0``              both have epochs
``1.0+rocm6.3``    ``1.0+rocm6.3``        the local part stays: dpkg sorts it above ``1.0`` as PEP 440 does
=================  =====================  ==============================================================
"""

from __future__ import annotations

import re
from functools import total_ordering
from typing import TYPE_CHECKING

from debian.debian_support import NativeVersion

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from packaging.version import Version

# The upstream part may have hyphens where there is a revision (Policy 5.6.12): 14-20240412-0ubuntu1.
_DEBIAN_VERSION = re.compile(r"(?:[0-9]+:)?[0-9][A-Za-z0-9.+~]*(?:-[A-Za-z0-9.+~]+)*")


def upstream_version(version: Version) -> str:
    """Return the upstream part (with its epoch) of the Debian version for ``version``.

    >>> upstream_version(Version("1!2.0rc1.post2+cpu"))
    '1:2.0~rc1++post2+cpu'
    """
    text = f"{version.epoch}:" if version.epoch else ""
    text += ".".join(map(str, version.release))
    if version.pre is not None:
        text += f"~{version.pre[0]}{version.pre[1]}"
    if version.post is not None:
        text += f"++post{version.post}"
    if version.dev is not None:
        text += f"~~dev{version.dev}"
    if version.local is not None:
        text += f"+{version.local}"
    return text


@total_ordering
class DebianVersion:
    """A complete Debian version with dpkg's order.

    >>> DebianVersion("1.0~a1-1") < DebianVersion("1.0-1") < DebianVersion("1.0++post1-1") < DebianVersion("1.0.1-1")
    True
    """

    __slots__ = ("_key", "text")

    def __init__(self, text: str) -> None:
        if not _DEBIAN_VERSION.fullmatch(text):
            raise InputError(
                Issue(
                    f"{text!r} is no Debian version",
                    rule="[epoch:]upstream[-revision], the upstream part starting with a digit (Debian Policy 5.6.12)",
                    fix="correct the version",
                )
            )
        self.text = text
        self._key = NativeVersion(text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"DebianVersion({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DebianVersion) and bool(self._key == other._key)

    def __lt__(self, other: DebianVersion) -> bool:
        return bool(self._key < other._key)

    def __hash__(self) -> int:
        # dpkg has equal versions of different spelling (1.0 and 1.00); they are never used as two keys here.
        return hash(self.text)

    @property
    def without_epoch(self) -> str:
        """The version as file names carry it (the epoch's colon is left out)."""
        return self.text.partition(":")[2] or self.text

    @property
    def upstream(self) -> str:
        """Everything before the revision, the epoch included."""
        return self.text.rpartition("-")[0] or self.text


def with_revision(upstream: str, number: int, tag: str, suffix: str = "") -> DebianVersion:
    """Return ``upstream`` with the revision of build ``number`` for a target's ``tag``.

    >>> with_revision("1.26.4", 1, "u2404.rocm63")
    DebianVersion('1.26.4-1~u2404.rocm63')
    """
    return DebianVersion(f"{upstream}-{number}~{tag}{suffix}")


def revision_number(version: str) -> int:
    """Return N of a version made by `with_revision`; 0 for any other version."""
    match = re.search(r"-([0-9]+)~[A-Za-z0-9.+~]+$", version)
    return int(match[1]) if match else 0
