"""Publishing: a new generation is written where nobody looks, and one rename(2) makes it the suite.

What a kill leaves at each point, and why it is harmless:

1. files in the incoming directory: the next writer empties it;
2. .debs in the pool that the index does not know: no suite lists them, and the next import replaces them;
3. a generation tree, or a record of it in the index, without a switch: the suite's link is the truth, and the next
   writer takes both back;
4. a front page that names a suite whose first generation was not switched to: the next publication writes it anew.

Everything that the link will lead to is on the disk (fsync(2)) before it is replaced: the same holds for a power cut.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.archive.index import GenerationRecord, Index, IndexedPackage
from debtool.archive.indices import suite_indices
from debtool.archive.overlaps import find_overlaps
from debtool.archive.page import front_page, suite_page
from debtool.archive.pool import examine, in_place, place
from debtool.archive.release import needs_refresh, next_date, release_settings, render_release
from debtool.archive.signing import Signer
from debtool.archive.tree import keep_by_hash, sync_tree, write_indices, write_release
from debtool.archive.values import Publication, PublishedPackage
from debtool.deb.files import make_directory, outside_errors, sha256_of, sync_directory, write_new
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from debtool.archive.layout import Layout
    from debtool.archive.values import ArchiveConfig, Key

_KEPT_GENERATIONS = 3
_KEPT_SECONDS = 3 * 24 * 3600
"""Index files stay reachable by hash for the last three generations, and for three days after they were replaced:
caches between archive and machine serve an old InRelease for a while."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A .deb that was handed in, and what is known of it.

    Attributes:
        path: Where it lies.
        package: What it is.
        indexed: What the indices are made from; None where the index has it already.
    """

    path: Path
    package: PublishedPackage
    indexed: IndexedPackage | None


class Publisher:
    """The engine behind `Archive`: its writing half. Everything but `read_debs` and `unchanged` runs under the lock."""

    def __init__(self, layout: Layout, config: ArchiveConfig, key: Key) -> None:
        self._layout = layout
        self._config = config
        self._key = key
        self._index = Index(layout.index)

    def read_debs(self, paths: Sequence[Path]) -> tuple[Delivery, ...]:
        """Read the packages that are handed in; what the index knows by its hash is not read a second time.

        Raises:
            InputError: One is missing or no package, two of them are different builds of one version, or one differs
                from what the pool has under its name and version.
        """
        missing = [path for path in paths if not path.is_file()]
        issues = [Issue("there is no such file", file=path, fix="build it, or correct the path") for path in missing]
        with outside_errors("reading packages"):
            by_hash = {sha256_of(path): path for path in paths if path not in missing}
        known = self._index.with_sha256(by_hash)
        deliveries: list[Delivery] = []
        for sha256, path in by_hash.items():
            if sha256 in known:
                deliveries.append(Delivery(path, known[sha256], None))
                continue
            try:
                indexed = examine(
                    path, sha256, component=self._config.component, architectures=self._config.architectures
                )
            except InputError as error:
                issues += error.issues
            else:
                deliveries.append(Delivery(path, indexed.package, indexed))
        if issues:
            raise InputError(*issues)
        self._refuse_other_builds(deliveries)
        return tuple(deliveries)

    def unchanged(
        self,
        suite: str,
        before: Iterable[PublishedPackage],
        after: Iterable[PublishedPackage],
        description: str | None,
    ) -> bool:
        """Return whether the current generation of ``suite`` says already what a new one with ``after`` would say."""
        current = self._index.generation(suite, self._layout.current(suite))
        return (
            current is not None
            and set(before) == set(after)
            and current.settings == self._settings(suite, current, description)
            and not needs_refresh(current.date, self._config.valid_for)
        )

    def recover(self, suite: str | None = None) -> None:
        """Take back what killed writers left; see the module's docstring."""
        layout = self._layout
        if layout.incoming.exists():
            shutil.rmtree(layout.incoming)
        make_directory(layout.incoming)
        if suite is not None:
            current = layout.current(suite)
            self._index.retract_after(suite, current)
            if layout.generations(suite).exists():
                for tree in layout.generations(suite).iterdir():
                    if tree.name.isdecimal() and int(tree.name) > current:
                        shutil.rmtree(tree)

    def import_debs(self, deliveries: Sequence[Delivery], *, link: bool) -> int:
        """Put packages into the pool and its list; return the bytes written."""
        self._refuse_other_builds(deliveries)
        public = self._layout.public
        written = 0
        for one in deliveries:
            # A file that the index does not know was left by a writer that was killed: whatever it is, it is replaced.
            if one.indexed is not None or not in_place(one.package, public):
                written += place(one.path, one.package, public=public, incoming=self._layout.incoming, link=link)
        new = [one.indexed for one in deliveries if one.indexed is not None]
        for directory in sorted({(public / one.package.filename).parent for one in deliveries}):
            sync_directory(directory)
        if new:
            self._index.insert(new)
        return written

    def refuse_overlaps(
        self, deliveries: Sequence[Delivery], before: Sequence[PublishedPackage], after: Sequence[PublishedPackage]
    ) -> None:
        """Raise ``InputError`` if a package that is new in the suite owns a file together with another one of it."""
        present = set(before)
        coming = [one for one in deliveries if one.package not in present]
        known = [one.package for one in coming if one.indexed is None]
        new = [one.indexed for one in coming if one.indexed is not None] + list(self._index.details(known))
        kept = [package for package in after if package in present]
        files = {package.sha256: self._layout.public / package.filename for package in kept}
        files |= {one.package.sha256: one.path for one in coming}
        if issues := find_overlaps(new, self._index.details(kept), files=files):
            raise InputError(*issues)

    def publish(
        self,
        suite: str,
        before: Sequence[PublishedPackage],
        after: Sequence[PublishedPackage],
        *,
        date: datetime | None,
        description: str | None,
        bytes_written: int = 0,
    ) -> Publication:
        """Write the next generation of ``suite`` with the packages ``after``, all of the pool, and switch to it.

        ``bytes_written`` is what importing the packages wrote; it is counted in.
        """
        layout, config = self._layout, self._config
        history = self._index.generations(suite, layout.current(suite))
        previous = history[0] if history else None
        number = (previous.number if previous else 0) + 1
        settings = self._settings(suite, previous, description)
        tree = layout.incoming / f"{suite}.{number}"
        make_directory(tree)
        self._keep_by_hash(suite, tree, history)
        old, new = set(before), set(after)
        packages = sorted(after, key=lambda package: (package.name, package.version, package.architecture))
        details = tuple(self._index.details(packages))
        indices = write_indices(
            tree, suite_indices(details, component=config.component, architectures=config.architectures)
        )
        stamp = next_date(previous.date if previous else None, date)
        told = description or (previous.description if previous else config.description)
        page = suite_page(
            layout, config, self._key, suite, number=number, date=stamp, description=told, packages=details
        )
        release = render_release(settings, stamp, config.valid_for, indices.listed)
        signatures = Signer(layout.gnupg).sign(release, self._key.fingerprint)
        written = bytes_written + indices.bytes_written + write_release(tree, release, signatures, page, date=stamp)
        sync_tree(tree)
        make_directory(layout.generations(suite))
        tree.rename(layout.generation(suite, number))
        sync_directory(layout.generations(suite))
        added = tuple(package for package in packages if package not in old)
        removed = tuple(package for package in before if package not in new)
        record = GenerationRecord(
            number,
            stamp,
            told,
            settings,
            indices.served,
        )
        self._index.record(suite, record, added, removed)
        written += self._write_front_page({*layout.suites(), suite})
        self._switch(suite, number)
        return Publication(suite, number, added, removed, len(packages) - len(added), written, switched=True)

    def _write_front_page(self, suites: Iterable[str]) -> int:
        """Make the front page lead to ``suites``; return the bytes written."""
        layout = self._layout
        page = front_page(layout, self._config, self._key.fingerprint, suites)
        if layout.front_page.is_file() and layout.front_page.read_bytes() == page:
            return 0
        temporary = layout.incoming / layout.front_page.name
        write_new(temporary, page)
        temporary.replace(layout.front_page)
        sync_directory(layout.public)
        return len(page)

    def _switch(self, suite: str, number: int) -> None:
        layout = self._layout
        link = layout.suite_link(suite)
        temporary = layout.incoming / f"{suite}.link"
        temporary.symlink_to(os.path.relpath(layout.generation(suite, number), link.parent))
        temporary.replace(link)
        sync_directory(link.parent)

    def _keep_by_hash(self, suite: str, tree: Path, history: Sequence[GenerationRecord]) -> None:
        """Link into ``tree`` what clients of the generations ``history``, newest first, may still ask for."""
        if not history:
            return
        oldest, replaced = history[0].number, time.time()
        for position, record in enumerate(history):
            if position >= _KEPT_GENERATIONS and time.time() - replaced > _KEPT_SECONDS:
                break
            oldest, replaced = record.number, record.date
        newest = history[0].number
        keep_by_hash(tree, self._layout.generation(suite, newest), self._index.index_files(suite, oldest, newest))

    def _settings(self, suite: str, previous: GenerationRecord | None, description: str | None) -> str:
        inherited = previous.description if previous else self._config.description
        return release_settings(self._config, suite, description or inherited)

    def _refuse_other_builds(self, deliveries: Sequence[Delivery]) -> None:
        """Raise ``InputError`` where one name, version and architecture, or one place, would have two contents."""
        paths = {one.package: one.path for one in deliveries}
        by_identity: dict[tuple[str, str, str], PublishedPackage] = {}
        by_place: dict[str, PublishedPackage] = {}
        issues: list[Issue] = []
        for package, path in paths.items():
            for other in (
                by_identity.setdefault(_identity(package), package),
                by_place.setdefault(package.filename, package),
            ):
                issues += _rivalry(package, path, other, str(paths[other]))
        for package, other in self._index.rivals(paths):
            issues += _rivalry(package, paths[package], other, "the pool")
        if issues:
            raise InputError(*dict.fromkeys(issues))


