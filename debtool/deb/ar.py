"""The outer container of a .deb: an ar archive as deb(5) and dpkg's ``lib/dpkg/ar.c`` define it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"!<arch>\n"
HEADER_SIZE = 60
MEMBER_LIMIT = 9_999_999_999
"""Bytes in the largest member: ar's size field has ten decimal digits (dpkg ``lib/dpkg/ar.c``)."""

_NAME_LIMIT = 15
"""Characters in a member's name that dpkg reads back: sixteen with the slash that some tools append."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where one member lies.

    Attributes:
        name: Without the trailing spaces and slash that ar pads it with.
        offset: Of the first byte of its data, from the start of the file.
        size: In bytes, without padding.
    """

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where the next member's header begins: members are padded to even offsets."""
        return self.offset + self.size + self.size % 2


def header(name: str, size: int, *, mtime: int) -> bytes:
    r"""Return the 60 bytes that stand before a member of ``size`` bytes, made at ``mtime`` (Unix seconds).

    >>> header("debian-binary", 4, mtime=0)
    b'debian-binary   0           0     0     100644  4         `\n'
    """
    if not 0 <= size <= MEMBER_LIMIT:
        msg = f"an ar member cannot have {size} bytes"
        raise ValueError(msg)
    if len(name) > _NAME_LIMIT:
        msg = f"an ar member cannot be called {name!r}"
        raise ValueError(msg)
    return f"{name:<16}{mtime:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode("ascii")


def members(stream: IO[bytes], *, path: Path) -> Iterator[Member]:
    """Yield the members of the ar archive ``stream`` in order, seeking past their data.

    ``path`` is what errors name. Raises ``InputError`` if the file is no ar archive, or ends before a member does.
    """
    total = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(len(MAGIC)) != MAGIC:
        raise _corrupt(path, "does not begin as an ar archive does")
    position = len(MAGIC)
    while position < total:
        stream.seek(position)
        raw = stream.read(HEADER_SIZE)
        if len(raw) < HEADER_SIZE or raw[58:] != b"`\n" or not raw[48:58].strip().isdigit():
            raise _corrupt(path, f"has no ar header at byte {position}")
        name = raw[:16].decode("ascii", errors="replace").rstrip().removesuffix("/")
        member = Member(name, position + HEADER_SIZE, int(raw[48:58]))
        if member.offset + member.size > total:
            raise _corrupt(
                path, f"ends inside its member {name}: {member.offset + member.size - total} bytes are missing"
            )
        yield member
        position = member.end


def _corrupt(path: Path, what: str) -> InputError:
    return InputError(
        Issue(f"the file {what}", fix="build or fetch the package again", file=path, rule="deb(5), section FORMAT")
    )
