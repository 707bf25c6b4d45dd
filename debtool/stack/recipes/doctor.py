"""The doctor: a host program that diagnoses the machine it is installed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from debtool.deb.control import Control
from debtool.deb.documents import add_text, manual_page
from debtool.deb.templates import render, template_digest
from debtool.stack.draft import Build, StackDraft, digest
from debtool.stack.host_program import host_program

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.payload import Sink


@dataclass(frozen=True, kw_only=True)
class DoctorDraft(StackDraft):
    """Files: the program in /usr/bin, its manual page, and its configuration, which says where this stack lives."""

    recipe: ClassVar[str] = "doctor"

    def inputs(self) -> dict[str, str]:
        """Add the program, its configuration and the templates."""
        return {
            **super().inputs(),
            "program": digest(host_program("doctor")),
            "configuration": self._configuration(),
            "templates": template_digest("doctor"),
        }

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the program, its manual page and its configuration."""
        add_text(sink, f"/usr/bin/{self.name}", host_program("doctor"), mode=0o755)
        values = {"package": self.name, "version": self.upstream, "date": build.day, "stack": self.stack}
        manual_page(sink, self.name, 1, render("doctor/doctor.1.j2", **values))
        add_text(sink, f"/etc/{self.stack.prefix}/doctor.conf", self._configuration())

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information."""
        return Control(self.stack_fields(build, ["python3 (>= 3.10)"]))

    def _configuration(self) -> str:
        services = [
            {"name": self.stack.full_name(package.name), "port": package.service.port}
            for package in self.stack.package
            if package.recipe == "tree" and package.service is not None
        ]
        return render("doctor/doctor.conf.j2", stack=self.stack, target=self.target, services=services)
