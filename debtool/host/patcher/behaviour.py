"""What a module does: its functions in isolation, or what an interpreter really imports."""

# ruff: noqa: PLC0415, PTH118, PTH120, PTH123
# Pathlib costs half a start of Python; what only some runs need is loaded there.
from __future__ import annotations

import json
import os

from .asking import answers
from .errors import OutsideError, PatchError
from .isolation import NOBODY, alone, isolated_source, names_of
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .recipe import Check, Recipe

ISOLATED_SECONDS = 60
IMPORT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Answer:
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
    """Run every check and keep against the functions of each source, in one process that may do nothing.

    Raises PatchError where they do not run, OutsideError where no process can be had.
    """
    texts, calls = [isolated_source(recipe, source) for source in sources], _calls(recipe)
    found = alone(lambda: [answers(names_of(text), calls) for text in texts], ISOLATED_SECONDS)
    return [_behaviour(recipe, answer) for answer in found]


def ask_import(recipe: Recipe, python: str, account: Account | None) -> Imported:
    """Ask an interpreter what it really imports, bytecode included. Never raises for a copy that cannot be imported."""
    program = os.path.join(os.path.dirname(__file__), "asking.py")
    question = {"import": recipe.module, "calls": _calls(recipe)}
    try:
        with open(program, encoding="utf-8") as stream:
            command = [python, "-B", "-c", stream.read()]  # whoever runs it may not be allowed to read it
        answer = _run(command, question, account)
    except (PatchError, OutsideError) as error:
        return Imported(str(error))
    if "why" in answer:
        return Imported(str(answer["why"]))
    return Imported("", str(answer["file"]), _behaviour(recipe, answer["answers"]))


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


def _run(command: list[str], question: Any, account: Account | None) -> Any:
    """Put a JSON question to a program and return its JSON answer.

    It runs in a session of its own without our environment, and ends with all that it started after IMPORT_SECONDS.
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
            output, errors = process.communicate(json.dumps(question).encode(), timeout=IMPORT_SECONDS)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            raise PatchError(f"{command[0]}: no answer within {IMPORT_SECONDS:g} s") from error
    if process.returncode != 0:
        tail = (errors.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise PatchError(f"{command[0]}: exit status {process.returncode}, {tail}")
    try:
        return json.loads(output)
    except ValueError as error:
        raise PatchError(f"{command[0]}: no answer") from error


def _calls(recipe: Recipe) -> str:
    calls = [(one.call, one.arguments) for one in recipe.checks]
    return json.dumps(calls + [(one.call, one.arguments) for one in recipe.keeps])


def _behaviour(recipe: Recipe, found: Sequence[tuple[bool, str, str]]) -> Behaviour:
    all_answers = tuple(Answer(*answer) for answer in found)
    return Behaviour(recipe, all_answers[: len(recipe.checks)], all_answers[len(recipe.checks) :])


def _right(check: Check, answer: Answer) -> bool:
    return answer.ok and check.accepts(answer.text)
