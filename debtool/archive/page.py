"""The archive's pages: what is published, how a machine follows it, and what each package's CPU audit says.

A suite's page lies in the tree of its generation and is switched with it. The front page names the suites. Neither is
signed: what apt reads is the truth, and the pages only tell of it. Their last line is the hash of the rest, so that
damage is found whatever version of debtool wrote them.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from debtool.archive.client import sources_stanza
from debtool.audit.html import render_page
from debtool.audit.summary import LEVELS
from debtool.model.text import amount, human_bytes, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from debtool.archive.index import IndexedPackage
    from debtool.archive.layout import Layout
    from debtool.archive.values import ArchiveConfig, Key

AUDIT_FIELD = "Debtool-Isa-Audit"
"""The control field with what a package's audit came to: the CPU baseline, a word of `_WORDS`, and ``emulated`` if the
package was run on such a CPU, as in ``westmere dispatch-safe emulated``."""

_WORDS = {
    **{level.value: promise for level, promise in LEVELS.items()},
    "excepted": "may execute some, and the stack says why that is right",
}

_TEMPLATES = Path(__file__).with_name("templates")
_SEAL = b"<!-- SHA-256 of the lines above: %s -->\n"
_ADDRESS = "<the address of this archive>/"
"""What stands for the archive's URL where its configuration has none."""


def front_page(layout: Layout, config: ArchiveConfig, fingerprint: str, suites: Iterable[str]) -> bytes:
    """Return the page of the archive, which leads to those of ``suites``."""
    return _sealed(
        render_page(
            _TEMPLATES,
            "front.html.j2",
            config=config,
            fingerprint=_grouped(fingerprint),
            suites=sorted(suites),
            key_binary=layout.served_key_binary.name,
            key_armored=layout.served_key_armored.name,
        )
    )


def suite_page(
    layout: Layout,
    config: ArchiveConfig,
    key: Key,
    suite: str,
    *,
    number: int,
    date: int,
    description: str,
    packages: Sequence[IndexedPackage],
) -> bytes:
    """Return the page of generation ``number`` of a suite, whose Release has ``date`` (Unix seconds)."""
    rows = [_row(one) for one in packages]
    return _sealed(
        render_page(
            _TEMPLATES,
            "suite.html.j2",
            config=config,
            suite=suite,
            number=number,
            date=f"{datetime.fromtimestamp(date, UTC):%Y-%m-%d %H:%M} UTC",
            description=description,
            fingerprint=_grouped(key.fingerprint),
            enrolment=_enrolment(layout, config, key, suite, packages),
            levels={word: promise for word, promise in _WORDS.items() if word in {row["level"] for row in rows}},
            count=amount(len(rows), "package"),
            size=human_bytes(sum(one.package.size for one in packages)),
            packages=rows,
        )
    )


def is_sound(page: bytes) -> bool:
    """Return whether a page is as it was written."""
    body, separator, seal = page.rpartition(b"<!--")
    return bool(separator) and separator + seal == _seal(body)


def names_suite(page: bytes, suite: str) -> bool:
    """Return whether the front page leads to a suite."""
    return f'href="dists/{suite}/index.html"'.encode() in page


def _sealed(page: bytes) -> bytes:
    return page + _seal(page)


def _seal(body: bytes) -> bytes:
    return _SEAL % hashlib.sha256(body).hexdigest().encode()


def _row(one: IndexedPackage) -> dict[str, Any]:
    audit = _field(one.stanza, AUDIT_FIELD)
    cpu, level, *more = [*audit.split(), "", ""][:3]
    known = level in _WORDS
    if not audit:
        audit = "no native code" if one.package.architecture == "all" else "not audited"
    return {
        "name": one.package.name,
        "version": one.package.version,
        "filename": quote(one.package.filename),
        "size": human_bytes(one.package.size),
        "summary": visible(_field(one.stanza, "Description")),
        "audit": visible(audit),
        "cpu": visible(cpu) + (", run emulated" if "emulated" in more else "") if known else "",
        "level": level if known else "",
    }


def _field(stanza: str, name: str) -> str:
    """Return the first line of a field of a control stanza, empty if it is not there (deb-control(5))."""
    found = re.search(rf"^{name}:[ \t]*(.*?)[ \t]*$", stanza, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _enrolment(
    layout: Layout, config: ArchiveConfig, key: Key, suite: str, packages: Iterable[IndexedPackage]
) -> dict[str, str]:
    """Return what a machine needs: the source, its file and, where a package of the suite brings the key, the key's.

    The paths are those of that package: two sources for one archive with different Signed-By stop apt altogether.
    """
    url = f"{config.url.rstrip('/')}/" if config.url else _ADDRESS
    for one in packages:
        name = one.package.name
        keyring = PurePosixPath(f"/usr/share/keyrings/{name}.gpg")
        sources = [PurePosixPath(path) for path in one.paths if path.startswith("/etc/apt/sources.list.d/")]
        mine = [path for path in sources if path.suffix == ".sources" and name.startswith(f"{path.stem}-")]
        if str(keyring) in one.paths and mine:
            return {
                "package": name,
                "keyring": str(keyring),
                "file": str(max(mine, key=lambda path: len(path.name))),
                "url": url,
                "key": layout.served_key_binary.name,
                "stanza": sources_stanza(config, key, suite, url, keyring),
            }
    return {
        "keyring": "",
        "file": f"/etc/apt/sources.list.d/{suite}.sources",
        "stanza": sources_stanza(config, key, suite, url, None),
    }


def _grouped(fingerprint: str) -> str:
    """Return a fingerprint as gpg(1) shows it.

    >>> _grouped("0123456789ABCDEF0123456789ABCDEF01234567")
    '0123 4567 89AB CDEF 0123 4567 89AB CDEF 0123 4567'
    """
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))
