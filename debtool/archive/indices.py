"""The index files of a suite: Packages and Contents, and their compressed forms.

Both are the same bytes for the same packages, so that an index that did not change keeps its hash.
"""

from __future__ import annotations

import gzip
import heapq
import lzma
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from debtool.archive.index import IndexedPackage

_COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, 9, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=6),
}


def suite_indices(
    packages: Collection[IndexedPackage], *, component: str, architectures: Sequence[str]
) -> dict[str, bytes]:
    """Return every index of a suite, uncompressed, by its path in the suite.

    Packages for ``all`` stand in each architecture's indices; there is no ``binary-all`` (the Release file says so
    with ``No-Support-for-Architecture-all``).
    """
    indices = {}
    for architecture in architectures:
        mine = [one for one in packages if one.package.architecture in (architecture, "all")]
        stanzas = "\n".join(one.stanza for one in mine)
        indices[f"{component}/binary-{architecture}/Packages"] = stanzas.encode()
        indices[f"{component}/Contents-{architecture}"] = contents(mine)
    return indices


def contents(packages: Collection[IndexedPackage]) -> bytes:
    """Return a Contents index: each path with every package that has it (Debian Repository Format, "Contents").

    A merge of lists that are sorted already.
    """
    merged = heapq.merge(*([(path, _location(one)) for path in one.paths] for one in packages))
    lines = (
        f"{path[1:]} {','.join(dict.fromkeys(location for _, location in owners))}\n"
        for path, owners in groupby(merged, key=itemgetter(0))
    )
    return "".join(lines).encode("utf-8", "surrogateescape")


def served_forms(path: str, data: bytes) -> dict[str, bytes]:
    """Return the compressed forms in which an index is served, by path: Packages as xz (apt's choice) and gzip."""
    suffixes = (".gz",) if "Contents-" in path else (".gz", ".xz")
    return {path + suffix: _COMPRESSORS[suffix](data) for suffix in suffixes}


def _location(one: IndexedPackage) -> str:
    return f"{one.section}/{one.package.name}" if one.section else one.package.name
