"""Host programs: the stand-alone programs of debtool/host that are shipped inside packages."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

_INTERPRETER = "#!/usr/bin/python3\n"


def host_program(module: str) -> str:
    """Return the source of host program ``module`` with the distribution's own interpreter in its first line."""
    source = files("debtool").joinpath("host", f"{module}.py").read_text(encoding="utf-8")
    if source.startswith("#!"):
        source = source.partition("\n")[2]
    return _INTERPRETER + source


def host_package(package: str) -> dict[str, str]:
    """Return the sources of a host program that is a package of modules, by their paths below its folder."""
    return dict(sorted(_sources(files("debtool").joinpath("host", package), "")))


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield f"{path}{entry.name}", entry.read_text(encoding="utf-8")
