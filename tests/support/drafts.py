"""Small packages for tests of planning and making."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from debtool.deb.control import Control
from debtool.deb.documents import add_text
from debtool.model.errors import InputError, Issue
from debtool.model.stack import Stack, parse_stack
from debtool.model.target import Target, parse_target
from debtool.stack.draft import Build, Draft, digest, own_copyright

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from debtool.deb.contents import Contents
    from debtool.deb.payload import Sink

STACK_HEAD = """\
schema = 1
name = "acme"
title = "Acme"
prefix = "acme"
install_prefix = "/usr/lib/acme"
maintainer = "Ada <ada@example.org>"
homepage = "https://example.org/acme"
version = "1.0"
date = 2026-11-23
targets = ["here"]

[requirements]
direct = []
"""
PACKAGE = """
[[package]]
recipe = "runtime"
name = "runtime"
summary = "the runtime"
description = "The runtime."
"""
TARGET = """\
schema = 1
name = "here"
title = "A system"
tag = "here1"
distribution = "debian"
codename = "bookworm"
architecture = "amd64"
python = "{python}"
python_full = "{python}.2"
glibc = "2.36"
dpkg = "1.21.23"

[sonames]
"libc.so.6" = {{ package = "libc6", source = "its index" }}
"""


def stack(text: str = PACKAGE, **changes: object) -> Stack:
    """Return a stack with the packages in ``text``."""
    return parse_stack(STACK_HEAD + text, Path("stack.toml")).model_copy(update=changes)


def target(python: str = "3.11", **changes: object) -> Target:
    """Return a target for ``python``."""
    return parse_target(TARGET.format(python=python), Path("here.toml")).model_copy(update=changes)


@dataclass(frozen=True, kw_only=True)
class SampleDraft(Draft):
    """One text file.

    Attributes:
        text: What is in it.
        fault: ``error``: it cannot be built; ``die``: its process is killed.
    """

    recipe: ClassVar[str] = "sample"

    stack: Stack = field(default_factory=stack)
    target: Target = field(default_factory=target)
    upstream: str = "1.0"
    text: str = "text"
    fault: str = ""

    def inputs(self) -> dict[str, str]:
        return {"text": digest(self.text)}

    def emit(self, sink: Sink, build: Build) -> None:  # noqa: ARG002
        if self.fault == "error":
            raise InputError(Issue(f"{self.name} cannot be built", fix="mend the test"))
        if self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        add_text(sink, f"/usr/share/{self.name}/text", self.text)

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        depends = ", ".join(f"{name} (= {version})" for name, version in build.versions.items())
        return Control(self.fields(build, Section="misc", Depends=depends, Description="a sample"))

    def copyright_text(self) -> str:
        return own_copyright(self.stack)


@dataclass(frozen=True)
class Known:
    """A published package."""

    name: str
    version: str
    input_key: str | None = None


@dataclass
class SampleHistory:
    """What was published, in tests' own words."""

    suite: Sequence[Known] = ()
    others: Sequence[Known] = ()
    recorded: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    def current(self) -> dict[str, Known]:
        return {known.name: known for known in self.suite}

    def versions(self, name: str) -> list[Known]:
        return [known for known in (*self.suite, *self.others) if known.name == name]

    def inputs(self, name: str, version: str) -> Mapping[str, str] | None:
        return self.recorded.get((name, version))


@dataclass
class Notes:
    """A watcher that remembers."""

    stages: list[tuple[str, int | None]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def stage(self, name: str, total: int | None) -> None:
        self.stages.append((name, total))

    def step(self, what: str) -> None:
        self.steps.append(what)
