"""A release's archive read by apt into a folder of its own: this machine's packages and lists are left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_KEYRINGS = {
    "debian": Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    "ubuntu": Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
_COMPONENTS = {"debian": "main", "ubuntu": "main universe"}
# Debian has a Contents file for each component, Ubuntu one for each suite.
_SETTINGS = """
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{folder}/release.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::IndexTargets::deb {{
    contents-component {{
        MetaKey "$(COMPONENT)/Contents-{architecture}";
        ShortDescription "Contents";
        Description "$(RELEASE)/$(COMPONENT) Contents";
        Identifier "contents";
        DefaultEnabled "false";
        KeepCompressed "true";
        PDiffs "false";
    }};
    contents-suite {{
        MetaKey "Contents-{architecture}";
        ShortDescription "Contents";
        Description "$(RELEASE) Contents";
        Identifier "contents";
        DefaultEnabled "false";
        Fallback-Of "contents-component";
        KeepCompressed "true";
        PDiffs "false";
    }};
}};
"""
_WITH_CONTENTS = [
    f"--option=Acquire::IndexTargets::deb::contents-{part}::DefaultEnabled=true" for part in ("component", "suite")
]


@dataclass(frozen=True, slots=True)
class AptArchive:
    """The archive of one release; its folder is removed when the context of `opened` ends.

    Attributes:
        folder: apt's lists, cache and configuration.
    """

    folder: Path

    def files(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each path of the release without its first slash, with the packages that have it (Contents).

        Contents are fetched now: they are larger than all else.

        Raises:
            OutsideError: The archive has no Contents, or they cannot be read.
        """
        self.update(*_WITH_CONTENTS)
        question = ("indextargets", "--format", "$(FILENAME)", "Identifier: contents")
        listing = self._run("apt-get", *_WITH_CONTENTS, *question)
        if not listing:
            raise OutsideError(
                Issue("the archive has no Contents index", fix="take a whole mirror of the release: --mirror URL")
            )
        for name in listing.splitlines():
            command = ["/usr/lib/apt/apt-helper", "cat-file", name]
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=self._environment()) as process:
                for line in process.stdout or ():
                    path, _, packages = line.decode("utf-8", "replace").strip().rpartition(" ")
                    yield path.rstrip(), [package.rpartition("/")[2] for package in packages.split(",")]
            if process.returncode:
                raise OutsideError(Issue(f"apt could not read {name}", fix="run it again"))

    def download(self, packages: Collection[str]) -> dict[str, Path]:
        """Fetch the newest version of each of ``packages``; return the files by package.

        Raises:
            OutsideError: The archive does not have them all.
        """
        folder = self.folder / "debs"
        folder.mkdir(exist_ok=True)
        if packages:
            self._run("apt-get", "download", *sorted(packages), cwd=folder)
        return {
            file.name.partition("_")[0]: file
            for file in folder.glob("*.deb")
            if file.name.partition("_")[0] in packages
        }

    def update(self, *options: str) -> None:
        """Fetch the indices; ``options`` are apt-get's."""
        self._run("apt-get", *options, "update")

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=cwd, env=self._environment(), capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode != 0:
            tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-10:])
            fix = "name an archive that can be reached with --mirror URL, or run this where the release's own can be"
            raise OutsideError(Issue(f"apt could not read the release's archive:\n{tail}\n", fix=fix))
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C.UTF-8"}


@contextmanager
def opened(sources: str, architecture: str) -> Iterator[AptArchive]:
    """Read the indices of the archive that ``sources`` (deb822, sources.list(5)) names.

    How archives are reached (proxies, certificates, passwords) is as this machine's apt is configured.

    Raises:
        OutsideError: This machine has no apt, or the archive cannot be read.
    """
    if shutil.which("apt-get") is None:
        raise OutsideError(
            Issue("apt is missing, which reads the release's archive", fix="run this on Debian or Ubuntu")
        )
    with TemporaryDirectory(prefix="debtool-apt-") as name:
        folder = Path(name)
        for inner in ("state/lists/partial", "cache/archives/partial"):
            (folder / inner).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "release.sources").write_text(sources)
        # apt.conf(5): this file is read first, and it says to read no other, so that no hook of this machine runs.
        own = [
            line
            for line in ask("apt-config", "dump").splitlines()
            if line.startswith("Acquire::") and "::IndexTargets" not in line
        ]
        settings = _SETTINGS.format(folder=folder, architecture=architecture)
        (folder / "apt.conf").write_text("\n".join([*own, settings]))
        archive = AptArchive(folder)
        archive.update()
        yield archive


def release_sources(distribution: str, codename: str, mirror: str | None = None) -> str:
    """Return the sources (deb822) of a release: of ``mirror``, else where this machine gets the same distribution from.

    Raises:
        InputError: No mirror was given and this machine's apt knows none.
    """
    uri = mirror or _own_mirror(distribution)
    if uri is None:
        problem = f"this machine's apt has no archive of {distribution.capitalize()}"
        fix = f"say which: --mirror URL; or run this on a machine with {distribution.capitalize()}"
        raise InputError(Issue(problem, fix=fix))
    keyring = _KEYRINGS[distribution]
    signed = f"Signed-By: {keyring}\n" if keyring.is_file() else ""
    return f"Types: deb\nURIs: {uri}\nSuites: {codename}\nComponents: {_COMPONENTS[distribution]}\n{signed}"


def _own_mirror(distribution: str) -> str | None:
    """Return where this machine's apt gets the packages of a release of ``distribution`` from, security's aside."""
    listing = ask("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    name = distribution.capitalize()
    return next(
        (
            uri
            for line in listing.splitlines()
            for origin, label, uri in [line.split("|")]
            if (origin, label) == (name, name)
        ),
        None,
    )


def ask(*command: str) -> str:
    """Return what a program of this machine's apt prints; "" where there is no apt."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
