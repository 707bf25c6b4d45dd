"""The text of a module: functions are located by the syntax tree, guards spliced in as lines, all other bytes stay."""

# ruff: noqa: PLC0415
# What only some runs need is loaded there.
from __future__ import annotations

import ast
import codecs
import re
from functools import lru_cache

from .errors import PatchError
from .values import dataclass

TYPE_CHECKING = False  # typing is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .recipe import Edit, Recipe

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Insertion:
    """A guard to insert before line ``index`` (counted from 0) of the file."""

    index: int
    indent: bytes
    newline: bytes
    test: str
    then: str


@lru_cache(maxsize=2)
def parse(source: bytes) -> ast.Module:
    """Parse a module's bytes, encoding cookie and byte order mark included (PEP 263). Raises PatchError.

    The text as it is and as it will be are each asked for several times; nobody changes a tree.
    """
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PatchError(f"not valid Python: {error}") from error


def patched_text(source: bytes, recipe: Recipe, level: str) -> bytes:
    """Return the module with every guard of ``level``, all or nothing. Raises PatchError."""
    result = _splice(source, missing(source, recipe, level), recipe)
    if result != source and missing(result, recipe, level):
        raise PatchError("the guards that were inserted are not found again")
    return result


def missing(source: bytes, recipe: Recipe, level: str) -> list[Insertion]:
    """Return the guards of ``level`` that the file has not got, whoever wrote those that it has.

    Raises PatchError where a function or statement that needs one is not there.
    """
    tree = parse(source)
    lines = source.splitlines(keepends=True)  # bytes split at \n, \r and \r\n only, as Python's tokenizer does
    wanted = []
    for edit in recipe.edits_of(level):
        function, method = function_of(tree, edit.function)
        if edit.where == "start":
            several = sum(other.function == edit.function and other.where == "start" for other in recipe.edits)
            wanted.append(_at_start(lines, function, edit, several, skip_first=method))
        else:
            wanted.append(_after(lines, function, edit, encoding_of(source)))
    return [insertion for insertion in wanted if insertion is not None]


def pristine_text(source: bytes, recipe: Recipe) -> bytes | None:
    """Return the text before this program's guards went in; None where that is not certain.

    The guards are found by the marker. It is certain when patching the result gives the very same bytes again.
    """
    mark = re.compile(rb"[ \t\f]*if .*  # " + re.escape(recipe.marker.encode()) + rb": [ -~]*[\r\n]*")
    rest, lines = [], iter(source.splitlines(keepends=True))
    for line in lines:
        if mark.fullmatch(line):
            next(lines, None)
        else:
            rest.append(line)
    pristine = b"".join(rest)
    if pristine == source:
        return None
    for level in recipe.levels:
        try:
            if patched_text(pristine, recipe, level) == source:
                return pristine
        except PatchError:
            continue
    return None


def encoding_of(source: bytes) -> str:
    """Return the name of a module's encoding. Raises PatchError."""
    if b"coding" not in source[:512] and not source.startswith(codecs.BOM_UTF8):
        return "utf-8"  # without tokenize, which would be half of this program's start
    import io
    import tokenize

    head = b"\n".join(source.splitlines()[:2])  # a line may end with \r alone
    try:
        return tokenize.detect_encoding(io.BytesIO(head).readline)[0]
    except (SyntaxError, UnicodeDecodeError) as error:
        raise PatchError(f"not valid Python: {error}") from error


def first_line(node: ast.stmt) -> int:
    """Return the line that a statement begins on, its decorators included; counted from 1."""
    if isinstance(node, (*Function, ast.ClassDef)):
        return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.lineno


def function_of(tree: ast.Module, dotted: str) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]:
    """Return the function of this dotted name, and whether it is a method. Raises PatchError unless there is one.

    The first part stands at the top level, each further one anywhere inside the one before it.
    """
    inside: ast.AST = tree
    outer: ast.AST = tree
    for part in dotted.split("."):
        nodes = tree.body if inside is tree else [node for node in ast.walk(inside) if node is not inside]
        found = [node for node in nodes if isinstance(node, (*Function, ast.ClassDef)) and node.name == part]
        where = "" if inside is tree else f" in {getattr(inside, 'name', '')}"
        if not found:
            raise PatchError(f"there is no function {part}{where}")
        if len(found) > 1:
            raise PatchError(f"{part} is defined {len(found)} times{where}")
        outer, inside = inside, found[0]
    if not isinstance(inside, Function):
        raise PatchError(f"{dotted} is no function")
    static = any(isinstance(node, ast.Name) and node.id == "staticmethod" for node in inside.decorator_list)
    return inside, isinstance(outer, ast.ClassDef) and not static


