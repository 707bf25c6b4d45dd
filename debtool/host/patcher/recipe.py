"""A patch as data: ``patch.json`` as frozen value types, validated once, all problems told together."""

from __future__ import annotations

import ast
import json
import re

from .errors import DocumentError
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    Value = TypeVar("Value")

SCHEMA = 2
"""Version of patch.json, of the records and of the JSON that the program prints."""

IDENTIFIERS = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
RELEASE = r"\d+(\.\d+)*"
# Written into file names, paths and a comment of the patched module.
WORD = r"[a-z0-9][a-z0-9+.-]*"
# ASCII without line ends: it must mean the same in a module of any encoding.
LINE = r"[ -~]+"
PRINTABLE = r"[^\x00-\x1f]+"
ABSOLUTE = r"/[^\x00-\x1f]*[^/\x00-\x1f]"


@dataclass(frozen=True, slots=True)
class Edit:
    """One guard: at the start of a function, or after the statement that assigns ``assigns`` from ``contains``."""

    function: str
    where: str
    test: str
    then: str
    level: str
    assigns: str | None = None
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A call and the results that count as right, compared as text, without letter case where ``fold`` says so."""

    name: str
    call: str
    arguments: tuple[Any, ...]
    gives: tuple[str, ...]
    fold: bool
    level: str

    def accepts(self, text: str) -> bool:
        """Say whether this result is right."""
        return text.casefold() in {given.casefold() for given in self.gives} if self.fold else text in self.gives


@dataclass(frozen=True, slots=True)
class Keep:
    """A call whose outcome must be the same before and after."""

    call: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Needed:
    """The defect shows only with this distribution, from this release on, but for a reason to tell of."""

    distribution: str
    first: str
    unless: str | None


@dataclass(frozen=True, slots=True)
class Prevention:
    """A pip constraint that keeps the defect away, and the file that holds it."""

    constraint: str
    file: str


@dataclass(frozen=True, slots=True)
class Diverted:
    """The copy that dpkg owns: what Python imports, and the file as its package brought it (dpkg-divert(1))."""

    target: str
    pristine: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One patch. ``affected`` is a list of half-open ranges of releases; None is an open end."""

    package: str
    prefix: str
    name: str
    marker: str
    comment: str
    distribution: str
    module: str
    file: str
    affected: tuple[tuple[str | None, str | None], ...]
    defect: str
    needed_with: Needed | None
    prevention: Prevention | None
    restart: tuple[str, ...]
    diverted: Diverted | None
    levels: tuple[str, ...]
    ships: str
    edits: tuple[Edit, ...]
    checks: tuple[Check, ...]
    keeps: tuple[Keep, ...]

    def edits_of(self, level: str) -> list[Edit]:
        """Return the edits of a level and of those that it includes."""
        return [edit for edit in self.edits if self.reaches(level, edit.level)]

    def checks_of(self, level: str) -> list[Check]:
        """Return the checks of a level and of those that it includes."""
        return [check for check in self.checks if self.reaches(level, check.level)]

    def reaches(self, level: str | None, wanted: str) -> bool:
        """Say whether ``level`` includes ``wanted``."""
        return level is not None and self.levels.index(level) >= self.levels.index(wanted)


def load(path: str) -> Recipe:
    """Read and validate a patch.json. Raises DocumentError, which names every problem with its field."""
    try:
        with open(path, encoding="utf-8") as stream:  # noqa: PTH123 -- pathlib costs half a start of Python
            document = json.load(stream)
    except (OSError, ValueError) as error:
        raise DocumentError(f"{path}: cannot be read: {error}; fix: reinstall its package") from error
    return parse(document, path)


def parse(document: object, file: str) -> Recipe:
    """Return the recipe that a JSON document says. Raises DocumentError, which names every problem with its field."""
    top = _Table(document, "", [])
    recipe = _recipe(top)
    top.end(None)
    if not top.problems:
        _agreement(recipe, top.problems)
    if top.problems:
        raise DocumentError("\n".join(f"{file}: {problem}; fix: reinstall its package" for problem in top.problems))
    return recipe


