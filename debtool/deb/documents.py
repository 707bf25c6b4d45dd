"""The documentation in packages: copyright, changelog, manual pages (Debian Policy 12.5, 12.7, 12.1)."""

from __future__ import annotations

import email.utils
import gzip
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from debtool.deb.payload import Sink


def debian_changelog(package: str, version: str, maintainer: str, date: int, *changes: str) -> str:
    """Return a changelog of one entry (Policy 4.4); ``date`` is in seconds since 1970.

    >>> print(debian_changelog("x", "1.0-1", "A <a@b.c>", 0, "First."))
    x (1.0-1) unstable; urgency=medium
    <BLANKLINE>
      * First.
    <BLANKLINE>
     -- A <a@b.c>  Thu, 01 Jan 1970 00:00:00 +0000
    <BLANKLINE>
    """
    lines = "\n".join(f"  * {change}" for change in changes)
    stamp = email.utils.formatdate(date)
    stamp = stamp.removesuffix("-0000") + "+0000"
    return f"{package} ({version}) unstable; urgency=medium\n\n{lines}\n\n -- {maintainer}  {stamp}\n"


def documentation(sink: Sink, package: str, *, copyright_text: str, changelog: str) -> None:
    """Offer the copyright file and the Debian changelog of ``package``."""
    folder = f"/usr/share/doc/{package}"
    add_text(sink, f"{folder}/copyright", copyright_text)
    _add_compressed(sink, f"{folder}/changelog.Debian", changelog)


def manual_page(sink: Sink, name: str, section: int, text: str) -> None:
    """Offer the manual page of ``name`` in ``section``."""
    _add_compressed(sink, f"/usr/share/man/man{section}/{name}.{section}", text)


def add_text(sink: Sink, path: str, text: str, *, mode: int = 0o644) -> None:
    """Offer a file with ``text`` in UTF-8."""
    data = text.encode()
    sink.add_file(path, io.BytesIO(data), len(data), mode=mode)


def _add_compressed(sink: Sink, path: str, text: str) -> None:
    # No file name and no time stamp in the gzip header, so that equal text gives equal bytes.
    packed = gzip.compress(text.encode(), 9, mtime=0)
    sink.add_file(f"{path}.gz", io.BytesIO(packed), len(packed))
