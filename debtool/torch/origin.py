"""Where PyTorch's source comes from: a git repository, a folder, or Debian's archive; and how it is verified."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from debtool.build.checkout import checkout, restore, state_of
from debtool.build.debian_source import fetch_package, unpack_package
from debtool.build.git import is_commit
from debtool.build.source import source_digest
from debtool.deb.files import sha256_of
from debtool.model.errors import InputError, Issue
from debtool.model.stack import Source
from debtool.torch.tree import check_tree, copy_tree, fingerprint, flavour_of

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.version import Version

    from debtool.build.git import Run
    from debtool.torch.releases import Flavour

UPSTREAM = "https://github.com/pytorch/pytorch.git"
DEBIAN_PACKAGE = "pytorch"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source as it comes, untouched.

    Attributes:
        commit: Its git commit, where one is known.
        digest: What identifies it: ``git:<commit>``, ``dsc:<sha256>`` or ``contents:<sha256>``.
        verified: How it was verified, in words.
    """

    commit: str | None
    digest: str
    verified: str


class Origin(Protocol):
    """Where a source comes from."""

    @property
    def resumes(self) -> bool:
        """Whether `fetch` goes on in a tree that an earlier call of it has left half done."""

    def key(self, version: Version) -> list[str | None]:
        """Return what decides what is fetched; raises ``InputError`` if nothing can come of it."""

    def fetch(self, version: Version, tree: Path, run: Run) -> Fetched:
        """Put the source into ``tree``, which is missing unless `resumes`."""

    def restore(self, tree: Path, run: Run) -> bool:
        """Undo changes in a tree that was fetched whole; return False where it must be fetched again for that."""


@dataclass(frozen=True, slots=True)
class GitOrigin:
    """A tag or commit of a git repository, with its submodules.

    Attributes:
        repository: The repository's address.
        ref: A tag, or a whole commit hash.
        pinned: The commit that it is known to be; None where none is known.
        keyring: OpenPGP keys of which one must have signed the tag.
    """

    repository: str
    ref: str
    pinned: str | None = None
    keyring: Path | None = None

    @property
    def resumes(self) -> bool:
        """What git has fetched is used by the next call."""
        return True

    def key(self, version: Version) -> list[str | None]:  # noqa: ARG002 -- the tag says it
        """Return repository, ref, and what it is verified by."""
        return ["git", self.repository, self.ref, self.pinned, sha256_of(self.keyring) if self.keyring else None]

    def fetch(self, version: Version, tree: Path, run: Run) -> Fetched:
        """Clone it, or go on with a clone that was stopped."""
        found = checkout(self.repository, self.ref, tree, run, expected=self.pinned, keyring=self.keyring)
        words = []
        if found.signer is not None:
            words.append(f"tag {self.ref} is signed by {found.signer}")
        if is_commit(self.ref):
            words.append(f"it is the commit that was asked for, {found.commit}")
        elif self.pinned is not None:
            words.append(f"tag {self.ref} is the commit known of PyTorch {version.base_version}, {found.commit}")
        elif self.keyring is not None and found.signer is None:
            problem = f"tag {self.ref} has no signature, and its commit {found.commit} is not pinned"
            fix = f"name the commit, if you trust it: --source {self.repository}@{found.commit}"
            raise InputError(Issue(problem, field="--tag-keyring", fix=fix))
        if not words:
            words.append(f"not verified: tag {self.ref} is commit {found.commit}, which is not pinned, and no keyring")
        return Fetched(found.commit, f"git:{found.commit}", "; ".join(words))

    def restore(self, tree: Path, run: Run) -> bool:
        """Undo the changes by git; nothing is fetched again."""
        restore(tree, run)
        return True


@dataclass(frozen=True, slots=True)
class TreeOrigin:
    """A folder of the user's, which is copied and never written to.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def resumes(self) -> bool:
        """A copy that was stopped is made anew."""
        return False

    def key(self, version: Version) -> list[str | None]:
        """Return the folder, and what changes when a file in it is written."""
        check_tree(self.path, version)
        return ["tree", str(self.path), fingerprint(self.path)]

    def fetch(self, version: Version, tree: Path, run: Run) -> Fetched:  # noqa: ARG002 -- looked at by `key`
        """Copy it."""
        copy_tree(self.path, tree, run)
        digest = source_digest(Source(path=str(tree)), tree)
        if (state := state_of(self.path)) is None:
            return Fetched(None, digest, f"as given in {self.path}")
        commit, clean = state
        changed = "" if clean else ", with local changes"
        return Fetched(commit if clean else None, digest, f"as given in {self.path}, of git commit {commit}{changed}")

    def restore(self, tree: Path, run: Run) -> bool:  # noqa: ARG002 -- the protocol's
        """Nothing: it is copied again."""
        return False


@dataclass(frozen=True, slots=True)
class DebianOrigin:
    """A source package of Debian's archive, with Debian's patches.

    Attributes:
        suite: The release that has it.
        package: The source package.
    """

    suite: str
    package: str = DEBIAN_PACKAGE

    @property
    def resumes(self) -> bool:
        """What was unpacked is unpacked anew, from the files that were fetched."""
        return False

    def key(self, version: Version) -> list[str | None]:
        """Return suite, package and version."""
        return ["debian", self.suite, self.package, version.base_version]

    def fetch(self, version: Version, tree: Path, run: Run) -> Fetched:  # noqa: ARG002 -- apt is quick, and quiet
        """Fetch it by apt, once, and unpack it."""
        kept = tree.with_name(f"{self.package}-{version.base_version}-{self.suite}")
        if not kept.is_dir():
            scratch = kept.with_name(f".{kept.name}")
            if scratch.exists():
                shutil.rmtree(scratch)
            scratch.mkdir(parents=True)
            fetch_package(self.package, self.suite, version.base_version, scratch)
            scratch.rename(kept)
        description = next(kept.glob("*.dsc"))
        unpack_package(description, tree)
        words = f"{description.stem} of {self.suite}, by the signature of its archive (apt) and the hashes in its .dsc"
        return Fetched(None, f"dsc:{sha256_of(description)}", words)

    def restore(self, tree: Path, run: Run) -> bool:  # noqa: ARG002 -- the protocol's
        """Nothing: it is unpacked again."""
        return False


def flavour_of_origin(origin: Origin) -> Flavour:
    """Return whose source ``origin`` is; only a folder is looked at, others say it themselves."""
    if isinstance(origin, TreeOrigin):
        return flavour_of(origin.path)
    return "debian" if isinstance(origin, DebianOrigin) else "upstream"
