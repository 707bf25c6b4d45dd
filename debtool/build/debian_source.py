"""Debian's source archives, fetched by apt from the mirror that this machine already uses.

apt checks the archive's signature and the file's hash. Its own lists and sources are not touched: this uses private
ones, made from the mirror's address and another suite.
"""

from __future__ import annotations

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
    _apt(["apt-get", *options, "--quiet", "update"], folder)
    versions = [
        line.removeprefix("Version: ")
        for line in _apt(["apt-cache", *options, "showsrc", "--only-source", package], folder).splitlines()
        if line.startswith("Version: ")
    ]
    matching = [found for found in versions if Version(found).upstream_version == version]
    if not matching:
        fix = f"name a version that {suite} has, with its hash, or {_OWN_MIRROR}"
        problem = f"{suite} has {package} {', '.join(versions) or 'not at all'}, not {version}"
        raise InputError(Issue(problem, field="source.version", fix=fix))
    _apt(["apt-get", *options, "source", "--download-only", "--tar-only", f"{package}={matching[0]}"], folder)
    return next(folder.glob(f"{package}_{version}.orig.tar.*"))


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
