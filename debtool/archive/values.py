"""What the archive takes and hands out: its configuration, packages, publications, generations, its key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from debtool.model.definition import Strict
from debtool.model.target import Line, Word


class ArchiveConfig(Strict):
    """What an archive is called and serves; kept with its private state.

    Attributes:
        origin: ``Origin`` of its Release files; fixed once a suite is published, because apt asks its user before
            it accepts a change (apt-secure(8)).
        label: ``Label`` of its Release files; fixed likewise.
        description: ``Description`` of its Release files, where a publication gives none.
        key_uid: The user id of its signing key; fixed when the key is made.
        url: Where machines reach it; what a sources stanza names unless told otherwise.
        architectures: What it serves, without ``all``.
        component: Its one component.
        valid_for: How long clients trust a Release file (``Valid-Until``); for ever if None.
    """

    origin: Line
    label: Line
    description: Line
    key_uid: Line
    url: Line | None = None
    architectures: tuple[Word, ...] = ("amd64",)
    component: Word = "main"
    valid_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class PublishedPackage:
    """One .deb in the pool.

    Attributes:
        name: ``Package``.
        version: ``Version``, epoch included.
        architecture: ``Architecture``.
        filename: Where it lies, relative to the archive's public directory (the ``Filename`` of Packages).
        size: In bytes.
        sha256: Of the file, in hexadecimal.
        input_key: ``Debtool-Input-Key`` of its control file: what it was built from; None where there is none.
    """

    name: str
    version: str
    architecture: str
    filename: str
    size: int
    sha256: str
    input_key: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.architecture})"


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing to a suite did.

    Attributes:
        suite: Its name.
        generation: The number of the generation that is current now; 0 for a suite that was never published.
        added: Packages that the generation before did not have.
        removed: Packages that it had and this one does not.
        unchanged: How many packages both have.
        bytes_written: To the pool and to the new generation; hard links count nothing.
        switched: Whether there is a new generation. If not, nothing was written but files that the pool had lost.
    """

    suite: str
    generation: int
    added: tuple[PublishedPackage, ...]
    removed: tuple[PublishedPackage, ...]
    unchanged: int
    bytes_written: int
    switched: bool


@dataclass(frozen=True, slots=True)
class Generation:
    """One published state of a suite.

    Attributes:
        number: Counted from 1.
        date: The ``Date`` of its Release file, UTC.
        packages: How many packages it has.
        added: Packages that the generation before did not have.
        removed: Packages that the generation before had.
    """

    number: int
    date: datetime
    packages: int
    added: tuple[PublishedPackage, ...]
    removed: tuple[PublishedPackage, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """The public half of the key that signs the archive.

    Attributes:
        fingerprint: 40 hexadecimal digits.
        public_armored: The exported key as text (``.asc``), as a ``Signed-By`` field embeds it.
        public_binary: The same as an OpenPGP keyring (``.gpg``), as ``/usr/share/keyrings`` has it.
    """

    fingerprint: str
    public_armored: bytes
    public_binary: bytes
