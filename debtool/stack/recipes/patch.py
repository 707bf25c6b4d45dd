"""A patch package: diverts one file of one distribution and keeps a patched copy in its place.

The contract was measured (docs/architecture.md, "Patch packages"): divert, ``interest-await`` on its folder, and no
dependency on the package that is patched, so that dpkg runs the patch before any dependant is configured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, cast

from debtool.deb.control import Control
from debtool.deb.documents import add_text, manual_page
from debtool.deb.templates import render, template_digest
from debtool.model.names import wheel_package
from debtool.stack.draft import Build, StackDraft, digest
from debtool.stack.host_program import host_program

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.control import Script
    from debtool.deb.payload import Sink
    from debtool.model.stack import PatchPackage

_SCRIPTS: tuple[Script, ...] = ("preinst", "postinst", "postrm")


@dataclass(frozen=True, kw_only=True)
class PatchDraft(StackDraft):
    """Files: the program that patches, in /usr/sbin, and its manual page. The rest is done by maintainer scripts."""

    recipe: ClassVar[str] = "patch"

    @property
    def _patch(self) -> PatchPackage:
        return cast("PatchPackage", self.package)

    def inputs(self) -> dict[str, str]:
        """Add the program and the maintainer scripts."""
        program = self._patch.program
        return {
            **super().inputs(),
            "program": digest(host_program(program)),
            "scripts": template_digest("patch"),
            "file": self._values()["target"],
        }

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the program and its manual page."""
        values = self._values()
        add_text(sink, values["program"], host_program(self._patch.program), mode=0o755)
        values |= {"title": self.stack.title, "version": self.upstream, "date": build.day}
        manual_page(sink, self.name, 8, render(f"patch/{self._patch.program}.8.j2", **values))

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information; the scripts and the trigger are rendered for the patched file."""
        values = self._values()
        fields = self.stack_fields(build, ["python3 (>= 3.10)"])
        fields["Enhances"] = wheel_package(self.stack.prefix, self._patch.distribution)
        scripts: dict[Script, str] = {name: render(f"patch/{name}.j2", **values) for name in _SCRIPTS}
        return Control(fields, scripts=scripts, triggers=render("patch/triggers.j2", **values))

    def _values(self) -> dict[str, Any]:
        target = PurePosixPath(self.stack.venv, self.target.site_packages, self._patch.file)
        cached = f"{target.stem}.cpython-{self.target.python.replace('.', '')}.pyc"
        return {
            "package": self.name,
            "program": f"/usr/sbin/{self.name}",
            "target": str(target),
            "diverted": f"{target}.distrib",
            "bytecode": str(target.parent / "__pycache__" / cached),
            "watch": [str(target.parent)],
        }