def _at_start(
    lines: Sequence[bytes],
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    edit: Edit,
    several: int,
    *,
    skip_first: bool,
) -> Insertion | None:
    parameters = [*function.args.posonlyargs, *function.args.args][1 if skip_first else 0 :]
    if not parameters:
        raise PatchError(f"{function.name} takes no argument")
    name = parameters[0].arg
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        raise PatchError(f"{function.name} has no body")
    # A guard written by hand may follow the test for the empty value; guards of ours may precede one another.
    if any(_is_guard(statement, edit, name) for statement in body[: 1 + several]):
        return None
    index = first_line(body[0]) - 1
    return _insertion(lines, index, (index, body[0].col_offset), edit, name)


def _after(
    lines: Sequence[bytes], function: ast.FunctionDef | ast.AsyncFunctionDef, edit: Edit, encoding: str
) -> Insertion | None:
    name = edit.assigns or ""
    places = [place for place in _pairs(function) if _assigns(place[0], name, edit.contains or "")]
    if len(places) != 1:
        what = f"{name} from {edit.contains!r}"
        raise PatchError(f"{function.name} assigns {what} in {len(places)} places instead of one")
    statement, following = places[0]
    if following is not None and _is_guard(following, edit, name):
        return None
    end = statement.end_lineno or statement.lineno
    # ast counts columns in bytes of UTF-8, whatever the file's encoding is.
    text = lines[end - 1].decode(encoding).lstrip("\ufeff").encode()
    rest = text[statement.end_col_offset or 0 :].strip()
    if rest and not rest.startswith(b"#"):
        raise PatchError(f"line {end}: another statement follows on the same line")
    return _insertion(lines, end, (statement.lineno - 1, statement.col_offset), edit, name)


def _pairs(function: ast.AST) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    """Yield every statement inside a function with the one that follows it in its block."""
    for node in ast.walk(function):
        for _, block in ast.iter_fields(node):
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield from zip(block, [*block[1:], None], strict=True)


def _assigns(statement: ast.stmt, name: str, constant: str) -> bool:
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return False
    return (
        statement.value is not None
        and any(isinstance(target, ast.Name) and target.id == name for target in targets)
        and any(isinstance(node, ast.Constant) and node.value == constant for node in ast.walk(statement.value))
    )


def _is_guard(statement: ast.stmt, edit: Edit, name: str) -> bool:
    """Is it an ``if`` that asks the same function about ``name``, or where none is asked, the same question?"""
    if not isinstance(statement, ast.If):
        return False
    question = ast.parse(edit.test.replace("{0}", name), mode="eval").body
    asked = _asked(question, name)
    if asked:
        return bool(asked & _asked(statement.test, name))
    same = ast.dump(question.operand if isinstance(question, ast.UnaryOp) else question)
    return any(ast.dump(node) == same for node in ast.walk(statement.test))


def _asked(test: ast.expr, name: str) -> set[str]:
    """Return the functions that are called with ``name`` as their first argument."""
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call) and node.args]
    return {ast.dump(c.func) for c in calls if isinstance(c.args[0], ast.Name) and c.args[0].id == name}


def _insertion(lines: Sequence[bytes], index: int, like: tuple[int, int], edit: Edit, name: str) -> Insertion:
    """Return the insertion before line ``index``, indented and ended as the statement at ``like``: line, column.

    Raises PatchError where that statement does not start its line.
    """
    row, column = like
    line = lines[row]
    indent = line[: len(line) - len(line.lstrip(b" \t\f"))]
    if not indent or len(indent) != column:
        raise PatchError(f"line {row + 1}: the statement does not start its line")
    ends = [part[len(part.rstrip(b"\r\n")) :] for part in (line, lines[max(row - 1, 0)])]
    newline = next((end for end in ends if end), b"\n")
    return Insertion(index, indent, newline, edit.test.replace("{0}", name), edit.then.replace("{0}", name))


def _splice(source: bytes, insertions: list[Insertion], recipe: Recipe) -> bytes:
    """Insert the guards as lines of their own; every byte that was there stays."""
    lines = source.splitlines(keepends=True)
    # From the end, and of several at one place the last one first, so that they stand in the recipe's order.
    for number in sorted(range(len(insertions)), key=lambda number: (insertions[number].index, number), reverse=True):
        one = insertions[number]
        inner = one.indent + (b"\t" if one.indent.endswith(b"\t") else b"    ")
        test = f"if {one.test}:  # {recipe.marker}: {recipe.comment}"
        added = [one.indent + test.encode() + one.newline, inner + one.then.encode() + one.newline]
        if one.index == len(lines) and not lines[-1].endswith((b"\n", b"\r")):
            added.insert(0, one.newline)
        lines[one.index : one.index] = added
    return b"".join(lines)
