"""A stack on disk with its archive, released with the command line as a user does, and served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from debtool.archive import Archive
from debtool.archive.serve import Server
from debtool.stack.onboarding import claim_for
from debtool.stack.project import open_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from debtool.stack.prove import Claim

REPOSITORY = Path(__file__).parents[2]


def debtool(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run debtool's command line, which must succeed, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "debtool.cli.main", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def copy_definitions(folder: Path) -> None:
    """Copy into ``folder`` what the stacks of ``repo`` name beside themselves: archive, locks, patches."""
    repository = REPOSITORY / "repo"
    shutil.copy(repository / "archive.toml", folder)
    for name in ("locks", "patches"):
        shutil.copytree(repository / name, folder / name)


@dataclass
class ServedStack:
    """A stack for bookworm, its archive on a port of the loopback address; use it as a context manager.

    Attributes:
        file: The stack's file.
        public: The archive's public folder.
        cache: What debtool keeps.
        environment: Added to the command line's environment.
    """

    file: Path
    public: Path
    cache: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(init=False, repr=False)

    def __enter__(self) -> Self:
        self.public.mkdir(parents=True, exist_ok=True)
        self.server = Server(self.public)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()

    def debtool(self, *arguments: str) -> str:
        """Run a command on the stack and return what it prints."""
        return debtool("--config", str(self.file), "--cache", str(self.cache), *arguments, environment=self.environment)

    def release(self, *arguments: str) -> dict[str, Any]:
        """Release the stack and return what ``debtool release --json`` says."""
        report = self.debtool("release", "--target=bookworm", f"--archive={self.public}", "--json", *arguments)
        result: dict[str, Any] = json.loads(report)
        return result

    @property
    def archive(self) -> Archive:
        return Archive.open(self.public)

    @property
    def suite(self) -> str:
        return "bookworm-stable"

    def claim(self) -> Claim:
        """Return what the release promises to a machine."""
        project = open_project(self.file)
        stack, target = project.stack, project.target("bookworm")
        return claim_for(stack, target, self.archive, self.suite, self.server.url, ("/", "/info"))
