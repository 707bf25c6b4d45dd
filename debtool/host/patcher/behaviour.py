"""What a module does, asked in a process of its own that may do nothing: isolated functions, or a real import."""

# ruff: noqa: PLC0415
# What only some runs need is loaded there.
from __future__ import annotations

import ast
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import OutsideError, PatchError
from .text import encoding_of, first_line, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .recipe import Check, Recipe

NOBODY = 65534
"""The user and group that may do nothing (Debian Policy 9.2.2)."""

ISOLATED_SECONDS = 60
IMPORT_SECONDS = 120

# Both programs answer on a copy of their standard output: what the asked code prints goes to standard error.
ASK = """
import json, os, re, sys
answers_to = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def ask(scope, calls):
    answers = []
    for path, arguments in json.loads(calls):
        try:
            function = scope
            for part in path.split("."):
                function = function[part] if isinstance(function, dict) else getattr(function, part)
            value = function(*arguments)
            answers.append([True, str(value), re.sub(" at 0x[0-9a-f]+", "", repr(value))])
        except Exception as error:
            answers.append([False, type(error).__name__, type(error).__name__])
    return answers
def tell(answer):
    json.dump(answer, answers_to)
    answers_to.close()
"""

ISOLATED = (
    ASK
    + """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
request = json.load(sys.stdin)
found = []
for source in request["sources"]:
    scope = {"__name__": "isolated"}
    exec(compile(source, "isolated.py", "exec", dont_inherit=True), scope)
    found.append(ask(scope, request["calls"]))
tell(found)
"""
)

IMPORTED = (
    ASK
    + """
sys.path[:] = [folder for folder in sys.path if folder]
request = json.load(sys.stdin)
import importlib
try:
    module = importlib.import_module(request["import"])
except BaseException as error:
    tell({"imported": False, "why": f"{type(error).__name__}: {error}"})
else:
    tell({"imported": True, "file": module.__file__, "answers": ask(vars(module), request["calls"])})
"""
)


class Answer(NamedTuple):
    """How a call came out: its value as text and as repr(), or twice the name of the exception's type."""

    ok: bool
    text: str
    precise: str


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a process runs as, and that user's home."""

    user: int
    group: int
    home: str = "/nonexistent"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one source answered: every check of the recipe, then every keep."""

    recipe: Recipe
    checks: tuple[Answer, ...]
    keeps: tuple[Answer, ...]

    def level(self) -> str | None:
        """Return the highest level whose checks, and those of the levels before it, all pass."""
        reached = None
        for level in self.recipe.levels:
            if self.wrong(level):
                break
            reached = level
        return reached

    def wrong(self, level: str) -> list[str]:
        """Return what a level asks for and is not so, a line a check."""
        wanted = self.recipe.checks_of(level)
        pairs = zip(self.recipe.checks, self.checks, strict=True)
        return [f"{check.name}: {a.text}" for check, a in pairs if check in wanted and not _right(check, a)]

    def changed(self, before: Behaviour) -> list[str]:
        """Return the kept calls that come out differently than ``before``, a line a call."""
        return [
            f"{keep.call}{json.dumps(keep.arguments)}: {new.text}, was {old.text}"
            for keep, old, new in zip(self.recipe.keeps, before.keeps, self.keeps, strict=True)
            if (old.ok, old.precise) != (new.ok, new.precise)
        ]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an interpreter says of the module that it imports; without ``behaviour`` nothing is known, and why."""

    why: str
    file: str = ""
    behaviour: Behaviour | None = None


def ask_isolated(recipe: Recipe, sources: Sequence[bytes]) -> list[Behaviour]:
    """Run every check and keep against the functions of each source, in one unprivileged process.

    Raises PatchError where they do not run, OutsideError where no process can be had.
    """
    question = {"sources": [isolated_source(recipe, source) for source in sources], "calls": _calls(recipe)}
    account = Account(NOBODY, NOBODY) if os.geteuid() == 0 else None
    command = [system_python(), "-I", "-S", "-c", ISOLATED]
    answers = run(command, question, account=account, seconds=ISOLATED_SECONDS)
    return [_behaviour(recipe, answer) for answer in answers]


def ask_import(recipe: Recipe, python: str, account: Account | None) -> Imported:
    """Ask an interpreter what it really imports, bytecode included. Never raises for a copy that cannot be imported."""
    question = {"import": recipe.module, "calls": _calls(recipe)}
    try:
        answer = run([python, "-B", "-c", IMPORTED], question, account=account, seconds=IMPORT_SECONDS)
    except (PatchError, OutsideError) as error:
        return Imported(str(error))
    if not answer["imported"]:
        return Imported(str(answer["why"]))
    return Imported("", str(answer["file"]), _behaviour(recipe, answer["answers"]))


def isolated_source(recipe: Recipe, source: bytes) -> str:
    """Return the patched and the called functions and what they name, as a module of its own. Raises PatchError.

    Of imports only the standard library's come along: within a dpkg run nothing else need be there.
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
            queue.extend(part.id for part in ast.walk(node) if isinstance(part, ast.Name) and part.id in top)
    lines = source.splitlines(keepends=True)
    picked = [node for node in tree.body if node in wanted]
    text = b"".join(b"".join(lines[first_line(node) - 1 : node.end_lineno]) + b"\n" for node in picked)
    return "from __future__ import annotations\n" + text.decode(encoding_of(source)).lstrip("\ufeff")


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


def system_python() -> str:
    """Return the interpreter for isolated runs: the system's, which every user may run, else the one running this."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def account_of(user: int, group: int) -> Account | None:
    """Return whom a check of a file of this owner runs as: the owner, nobody for root's; None: as we are, no root."""
    if os.geteuid() != 0:
        return None
    if user == 0:
        return Account(NOBODY, NOBODY)
    import pwd

    try:
        return Account(user, group, pwd.getpwuid(user).pw_dir)
    except KeyError:
        return Account(user, group)


def run(command: list[str], question: Any, *, account: Account | None, seconds: float) -> Any:
    """Put a JSON question to a program and return its JSON answer.

    It runs in a session of its own without our environment, and ends with all that it started after ``seconds``.
    Raises PatchError for no answer, OutsideError where it cannot be started.
    """
    import contextlib
    import signal
    import subprocess

    home = account.home if account else os.environ.get("HOME", "/nonexistent")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": home}
    who: dict[str, Any] = {"user": account.user, "group": account.group, "extra_groups": []} if account else {}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd="/", start_new_session=True, **who
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OutsideError(f"{command[0]}: {error}") from error
    with process:
        try:
            output, errors = process.communicate(json.dumps(question).encode(), timeout=seconds)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            raise PatchError(f"{command[0]}: no answer within {seconds:g} s") from error
    if process.returncode != 0:
        tail = (errors.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise PatchError(f"the functions do not run: exit status {process.returncode}, {tail}")
    try:
        return json.loads(output)
    except ValueError as error:
        raise PatchError("the functions do not run: no answer") from error


def _calls(recipe: Recipe) -> str:
    calls = [(one.call, one.arguments) for one in recipe.checks]
    return json.dumps(calls + [(one.call, one.arguments) for one in recipe.keeps])


def _behaviour(recipe: Recipe, answers: Sequence[Sequence[Any]]) -> Behaviour:
    found = tuple(Answer(bool(ok), str(text), str(precise)) for ok, text, precise in answers)
    return Behaviour(recipe, found[: len(recipe.checks)], found[len(recipe.checks) :])


def _right(check: Check, answer: Answer) -> bool:
    return answer.ok and check.accepts(answer.text)