def next_set(
    before: Iterable[PublishedPackage], new: Sequence[PublishedPackage], *, replace: bool
) -> tuple[PublishedPackage, ...]:
    """Return the packages of a suite after ``new`` came to those of ``before``.

    With ``replace``, a package takes the place of every other version of its name for the same machines: of its own
    architecture, of ``all``, and of any if it is ``all`` itself.

    Raises:
        InputError: With ``replace``, two of ``new`` would take each other's place.
    """
    if not replace:
        return tuple(dict.fromkeys((*before, *new)))
    by_name: dict[str, list[PublishedPackage]] = {}
    for package in new:
        by_name.setdefault(package.name, []).append(package)
    issues = [
        Issue(
            f"{one} and {other} cannot both be the suite's only {one.name}",
            fix="hand in one of them, or keep several versions",
        )
        for group in by_name.values()
        for position, one in enumerate(group)
        for other in group[position + 1 :]
        if _same_machines(one, other)
    ]
    if issues:
        raise InputError(*issues)
    kept = (old for old in before if not any(_same_machines(old, one) for one in by_name.get(old.name, ())))
    return tuple(dict.fromkeys((*kept, *new)))


def deliveries_in_place(deliveries: Iterable[Delivery], public: Path) -> bool:
    """Return whether the pool needs none of what was handed in."""
    return all(one.indexed is None and in_place(one.package, public) for one in deliveries)


def _identity(package: PublishedPackage) -> tuple[str, str, str]:
    return package.name, package.version, package.architecture


def _rivalry(package: PublishedPackage, path: Path, other: PublishedPackage, where: str) -> Iterator[Issue]:
    if package.sha256 == other.sha256:
        return
    if _identity(package) == _identity(other):
        yield Issue(
            f"{package} has SHA256 {package.sha256}, but {where} has it with {other.sha256}",
            file=path,
            rule="one version is one file: machines that have it would never see the other",
            fix="give the new build a higher revision",
        )
    else:
        yield Issue(
            f"{package} and {other} would both be {package.filename}",
            file=path,
            rule="an epoch is no part of a file's name",
            fix="give the new build another revision",
        )


def _same_machines(one: PublishedPackage, other: PublishedPackage) -> bool:
    return one.architecture == other.architecture or "all" in (one.architecture, other.architecture)
