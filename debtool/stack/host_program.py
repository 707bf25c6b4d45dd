"""Host programs: the stand-alone programs of debtool/host that are shipped inside packages."""

from __future__ import annotations

from importlib.resources import files

_INTERPRETER = "#!/usr/bin/python3\n"


def host_program(module: str) -> str:
    """Return the source of host program ``module`` with the distribution's own interpreter in its first line."""
    source = files("debtool").joinpath("host", f"{module}.py").read_text(encoding="utf-8")
    if source.startswith("#!"):
        source = source.partition("\n")[2]
    return _INTERPRETER + source
