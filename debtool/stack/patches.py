"""The patches of a stack: their files, and the document that the program on a machine reads (``patch.json``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from debtool.host.patcher.recipe import SCHEMA
from debtool.model.errors import InputError, Issue
from debtool.model.patch import FILL_IN, PAGE, Patch, parse_patch, unfilled
from debtool.stack.project import read_definition

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.model.stack import PatchPackage, Stack
    from debtool.model.target import Target
    from debtool.stack.project import Project


@dataclass(frozen=True, slots=True)
class StackPatch:
    """A patch package of a stack, and its patch file.

    Attributes:
        package: What the stack's file says.
        file: The patch file.
        patch: What it says.
    """

    package: PatchPackage
    file: Path
    patch: Patch


@dataclass(frozen=True, slots=True)
class PatchPaths:
    """Where everything of a patch package is on a machine.

    Attributes:
        package: The full name of the package.
        prefix: The stack's.
        name: The package's without the prefix.
        target: The file that Python imports, in the stack's own environment.
        python: The environment's minor version of Python, such as ``3.12``.
    """

    package: str
    prefix: str
    name: str
    target: str
    python: str

    @classmethod
    def of(cls, stack: Stack, target: Target, package: PatchPackage, patch: Patch) -> PatchPaths:
        """Return those of a package for a target."""
        file = PurePosixPath(stack.venv, target.site_packages, patch.file)
        return cls(stack.full_name(package.name), stack.prefix, package.name, str(file), target.python)

    @property
    def program(self) -> str:
        """The command."""
        return f"/usr/sbin/{self.package}"

    @property
    def share(self) -> str:
        """The folder of the engine and the document."""
        return f"/usr/share/{self.package}"

    @property
    def document(self) -> str:
        """What the program reads."""
        return f"{self.share}/patch.json"

    @property
    def constraints(self) -> str:
        """The file for pip's ``--constraint``."""
        return f"{self.share}/constraints.txt"

    @property
    def configuration(self) -> str:
        """The folder of ``*.conf`` files."""
        return f"/etc/{self.prefix}/{self.name}.d"

    @property
    def state(self) -> str:
        """Records and copies of root's runs."""
        return f"/var/lib/{self.prefix}/{self.name}"

    @property
    def diverted(self) -> str:
        """The same file as its package brought it."""
        return f"{self.target}.distrib"

    @property
    def bytecode(self) -> str:
        """The bytecode of `target` that its package brings."""
        file = PurePosixPath(self.target)
        return str(file.parent / "__pycache__" / f"{file.stem}.cpython-{self.python.replace('.', '')}.pyc")


def stack_patches(project: Project) -> list[StackPatch]:
    """Return the patch packages of the stack with their patches, in the stack's order.

    Raises:
        InputError: A patch file is missing or breaks a rule, or two packages patch the same file.
    """
    found: list[StackPatch] = []
    for package in project.stack.package:
        if package.recipe != "patch":
            continue
        one = read_patch(project, package)
        for other in found:
            if other.patch.file == one.patch.file:
                problem = f"packages {other.package.name!r} and {package.name!r} both patch {one.patch.file}"
                rule = "a file has one diversion (dpkg-divert(1))"
                raise InputError(Issue(problem, file=one.file, field="file", rule=rule, fix="join them to one patch"))
        found.append(one)
    return found


def read_patch(project: Project, package: PatchPackage) -> StackPatch:
    """Return the patch of one package.

    Raises:
        InputError: The patch file is missing or breaks a rule.
    """
    file = project.folder / package.patch
    fix = f"name an existing file in package {package.name!r}, or make it: debtool patch new"
    return StackPatch(package, file, parse_patch(read_definition(file, fix), file))


def refuse_unfilled(patch: Patch, file: Path) -> None:
    """Raise ``InputError`` if the patch has fields that still say what ``debtool patch new`` wrote there."""
    issues = [
        Issue(f"is not filled in yet ({FILL_IN})", file=file, field=field, rule=PAGE, fix=f"replace {FILL_IN}")
        for field in unfilled(patch)
    ]
    if issues:
        raise InputError(*issues)


def patch_document(patch: Patch, paths: PatchPaths, restart: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what the engine in debtool/host/patcher reads; ``restart`` are units."""
    prevention = {"constraint": patch.constraint, "file": paths.constraints} if patch.constraint else None
    needed = patch.needed_with
    return {
        "schema": SCHEMA,
        "package": paths.package,
        "prefix": paths.prefix,
        "name": paths.name,
        "marker": paths.package,
        "comment": patch.comment,
        "distribution": patch.distribution.replace("-", "_"),
        "import": patch.module,
        "file": patch.file,
        "affected": [[str(end) if end else None for end in one] for one in patch.ranges],
        "defect": patch.defect,
        "needed_with": needed.model_dump(by_alias=True) if needed else None,
        "prevention": prevention,
        "restart": list(restart),
        "diverted": {"target": paths.target, "pristine": paths.diverted},
        "levels": list(patch.levels),
        "ships": patch.shipped_level,
        "edits": [
            {**edit.model_dump(exclude_none=True, exclude={"level"}), "level": patch.level_of(edit)}
            for edit in patch.edits
        ],
        "checks": [
            {**check.model_dump(mode="json", exclude={"level"}), "level": patch.level_of(check)}
            for check in patch.checks
        ],
        "keeps": [keep.model_dump(mode="json") for keep in patch.keeps],
    }


def document_text(document: dict[str, Any]) -> str:
    """Return a document as it stands in the package."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
