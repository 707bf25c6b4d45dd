"""A small apt archive of packages with shared libraries."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = "usr/lib/x86_64-linux-gnu"
RELEASE = """\
Origin: Test
Label: Test
Suite: stable
Codename: one
Architectures: amd64
Components: main
SHA256:
"""


class Repository:
    """A small archive below ``folder`` that apt reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents: list[str] = []
        self._packages: list[bytes] = []

    def add(self, name: str, version: str, names: Mapping[str, str], **control: str) -> None:
        """Add a package with the files ``names`` below the linker's folder; a value is what a link leads to."""
        tree = self.folder / "trees" / name
        for path, target in names.items():
            file = tree / FOLDER / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if target:
                file.symlink_to(target)
            else:
                file.write_bytes(b"library")
            self._contents.append(f"{FOLDER}/{path}    libs/{name}\n")
        (tree / "DEBIAN").mkdir()
        for member, text in control.items():
            (tree / "DEBIAN" / member).write_text(text)
        stanza = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a <a@b.c>\nDescription: x\n"
        (tree / "DEBIAN" / "control").write_text(stanza)
        pool = self.folder / "pool"
        pool.mkdir(exist_ok=True)
        file = pool / f"{name}_{version}_amd64.deb"
        subprocess.run(["dpkg-deb", "--build", tree, file], check=True, capture_output=True)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        more = f"Filename: pool/{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n\n"
        self._packages.append((stanza + more).encode())

    def publish(self, *, contents: bool = True) -> str:
        """Write the indices; return the archive's sources."""
        suite = self.folder / "dists/one"
        (suite / "main/binary-amd64").mkdir(parents=True)
        indices = {"main/binary-amd64/Packages": b"".join(self._packages)}
        if contents:
            indices["main/Contents-amd64"] = "".join(self._contents).encode()
            indices["main/Contents-amd64.gz"] = gzip.compress(indices["main/Contents-amd64"])
        release = RELEASE
        for path, data in indices.items():
            (suite / path).write_bytes(data)
            release += f" {hashlib.sha256(data).hexdigest()} {len(data)} {path}\n"
        (suite / "Release").write_text(release)
        return f"Types: deb\nURIs: file://{self.folder}\nSuites: one\nComponents: main\nTrusted: yes\n"
