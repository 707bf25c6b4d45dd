"""A patch package: diverts one file of one distribution and keeps a patched copy in its place.

The contract was measured (docs/architecture.md, "Decisions"): divert, ``interest-await`` on its folder, and no
dependency on the package that is patched, so that dpkg runs the patch before any dependant is configured. Copies that
dpkg knows nothing of are watched by path units of systemd, for the system and for each user.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, cast

from debtool.deb.control import Control
from debtool.deb.documents import add_text, manual_page
from debtool.deb.templates import render, template_digest
from debtool.model.names import wheel_package
from debtool.stack.draft import Build, StackDraft, digest
from debtool.stack.host_program import host_package
from debtool.stack.patches import PatchPaths, document_text, patch_document

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.control import Script
    from debtool.deb.payload import Sink
    from debtool.model.patch import Patch
    from debtool.model.stack import PatchPackage

_SCRIPTS: tuple[Script, ...] = ("preinst", "postinst", "prerm", "postrm")
_ENGINE = "patcher"
# The minor versions of Python that the engine runs on.
_MINORS = range(10, 15)
# Where packages are installed, and where new environments are made.
_SYSTEM_FOLDERS = (
    *(f"/usr/local/lib/python3.{minor}/{kind}-packages" for minor in _MINORS for kind in ("dist", "site")),
    "/opt",
    "/opt/venvs",
    "/srv",
)
# systemd.unit(5), "Specifiers": %h is the user's home.
_USER_FOLDERS = (
    "%h",
    "%h/.virtualenvs",
    *(f"%h/.local/lib/python3.{minor}/site-packages" for minor in _MINORS),
    "%h/.local/share/pipx/venvs",
    "%h/.local/share/uv/tools",
)


@dataclass(frozen=True, kw_only=True)
class PatchDraft(StackDraft):
    """Files: the command and its engine, the patch as data, its configuration, units, constraint and manual page.

    Attributes:
        patch: The patch file.
    """

    recipe: ClassVar[str] = "patch"

    patch: Patch

    @property
    def _patch_package(self) -> PatchPackage:
        return cast("PatchPackage", self.package)

    @cached_property
    def paths(self) -> PatchPaths:
        """Where everything is on a machine."""
        return PatchPaths.of(self.stack, self.target, self._patch_package, self.patch)

    @cached_property
    def document(self) -> str:
        """What the engine reads."""
        units = tuple(f"{self.stack.full_name(name)}.service" for name in self._patch_package.restart)
        return document_text(patch_document(self.patch, self.paths, units))

    def inputs(self) -> dict[str, str]:
        """Add the engine, the document, and what is rendered from the templates."""
        engine = (part for pair in host_package(_ENGINE).items() for part in pair)
        return {
            **super().inputs(),
            "engine": digest(*engine),
            "document": digest(self.document),
            "templates": template_digest("patch"),
            "folders": digest(*_SYSTEM_FOLDERS, *_USER_FOLDERS, *self._foreign()),
        }

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the files."""
        paths, values = self.paths, self._values()
        add_text(sink, paths.program, render("patch/launcher.j2", **values), mode=0o755)
        add_text(sink, f"{paths.share}/follow", render("patch/follow.j2", **values), mode=0o755)
        for name, source in host_package(_ENGINE).items():
            add_text(sink, f"{paths.share}/{_ENGINE}/{name}", source)
        add_text(sink, paths.document, self.document)
        add_text(sink, f"{paths.configuration}/00-usual.conf", render("patch/usual.conf.j2", **values))
        if self.patch.constraint:
            add_text(sink, paths.constraints, render("patch/constraints.txt.j2", **values))
        for scope, folders in (("system", _SYSTEM_FOLDERS), ("user", _USER_FOLDERS)):
            own = {**values, "user": scope == "user", "folders": folders}
            unit = f"/usr/lib/systemd/{scope}/{self.name}"
            add_text(sink, f"{unit}.path", render("patch/path.j2", **own))
            add_text(sink, f"{unit}.service", render("patch/service.j2", **own, again=False))
            add_text(sink, f"{unit}-again.service", render("patch/service.j2", **own, again=True))
        manual_page(sink, self.name, 8, render("patch/program.8.j2", **values, version=self.upstream, date=build.day))

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information; the scripts and the triggers are rendered for the patched file."""
        values = self._values()
        fields = self.stack_fields(build, ["python3 (>= 3.10)"])
        fields["Enhances"] = wheel_package(self.stack.prefix, self.patch.distribution)
        scripts: dict[Script, str] = {name: render(f"patch/{name}.j2", **values) for name in _SCRIPTS}
        return Control(fields, scripts=scripts, triggers=render("patch/triggers.j2", **values))

    def _foreign(self) -> list[str]:
        """Return where packages of others have what is patched: its folder, or the file itself if it has none."""
        minor = f"python{self.target.python}"
        sites = ("/usr/lib/python3", f"/usr/lib/{minor}", f"/usr/local/lib/{minor}")
        return [f"{site}/dist-packages/{PurePosixPath(self.patch.file).parts[0]}" for site in sites]

    def _values(self) -> dict[str, Any]:
        paths, patch = self.paths, self.patch
        return {
            "package": self.name,
            "summary": self.package.summary,
            "title": self.stack.title,
            "venv": self.stack.venv,
            "distribution": patch.distribution,
            "file": patch.file,
            "affected": patch.affected,
            "defect": patch.defect,
            "needed": patch.needed_with,
            "constraint": patch.constraint,
            "program": paths.program,
            "share": paths.share,
            "document": paths.document,
            "constraints": paths.constraints,
            "configuration": paths.configuration,
            "state": paths.state,
            "target": paths.target,
            "diverted": paths.diverted,
            "bytecode": paths.bytecode,
            "watched": str(PurePosixPath(paths.target).parent),
            "foreign": self._foreign(),
            "engine_folders": sorted(
                {str(PurePosixPath(paths.share, _ENGINE, name).parent) for name in host_package(_ENGINE)}
            ),
        }
