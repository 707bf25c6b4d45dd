"""What the archive knows, in SQLite: the packages of the pool, and which generations of which suites have them.

A package belongs to a suite *since* one generation and *until* another, so that a publication writes what changed and
nothing else. Readers see one consistent state and never wait for the writer (write-ahead log).
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.archive.values import PublishedPackage
from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE package (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    architecture TEXT NOT NULL,
    filename TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    input_key TEXT,
    section TEXT NOT NULL,
    stanza TEXT NOT NULL,   -- as it stands in Packages
    paths BLOB NOT NULL,    -- sorted, newline-separated, zlib
    UNIQUE (name, version, architecture)
);
CREATE TABLE generation (
    suite TEXT NOT NULL,
    number INTEGER NOT NULL,
    date INTEGER NOT NULL,          -- of its Release file, Unix seconds
    description TEXT NOT NULL,
    settings TEXT NOT NULL,         -- its Release file's fields without the dates
    PRIMARY KEY (suite, number)
) WITHOUT ROWID;
CREATE TABLE membership (
    suite TEXT NOT NULL,
    package INTEGER NOT NULL REFERENCES package (id),
    since INTEGER NOT NULL,         -- the first generation that has it
    until INTEGER,                  -- the first that has it no more; NULL as long as it is there
    PRIMARY KEY (suite, package, since)
) WITHOUT ROWID;
CREATE TABLE index_file (
    suite TEXT NOT NULL,
    number INTEGER NOT NULL,
    directory TEXT NOT NULL,        -- relative to the generation
    sha256 TEXT NOT NULL,           -- its name in the directory's by-hash/SHA256
    PRIMARY KEY (suite, number, directory, sha256)
) WITHOUT ROWID;
"""
_PACKAGE = "name, version, architecture, filename, size, sha256, input_key"
_IN_GENERATION = "suite = ? AND since <= ? AND (until IS NULL OR until > ?)"


@dataclass(frozen=True, slots=True)
class IndexedPackage:
    """A package with what the indices are made from.

    Attributes:
        package: What callers see of it.
        section: ``Section``, empty where there is none.
        stanza: Its stanza of Packages, ending with one newline.
        paths: Every path but directories, absolute and sorted.
    """

    package: PublishedPackage
    section: str
    stanza: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """What is kept of a generation beside its packages.

    Attributes:
        number: Counted from 1.
        date: Of its Release file, Unix seconds.
        description: Of its Release file.
        settings: Its Release file's fields without the dates: equal settings and packages mean an equal suite.
        index_files: Directory and SHA-256 of each file that clients may ask for by hash.
    """

    number: int
    date: int
    description: str
    settings: str
    index_files: tuple[tuple[str, str], ...] = ()


