"""A patch of one file of a distribution: which versions need it, what is inserted where, and how it is judged."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from packaging.specifiers import SpecifierSet
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from debtool.model.definition import Strict, find_line, parse_definition, spell_field
from debtool.model.errors import InputError, Issue
from debtool.model.releases import release_ranges
from debtool.model.stack import DistributionName, RelativePath, RequirementText, SpecifierText

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.model.releases import ReleaseRange

    # The place of the key, the problem, and the fix.
    _Contradiction = tuple[tuple[str | int, ...], str, str]

PAGE = "docs/patches.md"
FILL_IN = "FILL-IN"
"""What `debtool patch new` writes where only the author knows."""

PARAMETER = "{0}"
"""Stands for the name of the function's first parameter, in a test and in what is done."""

_STAND_IN = "parameter"


def _parsed(text: str) -> list[ast.stmt]:
    """Return the statements of ``text`` as the body of a loop in a function: what may be written there is valid."""
    source = f"def function({_STAND_IN}):\n while True:\n  {text.replace(PARAMETER, _STAND_IN)}"
    try:
        [function] = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"{text!r} is not valid Python: {reason}") from None
    if any(isinstance(node, ast.Yield | ast.YieldFrom | ast.Await) for node in ast.walk(function)):
        raise ValueError(f"{text!r} would make another kind of function of it: no yield and no await")
    body: list[ast.stmt] = function.body[0].body  # type: ignore[attr-defined]
    return body


def _test(text: str) -> str:
    # Parsed as it will stand, too: a comment would take the colon away.
    _parsed(f"if {text}: pass")
    if [type(statement) for statement in _parsed(text)] != [ast.Expr]:
        raise ValueError(f"{text!r} is no expression")
    return text


def _then(text: str) -> str:
    statements = _parsed(text)
    # What has statements of its own has a field for them.
    if len(statements) != 1 or {"body", "cases"} & set(statements[0]._fields) or "#" in text:
        raise ValueError(f"{text!r} is not one simple statement without '#'")
    return text


def _module(text: str) -> str:
    parts = text.removesuffix(".py").split("/")
    if not text.endswith(".py") or not all(part.isidentifier() for part in parts):
        raise ValueError(f"{text!r} is no module below site-packages, such as 'gradio_client/utils.py'")
    return text


def _function(text: str) -> str:
    if not text.isascii() or not all(part.isidentifier() for part in text.split(".")):
        raise ValueError(f"{text!r} names no function: a name, or 'outer.inner' for one inside another")
    return text


def _identifier(text: str) -> str:
    if not text.isascii() or not text.isidentifier():
        raise ValueError(f"{text!r} is no name of Python")
    return text


def _arguments(given: Any) -> Any:
    """Return the arguments of a call: a list, or a list as JSON text, which can say null."""
    try:
        value = json.loads(given) if isinstance(given, str) else given
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{given!r} cannot be said in JSON: {error}") from None
    if not isinstance(value, list):
        raise ValueError(f"{given!r} is no list of arguments; as text: '[null, true]'")  # noqa: TRY004 -- pydantic's way
    return value


def _ranges(text: str) -> str:
    try:
        release_ranges(SpecifierSet(text))
    except InputError as error:
        [issue] = error.issues
        raise ValueError(f"{issue.problem}: {issue.fix}") from None
    return text


