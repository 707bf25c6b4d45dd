"""A new stack, ready to edit: an archive, an application and everything between."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from debtool.model.errors import InputError, Issue
from debtool.model.names import debian_name
from debtool.stack.refusal import LASTING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from debtool.model.target import Target

_FILES = {
    "stack.toml": "stack.toml.j2",
    "archive.toml": "archive.toml.j2",
    "app/main.py": "main.py.j2",
    ".gitignore": "gitignore.j2",
}


def from_template(template: str, values: Mapping[str, object]) -> str:
    """Return a file of ``scaffold/`` with the values filled in; one that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("debtool.stack", "scaffold"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 -- TOML and Python, never HTML
    )
    return environment.get_template(template).render(values)


def new_stack(folder: Path, *, name: str, maintainer: str, target: Target) -> list[Path]:
    """Write a stack called ``name`` into ``folder``, which must not hold one, and return its files.

    The folder appears complete or not at all, unless it was there before.

    Raises:
        InputError: The name is no package name, or one of the files is there already.
    """
    debian_name(name)
    taken = [folder / file for file in _FILES if (folder / file).exists()]
    if taken:
        raise InputError(*(Issue("is there already", file=path, fix="choose another folder") for path in taken))
    today = dt.datetime.now(dt.UTC).date()
    values = {
        "name": name,
        "maintainer": maintainer,
        "target": target.name,
        "date": today.isoformat(),
        "expires": (today + LASTING).isoformat(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".debtool-init-") as scratch:
        made = Path(scratch, "stack")
        for file, template in _FILES.items():
            path = made / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(from_template(template, values), encoding="utf-8")
        if folder.exists():
            for file in _FILES:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (made / file).rename(folder / file)
        else:
            made.rename(folder)
    return [folder / file for file in _FILES]
