"""Whether a source tree reads a setting, and where: what is passed to CMake and read by nothing changes nothing."""

from __future__ import annotations

import ast
import os
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue
from debtool.torch.cmake_text import commands

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator
    from pathlib import Path

    from debtool.torch.cmake_text import Argument, Command
    from debtool.torch.settings import Chosen

_ELSEWHERE = frozenset(
    {"android", "benchmarks", "binaries", "build", "debian", "dist", "docs", "ios", "scripts", "test"}
)
"""Folders at the top of PyTorch's tree that are not part of what is configured, or are made by building."""

_THIRD_PARTY = "third_party"

# It prints nearly every setting, and some under the condition of another.
_PRINTS = "cmake/Summary.cmake"

_PYTHON = ("setup.py", "tools/*.py", "tools/setup_helpers/*.py")

_CONDITIONS = frozenset({"if", "elseif", "while"})
_DEPENDENT = "cmake_dependent_option"
_DECLARES = frozenset({"option", _DEPENDENT})
_DEPENDS = 3
"""The argument of ``cmake_dependent_option`` that has the conditions (CMake, CMakeDependentOption)."""
_LIST_READS = frozenset({"LENGTH", "GET", "JOIN", "SUBLIST", "FIND"})


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a source tree.

    Attributes:
        file: The file, relative to the tree.
        line: Its 1-based line.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def reads(tree: Path, names: Iterable[str], *, third_party: Container[str] = ()) -> dict[str, tuple[Place, ...]]:
    """Return for each of ``names`` the places of PyTorch's source ``tree`` that read it; none means that nothing does.

    Looked at are CMake's files and the scripts of setup.py. What is read is a variable's value (``${X}``, ``$ENV{X}``),
    a name in a condition, and a name that is declared (``option``, ``set(… CACHE)``), which takes what is passed;
    in Python, a string that is the name. Comments, ``message()``, the closing summary and assignments are no reading.
    A name may be written as a file composes it: ``${lang}_${type}_FOUND``. Other projects below ``third_party`` have
    settings of the same names: they count for the names in ``third_party`` alone.

    Raises:
        InputError: The tree is not there, or has no CMakeLists.txt and setup.py.
    """
    missing = [file for file in ("CMakeLists.txt", "setup.py") if not (tree / file).is_file()]
    if missing:
        what = f"has no {' and no '.join(missing)}" if tree.is_dir() else "is not there"
        raise InputError(Issue(f"the source tree {what}", file=tree, fix="give the top folder of PyTorch's source"))
    found: dict[str, dict[Place, None]] = {name: {} for name in names}
    foreign = [name for name in found if name in third_party]
    for file, wanted, reader in _files(tree, list(found), foreign):
        text = (tree / file).read_text(encoding="utf-8", errors="replace")
        present = frozenset(name for name in wanted if name in text)
        if present:
            for name, line in reader(text, present):
                found[name].setdefault(Place(file, line))
    return {name: tuple(places) for name, places in found.items()}


def reads_settings(tree: Path, chosen: Iterable[Chosen]) -> dict[str, tuple[Place, ...]]:
    """Return for each setting, by its name, the places of ``tree`` that read it; see `reads`.

    A name that a file composes is looked for in the files that compose it in 2.6.0, for others compose names alike.
    """
    wanted = {one.name: one for one in chosen}
    foreign = {one.name for one in wanted.values() if one.third_party}
    found = reads(tree, {one.spelled or name for name, one in wanted.items()}, third_party=foreign)
    result = {}
    for name, one in wanted.items():
        files = {place.rpartition(":")[0] for place in one.read}
        places = found[one.spelled or name]
        result[name] = tuple(place for place in places if one.spelled is None or place.file in files)
    return result


def reads_cmake(text: str, names: frozenset[str]) -> Iterator[tuple[str, int]]:
    r"""Yield which of ``names`` a CMake file reads, and in which line.

    >>> list(reads_cmake("if(USE_A)\\n message(${USE_B})\\nendif()", frozenset({"USE_A", "USE_B"})))
    [('USE_A', 1)]
    """
    composed = [name for name in names if "$" in name]
    plain = names.difference(composed)
    for command in commands(text):
        if command.name == "message":
            continue
        for index, argument in enumerate(command.arguments):
            read = set(_REFERENCE.findall(argument.text)) | set(_bare(command, index, argument))
            for name in sorted(plain & read) + [name for name in composed if name in argument.text]:
                yield name, argument.line


# ${X}, $ENV{X}, $CACHE{X}; if() has ENV{X} and CACHE{X} too.
_REFERENCE = re.compile(r"(?:\$|ENV|CACHE)\{(\w+)\}")


def _bare(command: Command, index: int, argument: Argument) -> Iterable[str]:
    """Return the names that an argument reads without saying ``${}``."""
    texts = [one.text for one in command.arguments]
    declares = index == 0 and (
        command.name in _DECLARES or (command.name == "set" and "CACHE" in texts and "FORCE" not in texts)
    )
    condition = command.name in _CONDITIONS and not argument.quoted
    loops = command.name == "foreach" and "LISTS" in texts[:index]
    asks = command.name == "list" and index == 1 and texts[0] in _LIST_READS
    if declares or condition or loops or asks:
        return [argument.text]
    return re.findall(r"\w+", argument.text) if command.name == _DEPENDENT and index == _DEPENDS else ()


def reads_python(text: str, names: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Yield which of ``names`` a script of the build has as a whole string, and in which line.

    >>> list(reads_python('jobs = os.getenv("MAX_JOBS")  # not "BLAS"', frozenset({"MAX_JOBS", "BLAS"})))
    [('MAX_JOBS', 1)]
    """
    with warnings.catch_warnings():
        # What this Python thinks of their spelling is not this tool's subject.
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            return
    set_here = {
        id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in set_here]
    for node in sorted(found, key=lambda node: node.lineno):
        if isinstance(node.value, str) and node.value in names:
            yield node.value, node.lineno


def _files(
    tree: Path, names: list[str], foreign: list[str]
) -> Iterator[tuple[str, list[str], Callable[[str, frozenset[str]], Iterator[tuple[str, int]]]]]:
    """Yield the files to look at, the names that count there, and how to look; the tree's own CMake files first."""
    for folder, folders, files in os.walk(tree):
        here = os.path.relpath(folder, tree)
        foreign_here = here.startswith(_THIRD_PARTY)
        if here == ".":
            kept = [one for one in folders if not one.startswith(".") and one not in _ELSEWHERE]
            # What is third party's comes last, if it is asked for.
            own = sorted(one for one in kept if one != _THIRD_PARTY)
            folders[:] = own + [one for one in kept if one == _THIRD_PARTY and foreign]
        else:
            folders.sort()
        for name in sorted(files):
            file = os.path.normpath(os.path.join(here, name))  # noqa: PTH118 -- names of 50,000 files
            if (name == "CMakeLists.txt" or name.endswith(".cmake")) and file != _PRINTS:
                yield file, foreign if foreign_here else names, reads_cmake
    for pattern in _PYTHON:
        for path in sorted(tree.glob(pattern)):
            yield path.relative_to(tree).as_posix(), names, reads_python
