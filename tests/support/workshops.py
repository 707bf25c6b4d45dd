"""A whole small stack on disk, released with the real line but without debtool's command line."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from debtool.stack.draft import digest
from debtool.stack.project import open_project
from debtool.stack.release import Released, Request, make_release
from debtool.wheel.resolve import lock
from tests.support.drafts import TARGET, Notes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wheels import TinyWheels

PYTHON = "{}.{}".format(*sys.version_info)

STACK = """\
schema = 1
name = "acme"
title = "Acme's tools"
prefix = "acme"
install_prefix = "/usr/lib/acme"
maintainer = "Ada <ada@example.org>"
homepage = "https://example.org/acme"
version = "1.0"
date = 2026-11-23
targets = ["here"]
archive = "archive.toml"
public = "public"

[requirements]
direct = ["alpha>=1.0"]

[[package]]
recipe = "keyring"
name = "archive-keyring"
summary = "archive key and apt source of Acme"
description = "The key and the source."

[[package]]
recipe = "runtime"
name = "runtime"
section = "python"
summary = "Python environment of Acme"
description = "A virtual environment."

[[package]]
recipe = "meta"
name = "deps"
section = "metapackages"
summary = "exactly the tested Python packages of Acme"
description = "Depends on them."

[[package]]
recipe = "doctor"
name = "doctor"
section = "admin"
summary = "diagnosis of a machine of Acme"
description = "Looks around."

[[package]]
recipe = "tree"
name = "app"
section = "web"
version = "2.0"
source = { path = "app" }
destination = "/usr/share/acme/app"
exclude = ["__pycache__", "*.pyc", "tests"]
license = "MIT"
needs = ["archive-keyring", "runtime", "=deps"]
recommends = ["acme-doctor"]
summary = "application of Acme"
description = "Works."

[package.service]
script = "main.py"
arguments = ["--state", "{state}", "--title", "two words"]
environment = { ACME_TREE = "{tree}", ACME_TITLE = "two words" }
port = 8080
user = "acme-app"
groups = ["video"]
writable = ["tmp", "var/cache"]
precious = ["models", "outputs"]
"""
ARCHIVE = """\
schema = 1
name = "acme"
origin = "Acme"
label = "Acme"
description = "Packages of Acme"
key_uid = "Acme archive"
channels = ["canary", "stable"]
"""
TREE = {
    "main.py": ("print('hello')\n", 0o755),
    "lib/__init__.py": ("", 0o644),
    "lib/greet.py": ("def greet() -> str:\n    return 'hello'\n", 0o600),
    "lib/__pycache__/greet.cpython-311.pyc": ("stale", 0o644),
    "tests/test_main.py": ("assert True\n", 0o644),
    "tmp/keep": ("", 0o644),
    "LICENSE": ("Permission is granted.\n", 0o644),
}
_LOCKS: dict[str, str] = {}


@dataclass
class Workshop:
    """One stack in one folder, with a lock and two wheels.

    Attributes:
        folder: Where it is.
        wheels: Makes wheels, in the only folder that pip and uv look into.
    """

    folder: Path
    wheels: TinyWheels
    notes: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        for name, text in {
            "stack.toml": STACK,
            "archive.toml": ARCHIVE,
            "targets/here.toml": TARGET.format(python=PYTHON),
        }.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, (text, mode) in TREE.items():
            path = self.folder / "app" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(mode)
        (self.folder / "app/greet.py").symlink_to("lib/greet.py")

    def wheel(self, name: str, version: str, **options: Any) -> Path:
        """Make a wheel in the index."""
        return self.wheels.wheel(name, version, **options)

    def change(self, good: str, bad: str) -> None:
        """Change the stack's file."""
        text = (self.folder / "stack.toml").read_text()
        assert text.count(good) == 1, good
        (self.folder / "stack.toml").write_text(text.replace(good, bad))

    def lock(self) -> None:
        """Resolve the requirements; what was resolved from the same stack and wheels before is taken again."""
        wheels = sorted(path.read_bytes() for path in self.wheels.folder.iterdir())
        seen = digest((self.folder / "stack.toml").read_text(), *wheels)
        project = open_project(self.folder / "stack.toml")
        file = project.lock_file(project.target("here"))
        file.parent.mkdir(exist_ok=True)
        if seen not in _LOCKS:
            _LOCKS[seen] = str(lock(project.stack, project.target("here")))
        file.write_text(_LOCKS[seen])

    def request(self, **changes: Any) -> Request:
        """Return what a release of it would ask for."""
        project = open_project(self.folder / "stack.toml")
        asked: dict[str, Any] = {
            "project": project,
            "target": project.target("here"),
            "channel": "stable",
            "directory": self.folder / "public",
            "cache": self.folder / "cache",
            "url": "http://127.0.0.1:8808/",
            "sources": {},
            "jobs": 1,
            "bytecode": False,
            "date": project.stack.timestamp,
        }
        return Request(**{**asked, **changes})

    def release(self, **changes: Any) -> Released:
        """Release it."""
        self.notes = Notes()
        return make_release(self.request(**changes), self.notes)

    def debs(self) -> dict[str, Path]:
        """Return the files of the packages that were built, by the names of the packages."""
        return {path.name.partition("_")[0]: path for path in sorted((self.folder / "cache/debs/acme").glob("*.deb"))}
