"""Debian's source archives and whole source packages, fetched by apt from the mirror that this machine already uses.

apt checks the archive's signature and the file's hash. Its own lists and sources are not touched: this uses private
ones, made from the mirror's address and another suite.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from debian.debian_support import Version

from debtool.model.errors import InputError, Issue, OutsideError

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_OWN_MIRROR = (
    "give the source as { url, sha256 } or { git, commit }, or build on a machine with a Debian mirror in apt's sources"
)


def fetch_orig(package: str, suite: str, version: str, folder: Path) -> Path:
    """Download the orig tarball of a source package into ``folder`` and return its path.

    Args:
        package: The source package's name.
        suite: The Debian release that has it.
        version: Its upstream version.
        folder: An empty folder.

    Raises:
        InputError: The suite has another version.
        OutsideError: apt is missing, knows no Debian mirror, or cannot fetch.
    """
    options = _private_apt(suite, folder)
    versions = _versions(package, options, folder)
    matching = [found for found in versions if Version(found).upstream_version == version]
    if not matching:
        fix = f"name a version that {suite} has, with its hash, or {_OWN_MIRROR}"
        problem = f"{suite} has {package} {', '.join(versions) or 'not at all'}, not {version}"
        raise InputError(Issue(problem, field="source.version", fix=fix))
    _apt(["apt-get", *options, "source", "--download-only", "--tar-only", f"{package}={matching[0]}"], folder)
    return next(folder.glob(f"{package}_{version}.orig.tar.*"))


def fetch_package(package: str, suite: str, release: str, folder: Path) -> Path:
    """Download a whole source package into ``folder`` and return its ``.dsc``: the newest of upstream's ``release``.

    apt checks the suite's signature, by it the index, and by that the hash of every file.

    Args:
        package: The source package's name.
        suite: The Debian release that has it.
        release: Upstream's version, without what Debian adds to it (``+dfsg``).
        folder: An empty folder.

    Raises:
        InputError: The suite has another version.
        OutsideError: apt is missing, knows no Debian mirror, or cannot fetch.
    """
    options = _private_apt(suite, folder)
    versions = _versions(package, options, folder)
    matching = [found for found in versions if _release(found) == release]
    if not matching:
        fix = f"ask for a version that {suite} has, name another suite, or give the source as a folder"
        problem = f"{suite} has {package} {', '.join(versions) or 'not at all'}, not {release}"
        raise InputError(Issue(problem, field="--source", fix=fix))
    newest = max(matching, key=Version)
    _apt(["apt-get", *options, "source", "--download-only", f"{package}={newest}"], folder)
    return next(folder.glob("*.dsc"))


def unpack_package(description: Path, into: Path) -> None:
    """Unpack a source package, given as its ``.dsc``, with Debian's patches applied; ``into`` must not exist yet.

    dpkg-source checks the hashes of the files once more.

    Raises:
        OutsideError: dpkg-source is missing or failed.
    """
    command = ["dpkg-source", "--extract", str(description.absolute()), str(into.absolute())]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=description.parent)
    except FileNotFoundError:
        raise OutsideError(Issue("dpkg-source is not installed", fix="apt install dpkg-dev")) from None
    if result.returncode:
        said = [line for line in result.stderr.splitlines() if "error:" in line] or result.stderr.splitlines()[-1:]
        raise OutsideError(Issue(" ".join(said) or "dpkg-source failed", file=description, fix="fetch it again"))


def _versions(package: str, options: list[str], folder: Path) -> list[str]:
    """Return the versions of a source package that the suite has, by its newest lists."""
    _apt(["apt-get", *options, "--quiet", "update"], folder)
    listing = _apt(["apt-cache", *options, "showsrc", "--only-source", package], folder)
    return [line.removeprefix("Version: ") for line in listing.splitlines() if line.startswith("Version: ")]


def _release(version: str) -> str:
    """Return upstream's part of a version, without the mark that files were left out (Developer's Reference 6.8.8.2).

    >>> _release("2.6.0+dfsg-7"), _release("2.6.0-1"), _release("1:2.10+ds1-3")
    ('2.6.0', '2.6.0', '2.10')
    """
    return re.sub(r"[+~.](?:dfsg|ds)[.0-9]*$", "", str(Version(version).upstream_version))


def _private_apt(suite: str, folder: Path) -> list[str]:
    keyring = f"[signed-by={_KEYRING}] " if _KEYRING.is_file() else ""
    sources = folder / "sources.list"
    sources.write_text(f"deb-src {keyring}{_debian_mirror(folder)} {suite} main\n")
    for part in ("parts", "lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        # The folder belongs to whoever runs this; apt's own user could not write there.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _debian_mirror(folder: Path) -> str:
    listing = ["apt-get", "indextargets", "--format", "$(LABEL)\t$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    for line in _apt(listing, folder).splitlines():
        label, _tab, address = line.partition("\t")
        if label == "Debian":
            return address
    raise OutsideError(
        Issue("apt knows no Debian mirror on this machine (or has no lists yet)", fix=f"apt update; or {_OWN_MIRROR}")
    )


def _apt(command: list[str], folder: Path) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    except FileNotFoundError:
        raise OutsideError(Issue(f"{command[0]} is not installed", fix=_OWN_MIRROR)) from None
    if result.returncode:
        said = " ".join(line for line in result.stderr.splitlines() if line.startswith("E: ")) or result.stderr.strip()
        raise OutsideError(
            Issue(f"{command[0]} failed: {said}", fix=f"check the network and apt's sources; or {_OWN_MIRROR}")
        )
    return result.stdout
