"""A wheel: one package for each, faithful to the wheel, without maintainer scripts and triggers."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

from debtool.deb.control import Control
from debtool.deb.documents import add_text
from debtool.stack.draft import Draft, digest
from debtool.wheel.bytecode import BytecodeCompiler, find_interpreter
from debtool.wheel.copyright import copyright_file
from debtool.wheel.lintian import overrides
from debtool.wheel.metadata import description, homepage
from debtool.wheel.payload import Layout, WheelPayload
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.payload import Sink
    from debtool.model.stack import WheelSettings
    from debtool.stack.draft import Build
    from debtool.stack.facts import WheelFacts
    from debtool.wheel.lintian import Trait


@dataclass(frozen=True, kw_only=True)
class WheelDraft(Draft):
    """Files: those of the wheel, in the runtime's venv, with bytecode for the target's Python.

    Attributes:
        wheel: What is known of the wheel.
        depends: Relations on other wheels' packages and on the target's libraries.
        requested: Whether the stack names the distribution itself.
        bytecode: Whether bytecode is added.
        settings: What the stack says of this wheel.
    """

    recipe: ClassVar[str] = "wheel"

    wheel: WheelFacts
    depends: tuple[str, ...]
    requested: bool
    bytecode: bool
    settings: WheelSettings | None = None

    @property
    def weight(self) -> int:
        """Bytes of the wheel's files."""
        return self.wheel.size

    def inputs(self) -> dict[str, str]:
        """Return the wheel and what its package has beyond it."""
        return {
            "wheel": self.wheel.sha256,
            "depends": ", ".join(self.depends),
            "requested": str(self.requested),
            "bytecode": self.target.python if self.bytecode else "none",
            "settings": digest(self.settings.model_dump_json()) if self.settings else "none",
        }

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the wheel's files, and the overrides of the lintian tags that binary wheels raise."""
        layout = Layout.venv(self.stack.venv, self.target.python)
        if self.settings and self.settings.exclude:
            sink = _Without(sink, f"{layout.site_packages}/", self.settings.exclude)
        with open_wheel(Path(self.wheel.path)) as wheel:
            if self.bytecode:
                with BytecodeCompiler(find_interpreter(self.target.python), workers=1) as compiler:
                    WheelPayload(wheel, layout, mtime=build.date, compiler=compiler, requested=self.requested).emit(
                        sink
                    )
            else:
                WheelPayload(wheel, layout, mtime=build.date, requested=self.requested).emit(sink)

        traits = self._traits()
        if traits:
            add_text(sink, f"/usr/share/lintian/overrides/{self.name}", overrides(self.name, traits))

    def _traits(self) -> list[Trait]:
        found: dict[Trait, bool] = {
            "elf": not self.wheel.pure,
            "bytecode": self.bytecode,
            "scripts": self.wheel.scripts,
        }
        return [trait for trait, present in found.items() if present]

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information."""
        with open_wheel(Path(self.wheel.path)) as wheel:
            fields = self.fields(
                build,
                Section="python",
                Depends=", ".join([self.stack.full_name("runtime"), *self.depends]),
                Description=description(wheel),
            )
            fields["Homepage"] = homepage(wheel) or self.stack.homepage
        return Control(fields)

    def copyright_text(self) -> str:
        """Return the copyright file from the wheel's licence files."""
        with open_wheel(Path(self.wheel.path)) as wheel:
            return copyright_file(wheel)


@dataclass(frozen=True, slots=True)
class _Without:
    """A sink that passes on all but the files below ``root`` that a pattern matches."""

    sink: Sink
    root: str
    patterns: tuple[str, ...]

    def add_directory(self, path: str, *, mode: int = 0o755) -> None:
        self.sink.add_directory(path, mode=mode)

    def add_file(self, path: str, stream: IO[bytes], size: int, *, mode: int = 0o644) -> None:
        if not self._left_out(path):
            self.sink.add_file(path, stream, size, mode=mode)

    def add_symlink(self, path: str, target: str) -> None:
        if not self._left_out(path):
            self.sink.add_symlink(path, target)

    def _left_out(self, path: str) -> bool:
        relative = path.removeprefix(self.root)
        return relative != path and any(fnmatch.fnmatchcase(relative, pattern) for pattern in self.patterns)
