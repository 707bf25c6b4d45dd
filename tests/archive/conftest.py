"""Tiny packages, an archive to publish them in, and a real apt that sees nothing of the machine's own configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from debtool.archive import Archive, ArchiveConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG = ArchiveConfig(
    origin="Test Origin", label="Test Label", description="For tests", key_uid="Test archive signing key"
)


class MakeDeb(Protocol):
    def __call__(
        self,
        name: str,
        version: str = "1.0-1",
        *,
        architecture: str = "amd64",
        files: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        preinst: str | None = None,
    ) -> Path: ...


@dataclass(frozen=True, slots=True)
class Apt:
    """A real apt in a private root."""

    root: Path

    def add_source(self, stanza: str) -> None:
        (self.root / "etc/apt/sources.list.d/test.sources").write_text(stanza)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["apt-get", *arguments],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "APT_CONFIG": str(self.root / "apt.conf")},
            cwd=self.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def update(self) -> str:
        """Run ``apt-get update``, which must not even grumble, and return what it said."""
        done = self.run("update")
        assert done.returncode == 0, done.stdout
        assert not [line for line in done.stdout.splitlines() if line[:2] in ("W:", "E:", "N:")], done.stdout
        return done.stdout

    def refused_update(self) -> str:
        done = self.run("update", "--error-on=any")
        assert done.returncode != 0, done.stdout
        return done.stdout

    def candidate(self, name: str) -> str | None:
        """Return the version that apt would install."""
        done = subprocess.run(
            ["apt-cache", "policy", name],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "APT_CONFIG": str(self.root / "apt.conf")},
            text=True,
            capture_output=True,
            check=True,
        )
        lines = [line.split()[1] for line in done.stdout.splitlines() if "Candidate:" in line]
        return lines[0] if lines else None


@pytest.fixture
def config() -> ArchiveConfig:
    return CONFIG


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an archive once: its key takes longer than most tests."""
    return Archive.init(tmp_path_factory.mktemp("pristine") / "public", CONFIG).public.parent


@pytest.fixture
def archive(tmp_path: Path, pristine: Path) -> Archive:
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    return Archive.open(tmp_path / "public")


@pytest.fixture
def make_deb(tmp_path: Path) -> MakeDeb:
    count = 0

    def make(
        name: str,
        version: str = "1.0-1",
        *,
        architecture: str = "amd64",
        files: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        preinst: str | None = None,
    ) -> Path:
        nonlocal count
        count += 1
        work = tmp_path / "debs" / str(count)
        tree = work / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        control = {
            "Package": name,
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "A Tester <tester@example.org>",
            "Section": "python",
            "Description": f"{name}\n Made for a test.",
            **(fields or {}),
        }
        (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
        if preinst is not None:
            (tree / "DEBIAN/preinst").write_text(preinst)
            (tree / "DEBIAN/preinst").chmod(0o755)
        for path, text in ({f"/usr/share/{name}/version": version} if files is None else files).items():
            (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tree / path[1:]).write_text(text)
        deb = work / f"{name}_{version.partition(':')[2] or version}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, deb], check=True, capture_output=True)
        return deb

    return make


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    root = tmp_path / "apt"
    for directory in (
        "etc/apt/apt.conf.d",
        "etc/apt/sources.list.d",
        "etc/apt/preferences.d",
        "var/lib/dpkg",
        "var/cache/apt/archives/partial",
    ):
        (root / directory).mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / "apt.conf").write_text(
        f'Dir "{root}/";\n'
        f'Dir::State::status "{root}/var/lib/dpkg/status";\n'
        'APT::Architecture "amd64";\n'
        'APT::Architectures { "amd64"; "i386"; };\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
        'Acquire::http::Proxy "DIRECT";\n'
    )
    return Apt(root)
