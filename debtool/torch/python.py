"""The Python that builds PyTorch, and the C library that the result is tied to."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from debtool.build.checks import Check, check
from debtool.build.tools import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.checks import Verdict
    from debtool.torch.wanted import Wanted

_ASK_PYTHON = """
import importlib.util, json, os, platform, sys, sysconfig
has = lambda name: importlib.util.find_spec(name) is not None
print(json.dumps({
    "name": sys.implementation.name, "version": platform.python_version(), "bits": sys.maxsize.bit_length() + 1,
    "header": os.path.join(sysconfig.get_path("include"), "Python.h"),
    "venv": has("venv"), "packaging": has("packaging"),
    "special": [flag for flag in ("Py_DEBUG", "Py_GIL_DISABLED") if sysconfig.get_config_var(flag)],
}))
"""


def check_python(wanted: Wanted, glibc: str, root: Path) -> Iterator[Check]:
    """Yield the checks of the Python that builds, and of ``glibc``, the version of this machine's C library.

    ``root`` is the system's, which says whether its distribution has the target's Python.
    """
    python = wanted.target.python
    interpreter = wanted.interpreter or shutil.which(f"python{python}", path=wanted.path)
    yield from _python(None if interpreter is None else Path(interpreter), wanted, root)
    newest = Version(wanted.target.glibc)
    wants, why = f"glibc {newest} or older", f"what is compiled here must load on {wanted.target.title}"
    good = Version(glibc) <= newest
    fix = f"build on {wanted.target.title} or an older system, or in a root of it"
    yield check("glibc", "ok" if good else "missing", f"glibc {glibc}", wants, why, fix=fix)


def _python(interpreter: Path | None, wanted: Wanted, root: Path) -> Iterator[Check]:
    python = wanted.target.python
    name, wants = "Python", f"CPython {python}, 64 bits"
    why = f"the wheel is for the Python of {wanted.target.name} alone"
    # Another release of the distribution has no package of this name, and apt would then install nothing at all.
    own = _codename(root) == wanted.target.codename
    mend: list[str] = [f"python{python}-dev", f"python{python}-venv"] if own else []
    fix = "" if own else f"uv python install {python}, or have a CPython {python} with headers first on PATH"
    if interpreter is None:
        yield check(name, "missing", f"no python{python} on PATH", wants, why, packages=mend, fix=fix)
        return
    said, trouble = _said(interpreter, wanted.path)
    if said is None:
        yield check(name, "missing", f"{interpreter} does not run: {trouble}", wants, why, packages=mend, fix=fix)
        return
    special = "".join(f", built with {flag}" for flag in said["special"])
    there = f"{interpreter}: {said['name']} {said['version']}, {said['bits']} bits{special}"
    right = re.match(r"[0-9]+\.[0-9]+", said["version"])
    plain = said["name"] == "cpython" and said["bits"] == 64 and not special  # noqa: PLR2004 -- bits
    if not plain or right is None or right[0] != python:
        yield check(name, "missing", there, wants, why, packages=mend, fix=fix)
        return
    yield check(name, "ok", there, wants, why)
    header = Path(said["header"])
    there = str(header) if header.is_file() else f"there is no {header}"
    why, verdict = "libtorch_python is compiled with it", _verdict("missing", good=header.is_file())
    yield check("Python headers", verdict, there, "Python.h", why, packages=mend[:1], fix=fix)
    why = "the build has an environment of its own; pip works on it from outside, so ensurepip is not needed"
    there = "there" if said["venv"] else f"{interpreter} has no module venv"
    verdict = _verdict("missing", good=said["venv"])
    yield check("Python venv", verdict, there, "the module venv", why, packages=mend[1:], fix=fix)
    why = "PyTorch's requirements.txt lists it; its build (2.4, 2.6) imports it nowhere, and pip brings it"
    there = "there" if said["packaging"] else f"{interpreter} has no module packaging"
    verdict = _verdict("warning", good=said["packaging"])
    packages, brings = (["python3-packaging"], "") if own else ([], f"{interpreter} -m pip install packaging")
    yield check("Python packaging", verdict, there, "the module packaging", why, packages=packages, fix=brings)


def _verdict(bad: Verdict, *, good: bool) -> Verdict:
    return "ok" if good else bad


def _said(interpreter: Path, path: str) -> tuple[dict[str, Any] | None, str]:
    """Return what the interpreter says of itself; None and why if it says nothing."""
    answer = ask([interpreter, "-I", "-c", _ASK_PYTHON], path=path)
    if answer.code != 0:
        return None, answer.trouble
    try:
        said: Any = json.loads(answer.output)
    except ValueError:
        said = None
    return (said, "") if isinstance(said, dict) else (None, "it is no Python")


def _codename(root: Path) -> str | None:
    """Return the distribution's release of the system below ``root`` (os-release(5)); None if it does not say it."""
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r'(?m)^VERSION_CODENAME="?([a-z0-9.-]+)"?$', text)
    return None if match is None else match[1]
