"""A new patch file, ready to be filled in, and the table of the stack that makes a package of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.deb.files import outside_errors, replace_file
from debtool.model.definition import toml_string
from debtool.model.errors import InputError, Issue
from debtool.model.names import debian_name
from debtool.model.patch import parse_patch
from debtool.model.shipped import is_installed
from debtool.stack.scaffolding import from_template

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.stack.project import Project

_FOLDER = "patches"


@dataclass(frozen=True, slots=True)
class NewPatch:
    """A patch file that is not written yet.

    Attributes:
        file: Where it goes.
        text: What it says.
        table: The package for the stack's file.
    """

    file: Path
    text: str
    table: str

    def write(self) -> None:
        """Write the file. Raises ``OutsideError`` if the system stands in the way."""
        with outside_errors(f"writing {self.file}"):
            replace_file(self.file, self.text.encode())


def new_patch(project: Project, name: str, *, distribution: str, file: str, function: str) -> NewPatch:
    """Return a patch file called ``name`` for one function of a distribution.

    Raises:
        InputError: One of the values breaks a rule of patch files, the file is there, or the stack is debtool's own.
    """
    debian_name(f"{project.stack.prefix}-{name}")
    path = project.folder / _FOLDER / f"{name}.toml"
    if is_installed(project.file):
        fix = "work on a stack of your own: debtool init DIR, or copy this one"
        raise InputError(Issue("belongs to debtool's installation", file=project.file, fix=fix))
    if path.exists():
        raise InputError(Issue("is there already", file=path, fix="choose another name, or go on with that file"))
    if any(package.name == name for package in project.stack.package):
        problem = f"the stack has a package {name!r} already"
        raise InputError(Issue(problem, file=project.file, field="package.name", fix="choose another name"))
    # Between the template's quotes; a wrong value is told by the file's own rules.
    values = {"distribution": distribution, "file": file, "function": function, "call": function.partition(".")[0]}
    quoted = {key: toml_string(value)[1:-1] for key, value in values.items()}
    text = from_template("patch.toml.j2", {**quoted, "name": name, "where": f"{_FOLDER}/{name}.toml"})
    patch = parse_patch(text, path)
    table = (
        "[[package]]\n"
        'recipe = "patch"\n'
        f"name = {toml_string(name)}\n"
        f'patch = "{_FOLDER}/{name}.toml"\n'
        f"summary = {toml_string(f'patch of {patch.distribution}')}\n"
        'description = """\n'
        f"Patches {patch.file}, and again whenever dpkg, pip or uv replaces it.\n"
        'Removing the package puts the pristine file back."""\n'
    )
    return NewPatch(path, text, table)
