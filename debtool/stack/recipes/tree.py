"""A tree: an application's source, read-only, with its service, configuration and launcher."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from debtool.deb.control import Control
from debtool.deb.documents import add_text, manual_page
from debtool.deb.templates import render, template_digest
from debtool.stack.draft import Build, StackDraft, own_copyright
from debtool.stack.trees import TreeFile, tree_digest

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.control import Script
    from debtool.deb.payload import Sink
    from debtool.model.stack import Service, TreePackage

_SCRIPTS: tuple[Script, ...] = ("postinst", "prerm", "postrm")
_LICENSES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING")


@dataclass(frozen=True, kw_only=True)
class TreeDraft(StackDraft):
    """Files: the tree, and with a service: a systemd unit, /etc/<prefix>/<name>.conf and /usr/bin/<package>.

    Attributes:
        files: The tree's files, patched and filtered, those of its parts included.
    """

    recipe: ClassVar[str] = "tree"

    files: tuple[TreeFile, ...]

    @property
    def _tree(self) -> TreePackage:
        return cast("TreePackage", self.package)

    @cached_property
    def _digest(self) -> str:
        return tree_digest(self.files)

    def inputs(self) -> dict[str, str]:
        """Add the tree's contents and the templates."""
        return {**super().inputs(), "tree": self._digest, "templates": template_digest("tree")}

    def emit(self, sink: Sink, build: Build) -> None:
        """Offer the tree and what runs it."""
        destination, service = self._tree.destination, self._tree.service
        writable = service.writable if service else ()
        for file in self.files:
            if any(file.name == path or file.name.startswith(f"{path}/") for path in writable):
                continue  # a link to the state folder takes its place
            path = f"{destination}/{file.name}"
            if file.link is not None:
                sink.add_symlink(path, file.link)
                continue
            with file.path.open("rb") as stream:
                sink.add_file(path, stream, file.size, mode=0o755 if file.executable else 0o644)
        if service is not None:
            self._emit_service(sink, service, build)

    def _emit_service(self, sink: Sink, service: Service, build: Build) -> None:
        values = self._values(service)
        for path in service.writable:
            sink.add_symlink(f"{self._tree.destination}/{path}", f"{values['state']}/{path}")
        unit = render("tree/service.j2", **values)
        add_text(sink, f"/usr/lib/systemd/system/{self.name}.service", unit)
        add_text(sink, values["configuration"], render("tree/conf.j2", **values))
        add_text(sink, f"/usr/bin/{self.name}", render("tree/launcher.j2", **values), mode=0o755)
        page = render("tree/launcher.1.j2", **values, version=self.upstream, date=build.day)
        manual_page(sink, self.name, 1, page)

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information; with a service, scripts that make its user and start it."""
        service = self._tree.service
        if service is None:
            return Control(self.stack_fields(build))
        values = self._values(service)
        scripts: dict[Script, str] = {name: render(f"tree/{name}.j2", **values) for name in _SCRIPTS}
        return Control(self.stack_fields(build, ["adduser"]), scripts=scripts)

    def copyright_text(self) -> str:
        """Return the tree's licence with its own text, and ours for what is beside it."""
        texts = [file for file in self.files if file.name in _LICENSES]
        text = own_copyright(self.stack).rstrip("\n")
        for file in texts[:1]:
            lines = file.path.read_text(encoding="utf-8", errors="replace").splitlines()
            body = "\n".join(f" {line.rstrip()}" if line.strip() else " ." for line in lines)
            text += (
                f"\n\nFiles: {self._tree.destination.lstrip('/')}/*\n"
                f"Copyright: the authors of {self._tree.name}; see the licence's text\n"
                f"License: {self._tree.license}\n{body}"
            )
        return text + "\n"

    def _values(self, service: Service) -> dict[str, Any]:
        state = f"/var/lib/{self.name}"
        variables = {"state": state, "tree": self._tree.destination, "venv": self.stack.venv}
        chosen = service.arguments + (service.cpu_arguments if self.target.rocm is None else ())
        arguments = [argument.format_map(variables) for argument in chosen]
        script = f"{self._tree.destination}/{service.script}"
        patches = [one for one in self.stack.package if one.recipe == "patch" and self._tree.name in one.restart]
        return {
            "package": self.name,
            "patches": [f"/usr/sbin/{self.stack.full_name(one.name)}" for one in patches],
            "title": self.stack.title,
            "summary": self._tree.summary,
            "homepage": self.stack.homepage,
            "command": shlex.join([f"{self.stack.venv}/bin/python3", "-u", script, *arguments]),
            "configuration": f"/etc/{self.stack.prefix}/{self._tree.name}.conf",
            "environment": {key: value.format_map(variables) for key, value in service.environment.items()},
            "service": service,
            "state": state,
        }
