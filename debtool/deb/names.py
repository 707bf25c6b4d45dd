"""Which paths dpkg can carry."""

from __future__ import annotations

from debtool.model.errors import InputError, Issue

_COMPONENT_LIMIT = 255 - len(".dpkg-new")
"""Bytes in one component: NAME_MAX of Linux file systems, less what dpkg appends while it unpacks."""

_PATH_LIMIT = 4095 - len(".dpkg-new") - 256
"""Bytes in a path: PATH_MAX of Linux, less dpkg's suffix and room for a root directory to install into."""


def check_path(path: str) -> bytes:
    """Return ``path`` as the bytes that stand in a tar header, without the leading slash.

    Raises ``InputError`` unless it is absolute, normalised, UTF-8 and within the limits of dpkg and Linux.
    """
    problem = ""
    # A surrogate stands for a byte that was no UTF-8, or for nothing at all.
    raw = path.encode("utf-8", "replace")
    parts = raw.split(b"/")
    if parts[0] or len(parts) < 2 or not all(parts[1:]) or b"." in parts or b".." in parts:  # noqa: PLR2004
        problem = "is not absolute and normalised"
    elif b"\n" in raw or b"\0" in raw:
        problem = "has a line break or a NUL in it, which dpkg refuses"
    elif len(raw) > _PATH_LIMIT:
        problem = f"is longer than {_PATH_LIMIT} bytes"
    elif max(map(len, parts)) > _COMPONENT_LIMIT:
        problem = f"has a component longer than {_COMPONENT_LIMIT} bytes"
    elif any("\ud800" <= character <= "\udfff" for character in path):
        problem = "is not UTF-8"
    if problem:
        raise InputError(
            Issue(
                f"the path {path!r} {problem}",
                fix="rename the file upstream, or exclude it from the package",
                rule="Debian Policy 10.10, dpkg and path_resolution(7)",
            )
        )
    return raw[1:]
