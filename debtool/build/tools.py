"""The tools of a build: whether a program is there, runs and says its version, and whether a compiler compiles.

A program may be missing, broken, or hang: each is an answer, none an exception.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from packaging.version import Version

from debtool.build.checks import Check, check
from debtool.model.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE = 30.0
"""Seconds that a program gets to say its version; a cold disk needs some."""

_COMPILE_PATIENCE = 120.0
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program did that was asked something.

    Attributes:
        code: What it exited with; None if it did not end in time.
        output: Its standard output.
        errors: Its standard error.
    """

    code: int | None
    output: str
    errors: str

    @property
    def trouble(self) -> str:
        """What went wrong, in one line of text that a terminal can show; "" if it did not fail."""
        if self.code == 0:
            return ""
        if self.code is None:
            return "did not answer in time"
        lines = [line.strip() for line in (self.errors or self.output).splitlines() if line.strip()]
        said = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
        return visible(said[:_LONGEST]) or f"ended with {self.code}"


def ask(
    command: Sequence[str | Path],
    *,
    path: str,
    patience: float = PATIENCE,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run ``command`` and return what it did; one that cannot be run is an answer too.

    Args:
        command: The program and its arguments.
        path: The PATH that it is looked up on and sees.
        patience: Seconds after which it is ended, with all that it started.
        cwd: Where it runs.
        environment: Further variables; it sees nothing else but these, PATH, HOME and LC_ALL.
    """
    variables = {"PATH": path, "HOME": "/", "LC_ALL": "C.UTF-8", **(environment or {})}
    try:
        # A session of its own: a wrapper's children hold the pipes open, and must end with it.
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=cwd,
            env=variables,
            start_new_session=True,
        )
    except OSError as error:
        return Answer(127, "", f"error: {command[0]}: {error.strerror or error}")
    with process:
        try:
            output, errors = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Answer(None, "", "")
    return Answer(process.returncode, output, errors)


def version_in(text: str) -> Version | None:
    """Return the first version in ``text``: numbers with dots that stand alone or after a ``v``.

    >>> version_in("ninja 1.11.1.git.kitware"), version_in("git version 2.39.5"), version_in("no")
    (<Version('1.11.1')>, <Version('2.39.5')>, None)
    """
    match = re.search(r"(?<![\w.])v?([0-9]+(?:\.[0-9]+)+)", text)
    return None if match is None else Version(match[1])


@dataclass(frozen=True, slots=True)
class Tool:
    """A program on PATH.

    Attributes:
        name: Its name.
        path: Where it is; None if it is not there.
        version: What it says of itself; None if it does not say it, or does not run.
        trouble: Why it does not run; "" if it does.
    """

    name: str
    path: Path | None
    version: Version | None
    trouble: str = ""

    @property
    def found(self) -> str:
        """What there is, in words."""
        if self.path is None:
            return f"no {self.name} on PATH"
        if self.trouble:
            return f"{self.path} does not run: {self.trouble}"
        return f"{self.path}, {self.version}" if self.version else f"{self.path}, which does not say its version"


def find_tool(name: str, path: str, arguments: Sequence[str] = ("--version",)) -> Tool:
    """Return the program ``name`` as ``path`` (a PATH) has it, asked for its version with ``arguments``."""
    where = shutil.which(name, path=path)
    if where is None:
        return Tool(name, None, None)
    answer = ask([where, *arguments], path=path)
    if answer.code != 0:
        return Tool(name, Path(where), None, answer.trouble)
    return Tool(name, Path(where), version_in(answer.output) or version_in(answer.errors))


def tool_check(tool: Tool, why: str, packages: Sequence[str], *, minimum: Version | None = None) -> Check:
    """Return whether ``tool`` is there, runs, and is ``minimum`` or newer."""
    wanted = f"{tool.name} {minimum} or newer" if minimum else tool.name
    too_old = minimum is not None and (tool.version is None or tool.version < minimum)
    works = tool.path is not None and not tool.trouble and not too_old
    return check(tool.name, "ok" if works else "missing", tool.found, wanted, why, packages=packages)


Family: TypeAlias = Literal["gcc", "clang"]


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C or C++ compiler.

    Attributes:
        tool: The program.
        family: Whose it is; None if it does not say so.
    """

    tool: Tool
    family: Family | None


def find_compiler(name: str, path: str) -> Compiler:
    """Return the compiler ``name`` as ``path`` (a PATH) has it, or as ``name`` says, with its exact version."""
    tool = find_tool(name, path)
    if tool.path is None or tool.trouble:
        return Compiler(tool, None)
    first = ask([tool.path, "--version"], path=path).output
    if "clang" in first.lower():
        return Compiler(tool, "clang")
    # The version in gcc's first line may stand behind the distribution's own: "(Debian 12.2.0-14+deb12u1) 12.2.0".
    exact = ask([tool.path, "-dumpfullversion", "-dumpversion"], path=path)
    version = version_in(exact.output) if exact.code == 0 else None
    if "Free Software Foundation" in first:
        return Compiler(Tool(tool.name, tool.path, version or tool.version), "gcc")
    return Compiler(tool, None)


def compiling_trouble(compiler: Path, source: str, suffix: str, flags: Sequence[str], path: str) -> str:
    """Compile and link the program ``source``; return "" if that works, else what the compiler says against it.

    Args:
        compiler: The compiler.
        source: The program's text.
        suffix: Its file's ending, which says its language: ``.cpp``.
        flags: Further arguments.
        path: The PATH that the compiler sees.
    """
    with tempfile.TemporaryDirectory(prefix="debtool-probe-") as name:
        folder = Path(name)
        (folder / f"probe{suffix}").write_text(source, encoding="utf-8")
        command: list[str | Path] = [compiler, *flags, f"probe{suffix}", "-o", "probe"]
        answer = ask(command, path=path, patience=_COMPILE_PATIENCE, cwd=folder, environment={"TMPDIR": name})
        if answer.code == 0 and not (folder / "probe").is_file():
            return "it ended well and left no program"
        return answer.trouble
