"""Ubuntu 24.04 and AMD's ROCm archive as apt sees them, from the records in tests/data/rocm; and a real apt for them.

The packages are index entries without files, which is all that a simulation reads.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debian.deb822 import PkgRelation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RECORDS = Path(__file__).parent.parent / "data" / "rocm"
UBUNTU = "Ubuntu"
AMD = "repo.radeon.com"
OURS = "Cheese Grater"


@dataclass(frozen=True, slots=True)
class Entry:
    """A package in an index."""

    name: str
    version: str
    depends: str = ""
    recommends: str = ""
    provides: str = ""

    def __str__(self) -> str:
        """Return its stanza."""
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "amd64",
            "Maintainer": "Nobody <nobody@example.org>",
            "Depends": self.depends,
            "Recommends": self.recommends,
            "Provides": self.provides,
            "Filename": f"pool/{self.name}_{self.version.rpartition(':')[2]}_amd64.deb",
            "Size": "1",
            "SHA256": sha256(f"{self.name} {self.version}".encode()).hexdigest(),
            "Description": self.name,
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)


@dataclass(frozen=True, slots=True)
class Source:
    """An archive: its name in its Release file, its one suite, and what is in it."""

    origin: str
    suite: str
    entries: tuple[Entry, ...]

    def write(self, folder: Path) -> str:
        """Write it to ``folder`` and return the line for sources.list."""
        index = folder / "dists" / self.suite / "main" / "binary-amd64" / "Packages"
        index.parent.mkdir(parents=True)
        text = "\n".join(map(str, self.entries)).encode()
        index.write_bytes(text)
        path = index.relative_to(folder / "dists" / self.suite)
        (folder / "dists" / self.suite / "Release").write_text(
            f"Origin: {self.origin}\nLabel: {self.origin}\nSuite: {self.suite}\nCodename: {self.suite}\n"
            "Architectures: amd64\nComponents: main\nDate: Mon, 23 Nov 2026 00:00:00 UTC\n"
            f"SHA256:\n {sha256(text).hexdigest()} {len(text)} {path}\n"
        )
        return f"deb [trusted=yes] {folder.as_uri()} {self.suite} main\n"


def ubuntu() -> Source:
    """Return what is recorded of Ubuntu 24.04."""
    record = _read("noble.toml")
    return Source(UBUNTU, "noble", tuple(_entry(package) for package in record["package"]))


def absent() -> list[str]:
    """Return the libraries of Ubuntu 22.04 that 24.04 no longer has."""
    names: list[str] = _read("noble.toml")["absent"]["names"]
    return names


def elsewhere() -> list[str]:
    """Return the packages that AMD has in another archive than ROCm's."""
    names: list[str] = _read("relations.toml")["elsewhere"]["names"]
    return names


def releases() -> list[str]:
    """Return the ROCm releases that are recorded."""
    return list(_read("versions.toml")["release"])


def rocm(release: str) -> Source:
    """Return AMD's archive of one ROCm release: every package plain, and installed side by side."""
    record = _read("versions.toml")["release"][release]
    components = {name: version for known in record["known"] for name, version in known["versions"].items()}
    versions = {name: f"{component}.{record['build']}" for name, component in components.items()}

    def filled(text: str) -> str:
        text = re.sub(r"\{([^}:]+):component\}", lambda match: components[match[1]], text)
        return re.sub(r"\{([^}:]+)\}", lambda match: versions[match[1]], text)

    plain = [
        replace(entry, depends=filled(entry.depends))
        for package in _read("relations.toml")["package"]
        if package["name"] in versions and release in package.get("releases", [release])
        for entry in [_entry({**package, "version": versions[package["name"]]})]
    ]
    names = {entry.name for entry in plain}
    beside = [
        replace(
            entry,
            name=entry.name + release,
            depends=_renamed(entry.depends, names, release),
            recommends=_renamed(entry.recommends, names, release),
            provides="",
        )
        for entry in plain
    ]
    return Source(AMD, record["suite"], (*plain, *beside))


def ours(*entries: Entry) -> Source:
    """Return an archive of packages of the stack."""
    return Source(OURS, "noble-stable", entries)


@dataclass(frozen=True, slots=True)
class Planned:
    """A package that apt would install."""

    name: str
    version: str
    origin: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What apt would do.

    Attributes:
        packages: What it would install; nothing if it cannot.
        error: What it says where it cannot; empty otherwise.
    """

    packages: tuple[Planned, ...] = ()
    error: str = ""

    def names(self, origin: str) -> set[str]:
        """Return the names of what would come from ``origin``."""
        return {package.name for package in self.packages if package.origin == origin}


_INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[\S+\] )?\((?P<version>\S+) (?P<origin>[^:\[]+):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Apt:
    """The apt of this machine with a configuration, sources and a state of its own: a system with nothing installed.

    Args:
        root: Where all that is; it is made.
        sources: The archives.
        preferences: The text of a file in /etc/apt/preferences.d.
        installed: What is installed already.
    """

    root: Path
    sources: Sequence[Source]
    preferences: str = ""
    installed: Sequence[Entry] = field(default=())

    def __post_init__(self) -> None:
        """Write the configuration and read the archives' indexes."""
        for folder in (
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "var/lib/dpkg",
            "lists/partial",
            "cache/archives/partial",
        ):
            (self.root / folder).mkdir(parents=True)
        lines = [source.write(self.root / f"archive-{number}") for number, source in enumerate(self.sources)]
        (self.root / "etc/apt/sources.list").write_text("".join(lines))
        (self.root / "etc/apt/preferences.d/test").write_text(self.preferences)
        status = (f"{entry}Status: install ok installed\n" for entry in self.installed)
        (self.root / "var/lib/dpkg/status").write_text("\n".join(status))
        (self.root / "apt.conf").write_text(
            f'Dir "{self.root}";\n'
            f'Dir::State::status "{self.root}/var/lib/dpkg/status";\n'
            'Dir::State::lists "lists";\nDir::Cache "cache";\n'
            'APT::Architecture "amd64";\nAPT::Architectures { "amd64"; };\n'
            'APT::Sandbox::User "";\nAcquire::Languages "none";\n'
        )
        done = self._run("update")
        assert done.returncode == 0, done.stdout
        assert not re.search(r"^[WE]:", done.stdout, re.MULTILINE), done.stdout

    def simulate(self, *arguments: str) -> Plan:
        """Return what ``apt-get ARGUMENTS`` would do."""
        done = self._run("--simulate", "--assume-yes", *arguments)
        if done.returncode:
            return Plan(error=done.stdout)
        return Plan(tuple(Planned(**match.groupdict()) for match in _INSTALL.finditer(done.stdout)))

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["apt-get", *arguments],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "APT_CONFIG": str(self.root / "apt.conf")},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((RECORDS / name).read_text(encoding="utf-8"))


def _entry(package: dict[str, Any]) -> Entry:
    return Entry(
        **{key: package[key] for key in ("name", "version", "depends", "recommends", "provides") if key in package}
    )


def _renamed(relations: str, names: Iterable[str], release: str) -> str:
    """Return ``relations`` with the release behind every name that is in ``names``."""
    parsed = PkgRelation.parse_relations(relations) if relations else []
    for one in (relation for alternatives in parsed for relation in alternatives):
        if one["name"] in names:
            one["name"] += release
    return PkgRelation.str(parsed)
