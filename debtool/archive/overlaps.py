"""Files that two packages would both own: dpkg would stop in the middle of an installation."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from debian.deb822 import Deb822, PkgRelation
from debian.debian_support import NativeVersion

from debtool.deb.reader import read_deb
from debtool.model.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from debtool.archive.index import IndexedPackage

_SHOWN = 5
"""Paths of one pair of packages that are named; the rest is counted."""

_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/")
_WORD_ENDS = re.compile(r"[\s\"'=;]+")
_COMPARE = {
    "<<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "=": lambda left, right: left == right,
    ">=": lambda left, right: left >= right,
    ">>": lambda left, right: left > right,
}


def find_overlaps(
    new: Sequence[IndexedPackage], present: Iterable[IndexedPackage], *, files: dict[str, Path]
) -> list[Issue]:
    """Return one issue for each pair of packages that own a file together, at least one of them being ``new``.

    Allowed is what dpkg allows (Debian Policy 7.6.1 and 7.4): one replaces the other, they conflict, or one diverts
    the file. ``files`` tells by SHA-256 where each package can be read.
    """
    owners: dict[str, list[IndexedPackage]] = {}
    for one in new:
        for path in one.paths:
            owners.setdefault(_canonical(path), []).append(one)
    shared: dict[tuple[str, str], tuple[IndexedPackage, IndexedPackage, list[str]]] = {}
    for path, first, second in _shared(owners, present):
        key = (first.package.sha256, second.package.sha256)
        shared.setdefault(key, (first, second, []))[2].append(path)
    issues = []
    for first, second, paths in shared.values():
        if _may_overwrite(first, second) or _may_overwrite(second, first):
            continue
        diverted = _diverted(files[first.package.sha256]) | _diverted(files[second.package.sha256])
        if clashing := sorted(path for path in paths if path not in diverted):
            issues.append(_issue(first, second, clashing))
    return issues


def _shared(
    owners: dict[str, list[IndexedPackage]], present: Iterable[IndexedPackage]
) -> Iterator[tuple[str, IndexedPackage, IndexedPackage]]:
    for path, having in owners.items():
        for position, first in enumerate(having):
            for second in having[position + 1 :]:
                if first.package.name != second.package.name:
                    yield path, first, second
    for old in present:
        for path in old.paths:
            for first in owners.get(_canonical(path), ()):
                if first.package.name != old.package.name:
                    yield path, first, old


def _canonical(path: str) -> str:
    """Return where a path leads on a system with a merged /usr, which is every release that we target."""
    return posixpath.join("/usr", path[1:]) if path.startswith(_MERGED) else path


def _may_overwrite(one: IndexedPackage, other: IndexedPackage) -> bool:
    itself: list[tuple[str, str | None]] = [(other.package.name, other.package.version)]
    return _names(_relations(one, "Replaces"), itself) or _names(
        _relations(one, "Conflicts"), itself + _provides(other)
    )


def _provides(one: IndexedPackage) -> list[tuple[str, str | None]]:
    return [
        (relation["name"], relation["version"][1] if relation["version"] else None)
        for alternatives in _relations(one, "Provides")
        for relation in alternatives
    ]


def _relations(one: IndexedPackage, field: str) -> list[list[Any]]:
    text = Deb822(one.stanza).get(field)
    return PkgRelation.parse_relations(text) if text else []


def _names(relations: list[list[Any]], packages: list[tuple[str, str | None]]) -> bool:
    return any(
        relation["name"] == name and _holds(relation["version"], version)
        for alternatives in relations
        for relation in alternatives
        for name, version in packages
    )


def _holds(constraint: tuple[str, str] | None, version: str | None) -> bool:
    if constraint is None:
        return True
    if version is None:  # an unversioned Provides satisfies no versioned relation (Debian Policy 7.5)
        return False
    operator, bound = constraint
    return bool(_COMPARE[operator](NativeVersion(version), NativeVersion(bound)))


def _diverted(deb: Path) -> frozenset[str]:
    """Return the words of a package's preinst if that diverts files: a diverted path is one of them."""
    script = read_deb(deb).control_files.get("preinst", b"").decode(errors="replace")
    return frozenset(_WORD_ENDS.split(script)) if "dpkg-divert" in script else frozenset()


def _issue(first: IndexedPackage, second: IndexedPackage, paths: list[str]) -> Issue:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return Issue(
        f"{first.package} and {second.package} both own {', '.join(paths[:_SHOWN])}{more}",
        rule="Debian Policy 7.6.1",
        fix="leave the file out of one, or let one Replace and Break the other",
    )