def _recipe(top: _Table) -> Recipe:
    if top.take("schema", int) != SCHEMA:
        top.problem("schema", f"must be {SCHEMA}")
    return Recipe(
        package=top.text("package", WORD),
        prefix=top.text("prefix", WORD),
        name=top.text("name", WORD),
        marker=top.text("marker", WORD),
        comment=top.text("comment", LINE),
        distribution=top.text("distribution", r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"),
        module=top.text("import", IDENTIFIERS),
        file=top.text("file", r"([A-Za-z_]\w*/)*\w+\.py"),
        affected=tuple(_ranges(top)),
        defect=top.text("defect", PRINTABLE),
        needed_with=_needed(top.optional("needed_with")),
        prevention=_prevention(top.optional("prevention")),
        restart=top.texts("restart", r"[A-Za-z0-9:_.@\\-]+\.[a-z]+"),
        diverted=_diverted(top.optional("diverted")),
        levels=top.texts("levels", r"\w+"),
        ships=top.text("ships", r"\w+"),
        edits=tuple(_edit(table) for table in top.tables("edits")),
        checks=tuple(_check(table) for table in top.tables("checks")),
        keeps=tuple(_keep(table) for table in top.tables("keeps")),
    )


def _ranges(top: _Table) -> Iterator[tuple[str | None, str | None]]:
    for number, ends in enumerate(top.take("affected", list)):
        good = isinstance(ends, list) and len(ends) == len(("from", "to"))
        if good and all(end is None or (isinstance(end, str) and re.fullmatch(RELEASE, end)) for end in ends):
            yield ends[0], ends[1]
        else:
            top.problem(f"affected[{number}]", 'must be [FROM, TO], two releases such as "1.8.0" or null')


def _needed(table: _Table | None) -> Needed | None:
    if table is None:
        return None
    unless = (
        table.text("unless", PRINTABLE) if table.rest.setdefault("unless") is not None else table.rest.pop("unless")
    )
    return table.end(Needed(table.text("distribution", LINE), table.text("from", RELEASE), unless))


def _prevention(table: _Table | None) -> Prevention | None:
    if table is None:
        return None
    return table.end(Prevention(table.text("constraint", LINE), table.text("file", ABSOLUTE)))


def _diverted(table: _Table | None) -> Diverted | None:
    if table is None:
        return None
    return table.end(Diverted(table.text("target", ABSOLUTE), table.text("pristine", ABSOLUTE)))


def _edit(table: _Table) -> Edit:
    where = table.text("where", "start|after")
    after = where == "after"
    return table.end(
        Edit(
            function=table.text("function", IDENTIFIERS),
            where=where,
            test=table.text("test", LINE),
            then=table.text("then", LINE),
            level=table.text("level", r"\w+"),
            assigns=table.text("assigns", r"[A-Za-z_]\w*") if after else None,
            contains=table.text("contains", LINE) if after else None,
        )
    )


def _check(table: _Table) -> Check:
    return table.end(
        Check(
            name=table.text("name", PRINTABLE),
            call=table.text("call", IDENTIFIERS),
            arguments=tuple(table.take("arguments", list)),
            gives=table.texts("gives", r"(?s).*"),
            fold=bool(table.take("fold", bool, default=False)),
            level=table.text("level", r"\w+"),
        )
    )


def _keep(table: _Table) -> Keep:
    return table.end(Keep(table.text("call", IDENTIFIERS), tuple(table.take("arguments", list))))


def _agreement(recipe: Recipe, problems: list[str]) -> None:
    """Tell what each value alone does not show."""
    module = recipe.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if recipe.module != module:
        problems.append(f"import: must be {module}, the module of file")
    if not recipe.levels or len(set(recipe.levels)) != len(recipe.levels):
        problems.append("levels: one at least, each once")
    used = [("ships", recipe.ships)]
    used += [(f"edits[{number}].level", edit.level) for number, edit in enumerate(recipe.edits)]
    used += [(f"checks[{number}].level", check.level) for number, check in enumerate(recipe.checks)]
    problems.extend(f"{field}: {level} is none of levels" for field, level in used if level not in recipe.levels)
    first = recipe.levels[0] if recipe.levels else ""
    for field, levels in (("edits", {e.level for e in recipe.edits}), ("checks", {c.level for c in recipe.checks})):
        if first not in levels:
            problems.append(f"{field}: the first level needs one at least: without it nothing tells a patched copy")
    for number, edit in enumerate(recipe.edits):
        problems.extend(f"edits[{number}].{problem}" for problem in _code_problems(edit))
    if recipe.diverted is not None:
        suffix = recipe.diverted.pristine.removeprefix(recipe.diverted.target)
        if not re.fullmatch(r"\.\w+", suffix) or suffix == ".py":
            problems.append("diverted.pristine: must be target with a suffix that Python does not import")
        if not recipe.diverted.target.endswith("/" + recipe.file):
            problems.append("diverted.target: must end with file")


def _code_problems(edit: Edit) -> Iterator[str]:
    try:
        ast.parse(edit.test.replace("{0}", "x"), mode="eval")
    except SyntaxError as error:
        yield f"test: no Python expression: {error.msg}"
    try:
        body = ast.parse(f"def f(x):\n while x:\n  {edit.then.replace('{0}', 'x')}").body
    except SyntaxError as error:
        yield f"then: no Python statement: {error.msg}"
    else:
        loop = body[0].body[0] if isinstance(body[0], ast.FunctionDef) else None
        if not isinstance(loop, ast.While) or len(loop.body) != 1 or "#" in edit.then:
            yield "then: must be one statement on one line"


class _Table:
    """A JSON object that is read key by key; problems are collected, and a stand-in goes on."""

    def __init__(self, value: object, field: str, problems: list[str]) -> None:
        self.field, self.problems = field, problems
        self.rest: dict[str, Any] = dict(value) if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            problems.append(f"{field or 'the document'}: must be an object")

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{self.field}{key}: {text}")

    def take(self, key: str, kind: type[Any], *, default: Any = None) -> Any:
        value = self.rest.pop(key, default)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self.problem(key, f"must be {kind.__name__}, not {'missing' if value is None else type(value).__name__}")
        return kind()

    def text(self, key: str, pattern: str) -> str:
        """Return a string that is all of this form; an empty one never is."""
        known = len(self.problems)
        value = str(self.take(key, str))
        if not value and len(self.problems) == known:
            self.problem(key, "must not be empty")
        elif value and not re.fullmatch(pattern, value):
            self.problem(key, f"{value!r} is not of the form {pattern}")
        return value

    def texts(self, key: str, pattern: str) -> tuple[str, ...]:
        values = self.take(key, list, default=None if key in {"levels", "gives"} else [])
        for number, value in enumerate(values):
            if not isinstance(value, str) or not re.fullmatch(pattern, value):
                self.problem(f"{key}[{number}]", f"{value!r} is not of the form {pattern}")
        return tuple(str(value) for value in values)

    def optional(self, key: str) -> _Table | None:
        value = self.rest.pop(key, None)
        return None if value is None else _Table(value, f"{self.field}{key}.", self.problems)

    def tables(self, key: str) -> list[_Table]:
        values = self.take(key, list)
        return [_Table(value, f"{self.field}{key}[{n}].", self.problems) for n, value in enumerate(values)]

    def end(self, value: Value) -> Value:
        """Tell of keys that nobody asked for, and return ``value``."""
        for key in self.rest:
            self.problem(key, "unknown key")
        return value
