"""The runtime: a venv skeleton on the distribution's own Python."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from debtool.deb.control import Control
from debtool.deb.documents import add_text
from debtool.stack.draft import Build, StackDraft

if TYPE_CHECKING:
    from debtool.deb.contents import Contents
    from debtool.deb.payload import Sink


@dataclass(frozen=True, kw_only=True)
class RuntimeDraft(StackDraft):
    """Files: ``bin/python3`` as a link to the distribution's interpreter, ``pyvenv.cfg``, an empty site-packages."""

    recipe: ClassVar[str] = "runtime"

    def emit(self, sink: Sink, build: Build) -> None:  # noqa: ARG002 -- the same files in every build
        """Offer the skeleton (the layout is that of the venv module, PEP 405)."""
        venv, python = self.stack.venv, f"python{self.target.python}"
        sink.add_directory(f"{venv}/bin")
        sink.add_symlink(f"{venv}/bin/{python}", link_target(f"{venv}/bin", f"/usr/bin/{python}"))
        sink.add_symlink(f"{venv}/bin/python3", python)
        sink.add_symlink(f"{venv}/bin/python", python)
        sink.add_directory(f"{venv}/{self.target.site_packages}")
        sink.add_symlink(f"{venv}/lib64", "lib")
        configuration = (
            "home = /usr/bin\n"
            "include-system-site-packages = false\n"
            f"version = {self.target.python_full}\n"
            f"executable = /usr/bin/{python}\n"
        )
        add_text(sink, f"{venv}/pyvenv.cfg", configuration)

    def control(self, build: Build, contents: Contents) -> Control:  # noqa: ARG002
        """Return the control information."""
        return Control(self.stack_fields(build, [f"python{self.target.python}"]))


def link_target(folder: str, path: str) -> str:
    """Return what a link in ``folder`` to ``path`` says: relative within one top-level folder (Debian Policy 10.5).

    >>> link_target("/usr/lib/x", "/usr/bin/python3.12"), link_target("/opt/x", "/usr/bin/python3.12")
    ('../../bin/python3.12', '/usr/bin/python3.12')
    """
    same = folder.split("/")[1] == path.split("/")[1]
    return posixpath.relpath(path, folder) if same else path
