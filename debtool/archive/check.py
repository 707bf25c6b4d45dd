"""Checking a suite as apt would, from its signatures down to every byte of every package."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import time
import zlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from debian.deb822 import Packages, Release

from debtool.archive.layout import PAGE
from debtool.archive.page import is_sound, names_suite
from debtool.archive.signing import verified, verified_text
from debtool.archive.tree import by_hash_path
from debtool.deb.files import sha256_of
from debtool.model.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from debtool.archive.index import Index
    from debtool.archive.layout import Layout
    from debtool.archive.values import Key

_AGAIN = "write the suite anew with `debtool repo refresh`"
_UNPACK = {".gz": gzip.decompress, ".xz": lzma.decompress}


def check_suite(layout: Layout, index: Index, key: Key, suite: str) -> tuple[Issue, ...]:
    """Return everything that is wrong with a published suite; none if it is sound."""
    number = layout.current(suite)
    if number == 0:
        return (Issue("was never published", file=layout.suite_link(suite), fix="publish it"),)
    # The generation, not the link: a publication in the meantime must not mix two states.
    tree = layout.generation(suite, number)
    issues = [*_key_copies(layout, key), *_signatures(layout, tree, key)]
    release = Release((tree / "Release").read_bytes() if (tree / "Release").is_file() else b"")
    if not issues:
        issues += _expiry(release, tree)
    listed = {str(entry["name"]): (int(entry["size"]), str(entry["sha256"])) for entry in release.get("SHA256", [])}
    issues += _indices(tree, listed)
    issues += _packages(layout, tree, listed)
    stanzas = {(one.filename, one.size, one.sha256) for one in index.packages(suite, number)}
    if set(_stanzas(tree, listed)) != stanzas:
        issues.append(Issue("does not list what the index knows of this generation", file=tree, fix=_AGAIN))
    return (*issues, *_pages(layout, tree, suite))


def _key_copies(layout: Layout, key: Key) -> Iterator[Issue]:
    for path, data in (
        (layout.served_key_armored, key.public_armored),
        (layout.served_key_binary, key.public_binary),
    ):
        if not path.is_file() or path.read_bytes() != data:
            yield Issue("is not the archive's public key", file=path, fix="run `debtool repo init` again")


def _signatures(layout: Layout, tree: Path, key: Key) -> Iterator[Issue]:
    missing = [name for name in ("InRelease", "Release", "Release.gpg") if not (tree / name).is_file()]
    if missing:
        yield from (Issue("is missing", file=tree / name, fix=_AGAIN) for name in missing)
        return
    if verified_text(tree / "InRelease", layout.key_binary, key.fingerprint) != (tree / "Release").read_bytes():
        yield Issue("is not the Release file signed by the archive's key", file=tree / "InRelease", fix=_AGAIN)
    if not verified(tree / "Release.gpg", tree / "Release", layout.key_binary, key.fingerprint):
        yield Issue("is no signature of the archive's key over Release", file=tree / "Release.gpg", fix=_AGAIN)


def _pages(layout: Layout, tree: Path, suite: str) -> Iterator[Issue]:
    for page in (layout.front_page, tree / PAGE):
        if not page.is_file():
            yield Issue("is missing", file=page, fix=_AGAIN)
        elif not is_sound(page.read_bytes()):
            yield Issue("is not as it was written", file=page, fix=_AGAIN)
        elif page == layout.front_page and not names_suite(page.read_bytes(), suite):
            yield Issue(f"does not lead to {suite}", file=page, fix=_AGAIN)


def _expiry(release: Release, tree: Path) -> Iterator[Issue]:
    until = release.get("Valid-Until")
    if until is not None and parsedate_to_datetime(str(until)).timestamp() < time.time():
        yield Issue(f"expired ({until})", file=tree / "Release", field="Valid-Until", fix=_AGAIN)


def _indices(tree: Path, listed: dict[str, tuple[int, str]]) -> Iterator[Issue]:
    for name, (size, sha256) in listed.items():
        path = tree / name
        if path.suffix not in _UNPACK:
            # Listed for what comes out of the compressed forms; not served itself.
            for suffix, unpack in _UNPACK.items():
                packed = tree / (name + suffix)
                if packed.is_file():
                    plain = _unpacked(packed, unpack)
                    if plain is None or (len(plain), hashlib.sha256(plain).hexdigest()) != (size, sha256):
                        yield Issue(f"does not unpack to the listed {name}", file=packed, fix=_AGAIN)
            continue
        for copy in (path, tree / by_hash_path(str(path.relative_to(tree).parent), sha256)):
            if not copy.is_file():
                yield Issue("is listed in Release and missing", file=copy, fix=_AGAIN)
            elif (copy.stat().st_size, sha256_of(copy)) != (size, sha256):
                yield Issue("is not what Release lists", file=copy, fix=_AGAIN)


def _packages(layout: Layout, tree: Path, listed: dict[str, tuple[int, str]]) -> Iterator[Issue]:
    fix = "import the same build of the package again"
    for filename, size, sha256 in sorted(set(_stanzas(tree, listed))):
        path = layout.public / filename
        if not path.is_file():
            yield Issue("is listed in Packages and missing", file=path, fix=fix)
        elif (path.stat().st_size, sha256_of(path)) != (size, sha256):
            yield Issue("is not what Packages lists", file=path, fix=f"delete it and {fix}")


def _stanzas(tree: Path, listed: dict[str, tuple[int, str]]) -> Iterator[tuple[str, int, str]]:
    for name in listed:
        if name.endswith("/Packages.gz"):
            plain = _unpacked(tree / name, gzip.decompress)
            for stanza in Packages.iter_paragraphs(plain or b"", use_apt_pkg=False):
                yield str(stanza["Filename"]), int(stanza["Size"]), str(stanza["SHA256"])


def _unpacked(path: Path, unpack: Callable[[bytes], bytes]) -> bytes | None:
    try:
        return unpack(path.read_bytes())
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return None
