"""The archive as callers see it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from debtool.archive import client
from debtool.archive.check import check_suite
from debtool.archive.index import Index
from debtool.archive.layout import Layout, checked_suite
from debtool.archive.lock import write_lock
from debtool.archive.publisher import Publisher, deliveries_in_place, next_set
from debtool.archive.setup import load, make_private_half, make_public_half
from debtool.archive.values import ArchiveConfig, Generation, Key, Publication, PublishedPackage
from debtool.deb.files import make_directory, outside_errors
from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path, PurePosixPath


class Archive:
    """An apt archive in a directory; made by `Archive.init`, found by `Archive.open`.

    Its directory is public, whole, and can be served as it is. Its key, index and lock lie beside it, in a directory
    of the same name with ``-private`` added.

    Reading never waits. Writing waits for another writer: for ever, or for ``timeout`` seconds
    (then ``OutsideError``); ``on_wait`` is told once who holds the lock. A process may be killed at any moment: what
    machines see is the state before or the state after, and the next call needs no repair.

    A suite's name is ``<target>-<channel>``. All methods raise ``InputError`` for a name that cannot be a suite's.
    """

    def __init__(
        self,
        layout: Layout,
        config: ArchiveConfig,
        key: Key,
        *,
        timeout: float | None,
        on_wait: Callable[[str], None] | None,
    ) -> None:
        self._layout = layout
        self._index = Index(layout.index)
        self._publisher = Publisher(layout, config, key)
        self._timeout = timeout
        self._on_wait = on_wait
        self.config = config
        self.key = key

    @classmethod
    def init(
        cls,
        directory: Path,
        config: ArchiveConfig,
        *,
        timeout: float | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> Archive:
        """Make an archive in ``directory`` with a new signing key, or give an existing one ``config``.

        Nothing is written where everything is as it should be; an interrupted init is completed.

        Raises:
            InputError: The directory holds something else, or ``config`` changes what must stay as it is.
            OutsideError: GnuPG is missing or failed.
        """
        layout = Layout(directory.absolute())
        private = layout.private
        if not private.exists() and layout.public.exists() and any(layout.public.iterdir()):
            raise InputError(
                Issue(
                    f"is not empty, and the private half of an archive is not in {private}",
                    file=layout.public,
                    fix="choose another directory, or restore the private half from its backup",
                )
            )
        with outside_errors("making the archive"):
            make_directory(private.parent)
            private.mkdir(mode=0o700, exist_ok=True)
            with write_lock(layout.lock, timeout=timeout, on_wait=on_wait):
                make_private_half(layout, config)
                make_public_half(layout)
        return cls.open(directory, timeout=timeout, on_wait=on_wait)

    @classmethod
    def open(
        cls, directory: Path, *, timeout: float | None = None, on_wait: Callable[[str], None] | None = None
    ) -> Archive:
        """Return the archive in ``directory``.

        Raises:
            InputError: There is none.
        """
        layout = Layout(directory.absolute())
        if not layout.config.is_file():
            raise InputError(
                Issue(
                    f"is not an archive: {layout.private} has no {layout.config.name}",
                    file=layout.public,
                    fix="make one with `debtool repo init`, or correct the path",
                )
            )
        config, key = load(layout)
        Index(layout.index).check_version()
        return cls(layout, config, key, timeout=timeout, on_wait=on_wait)

    @property
    def public(self) -> Path:
        """The directory to serve."""
        return self._layout.public

    @property
    def key_file(self) -> str:
        """The name under which the public key is served, in binary form."""
        return self._layout.served_key_binary.name

    def suites(self) -> tuple[str, ...]:
        """Return the names of the suites that were published."""
        return self._layout.suites()

    def published(self, suite: str) -> tuple[PublishedPackage, ...]:
        """Return the packages of the suite's current generation by name; none if it was never published."""
        return self._index.packages(suite, self._layout.current(suite))

    def all_versions(self, name: str) -> tuple[PublishedPackage, ...]:
        """Return every package of the pool called ``name``, published now, earlier or not yet."""
        return self._index.versions(name)

    def pool_path(self, package: PublishedPackage) -> Path:
        """Return where a package lies; `publish` and `add` take it like any other file."""
        return self._layout.public / package.filename

    def history(self, suite: str) -> tuple[Generation, ...]:
        """Return the generations of a suite, newest first."""
        records = self._index.generations(suite, self._layout.current(suite))
        added, removed = self._index.changes(suite)
        generations: list[Generation] = []
        size = 0
        for record in reversed(records):
            came, went = tuple(added.get(record.number, ())), tuple(removed.get(record.number, ()))
            size += len(came) - len(went)
            generations.append(Generation(record.number, datetime.fromtimestamp(record.date, UTC), size, came, went))
        return tuple(reversed(generations))

    def add(self, debs: Sequence[Path], *, link: bool = False) -> tuple[PublishedPackage, ...]:
        """Put packages into the pool without publishing them; returns them in the order given.

        ``link`` hard-links instead of copying: only for files that nobody opens for writing again, because the pool
        would change with them.

        Raises:
            InputError: One is no package, or the pool has its version with other contents (both hashes are named).
        """
        deliveries = self._publisher.read_debs(debs)
        if not deliveries_in_place(deliveries, self.public):
            with self._writing("adding packages"):
                self._publisher.recover()
                self._publisher.import_debs(deliveries, link=link)
        return tuple(one.package for one in deliveries)

    def publish(
        self,
        suite: str,
        debs: Sequence[Path],
        *,
        replace: bool = True,
        whole: bool = False,
        date: datetime | None = None,
        description: str | None = None,
        link: bool = False,
    ) -> Publication:
        """Add packages to the pool and publish a generation of ``suite`` that has them, in one step for its readers.

        Args:
            suite: Its name; it need not exist.
            debs: The packages.
            whole: Whether the suite then has these packages and no others; else its others stay.
            replace: Whether each takes the place of other versions of its name; else the suite has several.
            date: The Release file's date; now if None. It is moved on to stay after the generation before.
            description: Of the suite; what it was if None.
            link: As in `add`.

        Returns:
            What was done; with ``switched`` False if the suite is like that already, and then nothing was written.

        Raises:
            InputError: As `add`; or a package owns a file together with another of the suite, and neither replaces,
                conflicts with nor diverts the other. Nothing was written.
        """
        checked_suite(suite)
        deliveries = self._publisher.read_debs(debs)
        packages = tuple(one.package for one in deliveries)
        before = self.published(suite)
        after = next_set(() if whole else before, packages, replace=replace)
        if deliveries_in_place(deliveries, self.public) and self._publisher.unchanged(
            suite, before, after, description
        ):
            return _nothing_done(suite, self._layout.current(suite), before)
        with self._writing(f"publishing {suite}"):
            self._publisher.recover(suite)
            before = self.published(suite)
            after = next_set(() if whole else before, packages, replace=replace)
            self._publisher.refuse_overlaps(deliveries, before, after)
            imported = self._publisher.import_debs(deliveries, link=link)
            if self._publisher.unchanged(suite, before, after, description):
                return _nothing_done(suite, self._layout.current(suite), before, imported)
            return self._publisher.publish(
                suite, before, after, date=date, description=description, bytes_written=imported
            )

    def remove(self, suite: str, names: Collection[str], *, date: datetime | None = None) -> Publication:
        """Publish a generation of ``suite`` without the packages called ``names``; the pool keeps them.

        Raises:
            InputError: The suite does not have one of them.
        """
        with self._writing(f"publishing {suite}"):
            self._publisher.recover(suite)
            before = self.published(suite)
            if missing := sorted(set(names) - {package.name for package in before}):
                raise InputError(*(Issue(f"{suite} has no package {name}", fix="correct the name") for name in missing))
            after = tuple(package for package in before if package.name not in names)
            return self._publisher.publish(suite, before, after, date=date, description=None)

    def refresh(self, suite: str, *, date: datetime | None = None) -> Publication:
        """Publish a generation of ``suite`` with the same packages: signed now, its indices written anew.

        Raises:
            InputError: The suite was never published.
        """
        with self._writing(f"publishing {suite}"):
            self._publisher.recover(suite)
            if self._layout.current(suite) == 0:
                raise InputError(Issue(f"{suite} was never published", fix="publish it, or correct the name"))
            packages = self.published(suite)
            return self._publisher.publish(suite, packages, packages, date=date, description=None)

    def check(self, suite: str) -> tuple[Issue, ...]:
        """Return what is wrong with the suite: signatures, hashes of indices and packages, copies of the key, pages."""
        return check_suite(self._layout, self._index, self.key, checked_suite(suite))

    def sources_stanza(self, suite: str, *, url: str | None = None, keyring: PurePosixPath | None = None) -> str:
        """Return the text of a ``.sources`` file for the suite.

        Args:
            suite: Its name.
            url: Where machines reach the archive; the configuration's if None.
            keyring: Where the machine has the public key; if None, the key is embedded.

        Raises:
            InputError: Neither the configuration nor ``url`` tells where the archive is.
        """
        where = url or self.config.url
        if where is None:
            raise InputError(Issue("the archive has no URL", field="url", fix="set it in the archive's definition"))
        return client.sources_stanza(self.config, self.key, checked_suite(suite), where, keyring)

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        with (
            outside_errors(f"{doing} in {self.public}"),
            write_lock(self._layout.lock, timeout=self._timeout, on_wait=self._on_wait),
        ):
            yield


def _nothing_done(
    suite: str, generation: int, packages: Sequence[PublishedPackage], bytes_written: int = 0
) -> Publication:
    return Publication(suite, generation, (), (), len(packages), bytes_written, switched=False)