class Index:
    """The index in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make the tables; nothing happens where they are."""
        with self._connect(mode="rwc") as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        self._path.chmod(0o600)

    def check_version(self) -> None:
        """Raise ``OutsideError`` if the file is not an index that this version of debtool understands."""
        with self._connect() as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found != _SCHEMA_VERSION:
            issue = Issue(
                f"the index has schema {found}, this debtool knows {_SCHEMA_VERSION}",
                file=self._path,
                fix="use the version of debtool that wrote it",
            )
            raise OutsideError(issue)

    def packages(self, suite: str, number: int) -> tuple[PublishedPackage, ...]:
        """Return the packages of one generation, by name and version."""
        return self._select(
            f"id IN (SELECT package FROM membership WHERE {_IN_GENERATION})",  # noqa: S608 -- a constant
            (suite, number, number),
        )

    def versions(self, name: str) -> tuple[PublishedPackage, ...]:
        """Return every package of the pool called ``name``."""
        return self._select("name = ?", (name,))

    def with_sha256(self, hashes: Iterable[str]) -> Mapping[str, PublishedPackage]:
        """Return the packages of the pool that have these contents, by their hash."""
        found = {}
        with self._connect() as connection:
            for sha256 in hashes:
                row = connection.execute(
                    f"SELECT {_PACKAGE} FROM package WHERE sha256 = ?",  # noqa: S608 -- a constant
                    (sha256,),
                ).fetchone()
                if row is not None:
                    found[sha256] = PublishedPackage(*row)
        return found

    def rivals(self, packages: Iterable[PublishedPackage]) -> Iterator[tuple[PublishedPackage, PublishedPackage]]:
        """Yield each package beside every one of the pool that has its name, version and architecture, or its place."""
        with self._connect() as connection:
            for package in packages:
                rows = connection.execute(
                    f"SELECT {_PACKAGE} FROM package "  # noqa: S608 -- a constant
                    "WHERE (name = ? AND version = ? AND architecture = ?) OR filename = ?",
                    (package.name, package.version, package.architecture, package.filename),
                ).fetchall()
                yield from ((package, PublishedPackage(*row)) for row in rows)

    def details(self, packages: Iterable[PublishedPackage]) -> Iterator[IndexedPackage]:
        """Yield the packages, which are in the index, with what the indices are made from."""
        with self._connect() as connection:
            for package in packages:
                section, stanza, paths = connection.execute(
                    "SELECT section, stanza, paths FROM package WHERE sha256 = ?", (package.sha256,)
                ).fetchone()
                yield IndexedPackage(package, section, stanza, _unpack(paths))

    def insert(self, packages: Iterable[IndexedPackage]) -> None:
        """Add packages to the pool's list; those that are there already stay as they are."""
        rows = (
            (
                *(one.package.name, one.package.version, one.package.architecture, one.package.filename),
                *(one.package.size, one.package.sha256, one.package.input_key),
                *(one.section, one.stanza, _pack(one.paths)),
            )
            for one in packages
        )
        with self._connect() as connection, connection:
            connection.executemany(
                f"INSERT INTO package ({_PACKAGE}, section, stanza, paths) "  # noqa: S608 -- a constant
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                rows,
            )

    def generation(self, suite: str, number: int) -> GenerationRecord | None:
        """Return one generation without its index files, None if it is not known."""
        return next((record for record in self.generations(suite, number) if record.number == number), None)

    def generations(self, suite: str, current: int) -> tuple[GenerationRecord, ...]:
        """Return the generations of a suite up to ``current``, newest first, without their index files."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT number, date, description, settings FROM generation "
                "WHERE suite = ? AND number <= ? ORDER BY number DESC",
                (suite, current),
            ).fetchall()
        return tuple(GenerationRecord(*row) for row in rows)

    def index_files(self, suite: str, oldest: int, newest: int) -> tuple[tuple[str, str], ...]:
        """Return directory and SHA-256 of the index files of the generations ``oldest`` to ``newest``."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT DISTINCT directory, sha256 FROM index_file WHERE suite = ? AND number BETWEEN ? AND ?",
                (suite, oldest, newest),
            ).fetchall()
        return tuple((str(directory), str(sha256)) for directory, sha256 in rows)

    def changes(self, suite: str) -> tuple[Mapping[int, list[PublishedPackage]], Mapping[int, list[PublishedPackage]]]:
        """Return what each generation of a suite added, and what each removed, by its number."""
        added: dict[int, list[PublishedPackage]] = {}
        removed: dict[int, list[PublishedPackage]] = {}
        with self._connect() as connection:
            rows = connection.execute(
                f"SELECT since, until, {_PACKAGE} FROM membership JOIN package ON id = package "  # noqa: S608 -- a constant
                "WHERE suite = ? ORDER BY name, version, architecture",
                (suite,),
            )
            for since, until, *fields in rows:
                package = PublishedPackage(*fields)
                added.setdefault(since, []).append(package)
                if until is not None:
                    removed.setdefault(until, []).append(package)
        return added, removed

    def record(
        self,
        suite: str,
        record: GenerationRecord,
        added: Iterable[PublishedPackage],
        removed: Iterable[PublishedPackage],
    ) -> None:
        """Add a generation: the one before it, with ``added`` and without ``removed``; on the disk on return."""
        number = record.number
        with self._connect() as connection, connection:
            connection.execute(
                "INSERT INTO generation VALUES (?, ?, ?, ?, ?)",
                (suite, number, record.date, record.description, record.settings),
            )
            connection.executemany(
                "INSERT INTO index_file VALUES (?, ?, ?, ?)", [(suite, number, *file) for file in record.index_files]
            )
            connection.executemany(
                "UPDATE membership SET until = ? WHERE suite = ? AND until IS NULL "
                "AND package = (SELECT id FROM package WHERE sha256 = ?)",
                [(number, suite, package.sha256) for package in removed],
            )
            connection.executemany(
                "INSERT INTO membership SELECT ?, id, ?, NULL FROM package WHERE sha256 = ?",
                [(suite, number, package.sha256) for package in added],
            )

    def retract_after(self, suite: str, current: int) -> None:
        """Forget generations after ``current``: their publishers were killed before they switched to them."""
        with self._connect() as connection, connection:
            later = (suite, current)
            if connection.execute("SELECT 1 FROM generation WHERE suite = ? AND number > ?", later).fetchone():
                connection.execute("DELETE FROM generation WHERE suite = ? AND number > ?", later)
                connection.execute("DELETE FROM index_file WHERE suite = ? AND number > ?", later)
                connection.execute("DELETE FROM membership WHERE suite = ? AND since > ?", later)
                connection.execute("UPDATE membership SET until = NULL WHERE suite = ? AND until > ?", later)

    def _select(self, condition: str, values: tuple[object, ...]) -> tuple[PublishedPackage, ...]:
        with self._connect() as connection:
            rows = connection.execute(
                f"SELECT {_PACKAGE} FROM package WHERE {condition} ORDER BY name, version, architecture",  # noqa: S608 -- constants
                values,
            ).fetchall()
        return tuple(PublishedPackage(*row) for row in rows)

    @contextmanager
    def _connect(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """Open the index; a reader opens it for writing too, because only then SQLite takes its log away afterwards."""
        try:
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
            ) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except sqlite3.Error as error:
            issue = Issue(f"the index failed: {error}", file=self._path, fix="make room, or restore it from a backup")
            raise OutsideError(issue) from error


def _pack(paths: tuple[str, ...]) -> bytes:
    # Bytes that are no UTF-8 in a file's name come from tarfile as surrogates and must survive.
    return zlib.compress("\n".join(paths).encode("utf-8", "surrogateescape"), 6)


def _unpack(data: bytes) -> tuple[str, ...]:
    text = zlib.decompress(data).decode("utf-8", "surrogateescape")
    return tuple(text.split("\n")) if text else ()
