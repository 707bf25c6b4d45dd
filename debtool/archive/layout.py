"""Where everything lies on disk, in two directories side by side.

``DIR`` is public, whole: any static web server may serve it as it is. ``DIR-private`` (0700) holds the signing key,
the index and the lock. They are siblings so that no server that is pointed at ``DIR``, however naively, can hand out
the key: that must not hang on a rule in a web server's configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- field types are looked up at run time by tools

from debtool.model.errors import InputError, Issue

PAGE = "index.html"
"""The name under which web servers look for a folder's page."""

_SUITE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one archive.

    Attributes:
        public: The directory that is served: ``pool``, ``dists``, ``generations``, the public key and the front page.
    """

    public: Path

    @property
    def private(self) -> Path:
        """What must never be served."""
        return self.public.with_name(self.public.name + "-private")

    @property
    def config(self) -> Path:
        """The configuration; written last by `Archive.init`, so its presence says that the archive is complete."""
        return self.private / "archive.json"

    @property
    def gnupg(self) -> Path:
        """GnuPG's home directory with the secret key and its revocation certificate."""
        return self.private / "gnupg"

    @property
    def index(self) -> Path:
        """The SQLite index."""
        return self.private / "index.sqlite"

    @property
    def lock(self) -> Path:
        """The file whose flock(2) every writer holds."""
        return self.private / "lock"

    @property
    def key_armored(self) -> Path:
        """The public key as text, as it was exported when the key was made."""
        return self.private / "key.asc"

    @property
    def key_binary(self) -> Path:
        """The same as a keyring."""
        return self.private / "key.gpg"

    @property
    def served_key_armored(self) -> Path:
        """The copy of the public key that users download."""
        return self.public / "archive-keyring.asc"

    @property
    def served_key_binary(self) -> Path:
        """The same as a keyring."""
        return self.public / "archive-keyring.gpg"

    @property
    def front_page(self) -> Path:
        """The page that a browser is shown; apt does not read it."""
        return self.public / PAGE

    @property
    def incoming(self) -> Path:
        """Where files are written before rename(2) moves them to their place: on the public directory's file system.

        Whatever is found here when a writer takes the lock was left by one that was killed.
        """
        return self.public / ".incoming"

    @property
    def dists(self) -> Path:
        """One symbolic link per suite, to its current generation."""
        return self.public / "dists"

    def suite_link(self, suite: str) -> Path:
        """Return the symbolic link whose replacement publishes; apt reads the suite through it."""
        return self.dists / checked_suite(suite)

    def generations(self, suite: str) -> Path:
        """Return the directory of a suite's generations, each one immutable."""
        return self.public / "generations" / checked_suite(suite)

    def generation(self, suite: str, number: int) -> Path:
        """Return the tree of one generation."""
        return self.generations(suite) / str(number)

    def current(self, suite: str) -> int:
        """Return the number of the suite's current generation, 0 if it was never published.

        The link is the truth: the index may know a later generation whose publisher was killed before its switch.
        """
        link = self.suite_link(suite)
        try:
            number = link.readlink().name
        except FileNotFoundError:
            return 0
        except OSError:
            number = ""
        if not number.isdecimal():
            raise InputError(
                Issue("is not a link to a generation", file=link, fix="move away what was put there by other means")
            )
        return int(number)

    def suites(self) -> tuple[str, ...]:
        """Return the names of all suites that were published, sorted."""
        return tuple(sorted(path.name for path in self.dists.iterdir() if path.is_symlink()))


def checked_suite(suite: str) -> str:
    """Return ``suite`` if it is a suite's name, else raise ``InputError``."""
    if not _SUITE.fullmatch(suite):
        raise InputError(
            Issue(
                f"{suite!r} is no suite's name", rule="a-z 0-9 . + -, a letter or digit first", fix="correct the name"
            )
        )
    return suite
