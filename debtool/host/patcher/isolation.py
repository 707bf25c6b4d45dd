"""Functions of a module by themselves: picked out of its text, and run in a process that may do nothing.

Within a dpkg run nothing else of the module's world need be there. The process is a fork of this one, which costs a
tenth of starting Python.
"""

# ruff: noqa: PLC0415
# What only some runs need is loaded there.
from __future__ import annotations

import ast
import contextlib
import json
import os
import select
import sys
import time

from .errors import OutsideError, PatchError
from .text import encoding_of, first_line, parse

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

    from .recipe import Recipe

NOBODY = 65534
"""The user and group that may do nothing (Debian Policy 9.2.2)."""

KILL = 9
"""SIGKILL (signal(7)), without loading the module of the names."""

CPU_SECONDS = 20
LARGEST = 16 << 20
"""An answer has less than this many bytes."""

PIPE = 3
"""The one descriptor that the process has beside the standard ones, which lead nowhere."""


def isolated_source(recipe: Recipe, source: bytes) -> str:
    """Return the patched and the called functions and what they name, as a module of its own. Raises PatchError.

    Of imports only the standard library's come along.
    """
    tree = parse(source)
    top: dict[str, ast.stmt] = {}
    for node in tree.body:
        top.update(dict.fromkeys(_binds(node), node))
    called = [check.call for check in recipe.checks] + [keep.call for keep in recipe.keeps]
    calls = {call.partition(".")[0] for call in called}
    if unknown := sorted(calls - top.keys()):
        raise PatchError(f"there is no function {unknown[0]}")
    wanted: set[ast.stmt] = set()
    queue = [*calls, *(name for edit in recipe.edits if (name := edit.function.partition(".")[0]) in top)]
    while queue:
        node = top[queue.pop()]
        if node not in wanted:
            wanted.add(node)
            queue.extend(name for name in _names(node) if name in top)
    lines = source.splitlines(keepends=True)
    picked = [node for node in tree.body if node in wanted]
    text = b"".join(b"".join(lines[first_line(node) - 1 : node.end_lineno]) + b"\n" for node in picked)
    return "from __future__ import annotations\n" + text.decode(encoding_of(source)).lstrip("\ufeff")


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the names in a statement but for its annotations, which the future import leaves text (PEP 563)."""
    if isinstance(node, ast.Name):
        yield node.id
    for field, value in ast.iter_fields(node):
        if field not in {"annotation", "returns"}:
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    yield from _names(part)


def _binds(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement gives, as far as the isolated functions may use them."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        return [node.target.id]
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
        modules = [node.module or ""]
    if modules and all(name.partition(".")[0] in sys.stdlib_module_names for name in modules):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]  # type: ignore[attr-defined]
    return []


def names_of(source: str) -> dict[str, Any]:
    """Run an isolated source and return the names that it gives. Only for a process that may do nothing."""
    scope: dict[str, Any] = {"__name__": "isolated"}
    exec(compile(source, "isolated.py", "exec", dont_inherit=True), scope)  # noqa: S102 -- its purpose
    return scope


def alone(work: Callable[[], Any], seconds: float) -> Any:
    """Return the JSON of what ``work`` returns in a process of its own that may do nothing, for ``seconds`` at most.

    It runs as nobody if we are root, in a session of its own, without our environment and our files; it may write no
    file, and leaves no core. Raises PatchError for no answer, OutsideError where no process can be had.
    """
    try:
        reader, writer = os.pipe()
        try:
            child = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
    except OSError as error:
        raise OutsideError(f"no process for the functions: {error.strerror}") from error
    if child == 0:
        _answer(work, writer)
    os.close(writer)
    try:
        told = _line(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
        status = _end(child)
    if told is None:
        raise PatchError(f"the functions do not run: no answer within {seconds:g} s")
    try:
        outcome = json.loads(told)
        problem = outcome.get("problem")
    except (ValueError, AttributeError) as error:
        raise PatchError(f"the functions do not run: exit status {status}") from error
    if problem is not None:
        raise PatchError(f"the functions do not run: {problem}")
    return outcome.get("answer")


def _line(reader: int, deadline: float) -> bytes | None:
    """Return what comes before a line end, the writer's end or too much of it; None if none of these does."""
    poll, found = select.poll(), b""
    poll.register(reader, select.POLLIN)
    while not found.endswith(b"\n") and len(found) < LARGEST:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        part = os.read(reader, 1 << 16)
        if not part:
            break
        found += part
    return found


def _end(child: int) -> int:
    """End the process and all that it started, and return its exit status, or a negative signal."""
    # Before it has its session, it is in our group.
    for kill, target in ((os.kill, child), (os.killpg, child)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(target, KILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _answer(work: Callable[[], Any], writer: int) -> NoReturn:
    """Be the process."""
    try:
        os.dup2(writer, PIPE)
        try:
            _confine()
            told = json.dumps({"answer": work()})
        except BaseException as error:  # noqa: BLE001 -- whatever goes wrong in the code that is asked is its answer
            told = json.dumps({"problem": f"{type(error).__name__}: {error}"})
        rest = told.encode() + b"\n"
        while rest:
            rest = rest[os.write(PIPE, rest) :]
    finally:
        os._exit(0)


def _confine() -> None:
    """Give up what this process has. Raises OSError, ValueError."""
    import resource

    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(PIPE):
        os.dup2(nowhere, standard)
    os.closerange(PIPE + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))
    os.setsid()
    os.chdir("/")
    os.environ.clear()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    limits = ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0))
    for limit, value in limits:
        resource.setrlimit(limit, (value, value))
