"""The templates of what goes into packages: maintainer scripts, units, sources (debian-templates/, Jinja2)."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from debtool.model.shipped import shipped

_FOLDER = "debian-templates"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(shipped(_FOLDER)),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # What is rendered is shell and control text, never HTML.
        autoescape=False,  # noqa: S701
    )
    environment.filters["roff"] = roff
    return environment


def roff(text: str) -> str:
    r"""Return ``text`` as a manual page shows it unchanged (groff_char(7)): hyphens that can be copied, no requests.

    >>> roff("a-b")
    'a\\-b'
    """
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")


def render(name: str, **values: Any) -> str:
    """Return template ``name`` (``patch/postinst.j2``) filled in; a value that it needs and lacks is an error."""
    return _environment().get_template(name).render(**values)


def template_digest(folder: str) -> str:
    """Return the SHA-256 over the templates in ``folder``, for input keys."""
    total = hashlib.sha256()
    for path in sorted(shipped(f"{_FOLDER}/{folder}").iterdir()):
        total.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
