"""Pages of one file: HTML that loads nothing, runs nothing, and is read on a telephone, in the dark and on paper."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from debtool.model.text import thousands

_BASE = Path(__file__).with_name("templates")


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, _BASE]),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = thousands
    return environment


def render_page(folder: Path, name: str, **values: Any) -> bytes:
    """Return the page of the template ``name`` in ``folder``, which extends ``base.html.j2``.

    Every value is escaped; bytes of file names that are no UTF-8 become question marks.
    """
    return _environment(folder).get_template(name).render(**values).encode("utf-8", "replace")
