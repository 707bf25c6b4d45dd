"""Patches as the engine reads them: Gradio's, and a second one that shares nothing with it but the form."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from debtool.host import patcher
from debtool.stack.patches import PatchPaths, patch_document
from tests.support.patch_packages import gradio as gradio_patch


def _gradio() -> dict[str, Any]:
    paths = PatchPaths("cheesegrater-gradio-patch", "cheesegrater", "gradio-patch", "/x/gradio_client/utils.py", "3.12")
    document = patch_document(gradio_patch(), paths, ("cheesegrater-forge.service",))
    return {**document, "diverted": None}


GRADIO = _gradio()
"""The stack's own patch, as its package has it, without a copy that is dpkg's."""

TINY_TEXT = """\
import re
from functools import lru_cache

SEPARATOR = re.compile(r"\\s*,\\s*")


class Words:
    @staticmethod
    @lru_cache
    def split(text):
        '''Split at commas.'''
        return [word for word in SEPARATOR.split(text) if word]

    def join(self, words, sign=","):
        joined = sign.join(words)
        return joined


def count(text, least=0):
    found = Words.split(text)
    return max(len(found), least)


def joined(words):
    return Words().join(words)
"""
"""A module of another distribution: None is split and joined there, and fails."""

TINY: dict[str, Any] = {
    "schema": 2,
    "package": "acme-words-patch",
    "prefix": "acme",
    "name": "words-patch",
    "marker": "acme-words-patch",
    "comment": "nothing at all is no words",
    "distribution": "tiny-words",
    "import": "tinywords",
    "file": "tinywords.py",
    "affected": [[None, "1.0"], ["2.0", "2.1"]],
    "defect": "None fails",
    "needed_with": None,
    "prevention": None,
    "restart": [],
    "diverted": None,
    "levels": ["all"],
    "ships": "all",
    "edits": [
        {"function": "Words.split", "where": "start", "test": "{0} is None", "then": "return []", "level": "all"},
        {"function": "Words.join", "where": "start", "test": "not {0}", "then": 'return ""', "level": "all"},
    ],
    "checks": [
        {"name": "None is no words", "call": "count", "arguments": [None], "gives": ["0"], "level": "all"},
        {"name": "None joins to nothing", "call": "joined", "arguments": [None], "gives": [""], "level": "all"},
    ],
    "keeps": [{"call": "count", "arguments": ["a, b"]}, {"call": "joined", "arguments": [["a", "b"]]}],
}


def gradio(**changes: Any) -> dict[str, Any]:
    """Return Gradio's patch as a document of one's own, with some keys changed."""
    return {**copy.deepcopy(GRADIO), **changes}


def tiny(**changes: Any) -> dict[str, Any]:
    """Return the second patch as a document of one's own, with some keys changed."""
    return {**copy.deepcopy(TINY), **changes}


def write_patch(folder: Path, document: dict[str, Any]) -> Path:
    """Write a document as ``patch.json`` in ``folder``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "patch.json"
    file.write_text(json.dumps(document, indent=1))
    return file


def install_program(share: Path, document: dict[str, Any]) -> Path:
    """Put a patch's document, engine and launcher into ``share`` as its package does; return the launcher."""
    file = write_patch(share, document)
    (share / "patcher").symlink_to(Path(patcher.__file__).parent)
    launcher = share / str(document["package"])
    launcher.write_text(
        f"import sys\nsys.path.insert(0, {str(share)!r})\nfrom patcher.main import run\nrun({str(file)!r})\n"
    )
    return launcher


class Machine:
    """A root of its own with one copy of a module, and the program run against it as a package's launcher runs it."""

    def __init__(
        self,
        folder: Path,
        text: bytes,
        document: dict[str, Any] | None = None,
        *,
        version: str | None = "1.2.0",
        site: str = "/srv/venv/lib/python3.12/site-packages",
    ) -> None:
        self.document = document or gradio()
        self.root = folder / "root"
        self.share = folder / "share"
        self.launcher = install_program(self.share, self.document)
        self.site = self.at(site)
        self.path = f"{site}/{self.document['file']}"
        self.file = self.install(text, site=site, version=version)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    @property
    def state(self) -> Path:
        return self.at(f"/var/lib/{self.document['prefix']}/{self.document['name']}")

    @property
    def settings(self) -> Path:
        return self.at(f"/etc/{self.document['prefix']}/{self.document['name']}.d")

    def install(self, text: bytes, *, site: str, version: str | None = "1.2.0") -> Path:
        """Put a module and its finished .dist-info where pip would; return the module's file."""
        file = self.at(f"{site}/{self.document['file']}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        if version is not None:
            info = self.at(site) / f"{self.document['distribution'].replace('-', '_')}-{version}.dist-info"
            info.mkdir(exist_ok=True)
            (info / "INSTALLER").write_text("pip\n")
            (info / "RECORD").write_text("")
        return file

    def configure(self, *lines: str, name: str = "mine.conf") -> None:
        self.settings.mkdir(parents=True, exist_ok=True)
        (self.settings / name).write_text("\n".join(lines) + "\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-IS", str(self.launcher), "--root", str(self.root), *arguments]

    def plain(self, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False, **how)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = self.plain(*arguments, "--json")
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}

    def one(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        status, report = self.run(*arguments)
        assert "copies" in report, report
        assert len(report["copies"]) == 1, report
        return status, report["copies"][0]

    def importable(self, folder: Path) -> Path:
        """Return an interpreter, in ``folder``, that has this copy's site-packages on its path."""
        for part in self.document["file"].split("/")[:-1]:
            (self.site / part / "__init__.py").touch()
        program = folder / "python"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\nPYTHONPATH={self.site} exec /usr/bin/python3 "$@"\n')
        program.chmod(0o755)
        return program
