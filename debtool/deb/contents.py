"""What a package's files came to, once they have passed through the writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a package.

    Attributes:
        path: Absolute.
        kind: What it is.
        size: Bytes of a regular file, else 0.
        md5: Hexadecimal digest of a regular file's contents, else empty.
    """

    path: str
    kind: Literal["file", "directory", "symlink"]
    size: int = 0
    md5: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """All paths of a package, in the order of data.tar and without the root directory."""

    entries: tuple[Entry, ...]

    @property
    def installed_size(self) -> int:
        """KiB as dpkg-gencontrol counts them: each file rounded up, 1 for everything else (Debian Policy 5.6.20)."""
        return sum(-(-entry.size // 1024) if entry.kind == "file" else 1 for entry in self.entries) + 1

    @property
    def conffiles(self) -> tuple[str, ...]:
        """Every regular file under /etc (Debian Policy 10.7.1), in path order."""
        return tuple(sorted(e.path for e in self.entries if e.kind == "file" and e.path.startswith("/etc/")))
