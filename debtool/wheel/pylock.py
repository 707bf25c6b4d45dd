"""What uv resolves requirements to, as the lock of PEP 751 says it: from the indexes that pip is configured with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uv

from debtool.model.errors import Issue, OutsideError
from debtool.wheel.pipconfig import pip_indexes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from debtool.model.target import Target

# The newest glibc that uv knows as a platform; wheels for a newer one do not exist there either.
_UV_NEWEST_GLIBC = 40
# What uv prints when nothing fits what is required, as opposed to not reaching an index.
_UNSOLVABLE = "No solution found"


class CannotResolveError(Exception):
    """uv found no answer; ``str()`` is what it said, in one line.

    Attributes:
        unsolvable: Whether there is none, as opposed to an index that could not be reached.
    """

    def __init__(self, said: str) -> None:
        super().__init__(" ".join(said.split()).removeprefix("error: "))
        self.unsolvable = _UNSOLVABLE in str(self)


def resolved(
    requirements: Iterable[str], target: Target, folder: Path, *options: str, constraints: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return the ``packages`` of a pylock.toml for ``target``.

    Args:
        requirements: What is wanted (PEP 508).
        target: Whose Python and glibc count.
        folder: A folder of one's own, which uv works in: it looks for no project of the user's above it.
        options: More of uv's.
        constraints: What holds back the versions of what is required (PEP 508).

    Raises:
        CannotResolveError: uv found no answer.
        OutsideError: uv is missing, or pip does not run.
    """
    wanted, held, output = folder / "requirements.in", folder / "constraints.in", folder / "pylock.toml"
    wanted.write_text("\n".join([*requirements, ""]))
    held.write_text("\n".join([*constraints, ""]))
    glibc = min(int(target.glibc.split(".")[1]), _UV_NEWEST_GLIBC)
    indexes = pip_indexes()
    command = [
        *(_program(), "pip", "compile", "--quiet", "--no-config", "--python", sys.executable),
        *("--format", "pylock.toml", "--no-header", "--no-annotate"),
        *("--python-version", target.python_full, "--python-platform", f"x86_64-manylinux_2_{glibc}"),
        *indexes.uv_options(),
        *options,
        *("--constraints", str(held), "--output-file", str(output), str(wanted)),
    ]
    environment = os.environ | indexes.uv_environment()
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if result.returncode:
        raise CannotResolveError(result.stderr)
    packages: list[dict[str, Any]] = tomllib.loads(output.read_text())["packages"]
    return packages


def file_name(entry: Mapping[str, Any]) -> str:
    """Return the name of the file that an entry of such a lock stands for.

    >>> file_name({"url": "https://example.org/a-1.0%2Bcpu.tar.gz#sha256=0"})
    'a-1.0+cpu.tar.gz'
    """
    name = entry.get("name") or Path(entry.get("path") or entry["url"].partition("#")[0]).name
    return str(name).replace("%2B", "+").replace("%21", "!")


def _program() -> str:
    try:
        return uv.find_uv_bin()
    except FileNotFoundError:
        found = shutil.which("uv")
    if found is None:
        raise OutsideError(Issue("uv is not installed", fix="install it beside debtool: `pip install uv`"))
    return found
