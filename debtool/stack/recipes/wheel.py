"""A wheel: one package for each, faithful to the wheel, without maintainer scripts and triggers."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from debtool.archive.page import AUDIT_FIELD
from debtool.deb.control import Control
from debtool.deb.documents import add_text
from debtool.stack.draft import Draft, digest
from debtool.stack.relink import RelinkingSink
from debtool.wheel.bytecode import BytecodeCompiler, find_interpreter
from debtool.wheel.copyright import copyright_file
from debtool.wheel.metadata import description, homepage
from debtool.wheel.payload import Layout, WheelPayload, traits
from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.deb.contents import Contents
    from debtool.deb.lintian import Trait
    from debtool.deb.payload import Sink
    from debtool.model.stack import WheelSettings
    from debtool.stack.audit import WheelAudit
    from debtool.stack.draft import Build
    from debtool.stack.facts import WheelFacts


@dataclass(frozen=True, kw_only=True)
class WheelDraft(Draft):
    """Files: those of the wheel, in the runtime's venv, with bytecode for the target's Python; the audit's document.

    Attributes:
        wheel: What is known of the wheel.
        relations: Relations on other wheels' packages and on the target's libraries, by field.
        provides: The packages of extras that it stands for.
        requested: Whether the stack names the distribution itself.
        bytecode: Whether bytecode is added.
        settings: What the stack says of this wheel.
        audit: What is known of its instructions, if the stack names a baseline and it has compiled files.
    """

    recipe: ClassVar[str] = "wheel"
    format: ClassVar[int] = 3

    wheel: WheelFacts
    relations: Mapping[str, tuple[str, ...]]
    provides: tuple[str, ...] = ()
    requested: bool
    bytecode: bool
    settings: WheelSettings | None = None
    audit: WheelAudit | None = None

    @property
    def weight(self) -> int:
        """Bytes of the wheel's files."""
        return self.wheel.size

    def inputs(self) -> dict[str, str]:
        """Return the wheel and what its package has beyond it."""
        return {
            "wheel": self.wheel.sha256,
            **{field.lower(): ", ".join(self.relations[field]) for field in sorted(self.relations)},
            "provides": ", ".join(self.provides),
            "requested": str(self.requested),
            "bytecode": self.target.python if self.bytecode else "none",
            "settings": digest(self.settings.model_dump_json()) if self.settings else "none",
            "audit": self._audited_for(),
        }

    def _audited_for(self) -> str:
        """Return what a user decided of the audit: the baseline and the exceptions that concern this wheel.

        What the rules made of it, and what the emulated gate says, is no input: a rule that is mended must not send
        every machine 200 MB of unchanged files. The document in a package says what was known when it was built; what
        is known now decides whether a release goes on (`debtool.stack.refusal`).
        """
        if self.audit is None:
            return "none"
        exceptions = [one.exception.model_dump_json() for one in self.audit.applied]
        return f"{self.audit.baseline} {digest(*exceptions)}"

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the wheel's files."""
        with ExitStack() as opened:
            wheel = opened.enter_context(open_wheel(self.wheel.path))
            compiler = None
            if self.bytecode:
                interpreter = find_interpreter(self.target.python)
                compiler = opened.enter_context(BytecodeCompiler(interpreter, workers=1))
            layout = Layout.venv(self.stack.venv, self.target.python)
            if self.settings and self.settings.run_path:
                sink = RelinkingSink(sink, wheel, layout, self.wheel.elf, self.settings.run_path)
            payload = WheelPayload(
                wheel,
                layout,
                mtime=build.date,
                compiler=compiler,
                requested=self.requested,
                exclude=self.settings.exclude if self.settings else (),
            )
            payload.emit(sink)
        if self.audit is not None:
            text = json.dumps(self.audit.document(), indent=1) + "\n"
            add_text(sink, f"/usr/share/doc/{self.name}/isa-audit.json", text)

    def traits(self) -> frozenset[Trait]:
        """Return what the wheel holds that lintian must be told about."""
        with open_wheel(self.wheel.path) as wheel:
            return traits(wheel, bytecode=self.bytecode) | ({"audited"} if self.audit else frozenset())

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information."""
        with open_wheel(self.wheel.path) as wheel:
            fields = self.fields(
                build,
                Section="python",
                Depends=", ".join([self.stack.full_name("runtime"), *self.relations["Depends"]]),
                Recommends=", ".join(self.relations["Recommends"]),
                Suggests=", ".join(self.relations["Suggests"]),
                Provides=", ".join(f"{name} (= {build.version})" for name in self.provides),
                Description=description(wheel),
            )
            fields["Homepage"] = homepage(wheel) or self.stack.homepage
        if self.audit is not None:
            fields[AUDIT_FIELD] = self.audit.field
        return Control(fields)

    def copyright_text(self) -> str:
        """Return the copyright file from the wheel's licence files."""
        with open_wheel(self.wheel.path) as wheel:
            return copyright_file(wheel)