# A file of Latin-1 or ASCII must be able to hold it, so it is ASCII.
_Ascii = Annotated[str, StringConstraints(pattern=r"^[ -~]+$")]
_Printable = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]+$")]
LevelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Release = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*$")]
Expression = Annotated[_Ascii, AfterValidator(_test)]
Statement = Annotated[_Ascii, AfterValidator(_then)]
ModuleFile = Annotated[RelativePath, AfterValidator(_module)]
FunctionName = Annotated[str, AfterValidator(_function)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Arguments = Annotated[tuple[Any, ...], BeforeValidator(_arguments)]
Affected = Annotated[SpecifierText, AfterValidator(_ranges)]


class Edit(Strict):
    """One guard that is inserted: ``if TEST:`` with one statement.

    Attributes:
        function: Where: a function at the top of the file, ``outer.inner`` for one inside another.
        where: ``start``: before its first statement; ``after``: after the only statement that assigns ``assigns`` and
            has the text ``contains`` in its value.
        test: An expression; ``{0}`` is the name of the function's first parameter.
        then: The statement that runs where it is true.
        level: The first level that has it; the first of all by default.
    """

    function: FunctionName
    where: Literal["start", "after"] = "start"
    assigns: Identifier | None = None
    contains: _Ascii | None = None
    test: Expression
    then: Statement
    level: LevelName | None = None


class Check(Strict):
    """A call that must give the right result once the file is patched.

    Attributes:
        name: What people are told that it checks.
        call: A function at the top of the file.
        arguments: What it is given; JSON text can say null.
        gives: The results that are right, as str() writes them.
        fold: Whether upper and lower case are the same.
        level: The first level that must pass it; the first of all by default.
    """

    name: _Printable
    call: FunctionName
    arguments: Arguments
    gives: Annotated[tuple[str, ...], Field(min_length=1)]
    fold: bool = False
    level: LevelName | None = None


class Keep(Strict):
    """A call whose result, or kind of exception, must be the same before and after."""

    call: FunctionName
    arguments: Arguments


class NeededWith(Strict):
    """Another distribution without which, or before which, the defect does not show, ``unless`` there is a reason."""

    distribution: DistributionName
    from_: Release = Field(alias="from")
    unless: _Printable | None = None


class Patch(Strict):
    """One patch file.

    Attributes:
        distribution: What is patched.
        affected: The versions that need it, as ranges of releases.
        file: The patched file, below site-packages.
        defect: What goes wrong without it, in a line.
        comment: What stands behind each line that is inserted.
        levels: Names of what the patch can do, each level including those before it.
        ships: The level that the package applies; the last by default.
        needed_with: What the defect shows with only.
        constraint: A requirement that prevents the defect in the first place.
        edits: What is inserted.
        checks: What must be right afterwards.
        keeps: What must be as it was.
    """

    schema_: Literal[1] = Field(alias="schema")
    distribution: DistributionName
    affected: Affected
    file: ModuleFile
    defect: _Printable
    comment: _Ascii
    levels: Annotated[tuple[LevelName, ...], Field(min_length=1)] = ("full",)
    ships: LevelName | None = None
    needed_with: NeededWith | None = None
    constraint: RequirementText | None = None
    edits: Annotated[tuple[Edit, ...], Field(min_length=1)]
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    keeps: tuple[Keep, ...] = ()

    @property
    def ranges(self) -> tuple[ReleaseRange, ...]:
        """The affected releases, ascending."""
        return release_ranges(SpecifierSet(self.affected))

    @property
    def module(self) -> str:
        """The name that the file is imported under."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def shipped_level(self) -> str:
        """The level that the package applies."""
        return self.ships or self.levels[-1]

    def level_of(self, part: Edit | Check) -> str:
        """Return the first level that has ``part``."""
        return part.level or self.levels[0]


def parse_patch(text: str, file: Path) -> Patch:
    """Return the patch described by ``text``, read from ``file``.

    Raises:
        InputError: It is not TOML or breaks a rule; one issue for each problem, with its line.
    """
    patch = parse_definition(text, file, Patch, PAGE)
    lines = text.splitlines()
    issues = [
        Issue(problem, file=file, line=find_line(lines, place), field=spell_field(place), rule=PAGE, fix=fix)
        for place, problem, fix in _contradictions(patch)
    ]
    if issues:
        raise InputError(*issues)
    return patch


def unfilled(patch: Patch) -> list[str]:
    """Return the fields that still say what `debtool patch new` wrote there."""
    return [spell_field(place) for place, text in _texts(patch.model_dump(by_alias=True)) if FILL_IN in text]


def _texts(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below, (*place, key))
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _texts(below, (*place, index))


def _contradictions(patch: Patch) -> Iterator[_Contradiction]:
    """Yield where values contradict one another."""
    known = f"one of {', '.join(patch.levels)}, or add it to 'levels'"
    if len(set(patch.levels)) < len(patch.levels):
        yield ("levels",), "a level is named twice", "name each once"
    if patch.ships is not None and patch.ships not in patch.levels:
        yield ("ships",), f"{patch.ships!r} is no level", known
    groups: dict[str, tuple[Edit | Check, ...]] = {"edits": patch.edits, "checks": patch.checks}
    for key, parts in groups.items():
        named = [patch.level_of(part) for part in parts]
        for index, level in enumerate(named):
            if level not in patch.levels:
                yield (key, index, "level"), f"{level!r} is no level", known
        for level in sorted(set(patch.levels) - set(named)):
            yield ("levels",), f"{key} have none of level {level!r}", "add one of that level, or remove the level"
    for index, edit in enumerate(patch.edits):
        yield from _in_edit(("edits", index), edit, patch.edits[:index])


def _in_edit(place: tuple[str | int, ...], edit: Edit, before: tuple[Edit, ...]) -> Iterator[_Contradiction]:
    after = edit.where == "after"
    for key in ("assigns", "contains"):
        if (getattr(edit, key) is not None) is not after:
            problem = "is missing" if after else "has no meaning"
            fix = f"add {key} = …" if after else "remove it, or write where = 'after'"
            yield (*place, key), f"{problem} with where = {edit.where!r}", fix
    asked = [(one.function, one.assigns, one.contains, one.test) for one in before]
    if (edit.function, edit.assigns, edit.contains, edit.test) in asked:
        yield (*place, "test"), "an edit before it asks the same at the same place", "remove one of them"
