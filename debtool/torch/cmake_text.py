"""CMake files as commands with their arguments: as much of the language as is needed to see what a file reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# cmake-language(7), "Syntax": comments, bracket and quoted arguments, parentheses, and all else without white space.
# A lone quote, which only a broken file has, is passed over.
_TOKEN = re.compile(
    r"""
      (?P<comment>  \#\[(?P<c>=*)\[ .*? \](?P=c)\] | \#[^\n]* )
    | (?P<bracket>  \[(?P<b>=*)\[ .*? \](?P=b)\] )
    | (?P<quoted>   "(?:\\.|[^"\\])*" )
    | (?P<open>     \( )
    | (?P<close>    \) )
    | (?P<bare>     (?:\\.|[^\s()"\#])+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a command.

    Attributes:
        text: What is written, without its quotes.
        line: The 1-based line on which it begins.
        quoted: Whether it stands in quotes or brackets.
    """

    text: str
    line: int
    quoted: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command, its name in lower case: CMake does not tell cases apart there."""

    name: str
    arguments: tuple[Argument, ...]


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a CMake file in order; what no command is part of is passed over.

    >>> [one] = commands('IF(USE_CUDA AND "${X}" STREQUAL "a b") # not (this)')
    >>> one.name, [argument.text for argument in one.arguments]
    ('if', ['USE_CUDA', 'AND', '${X}', 'STREQUAL', 'a b'])
    """
    name = ""
    depth = 0
    arguments: list[Argument] = []
    line, seen = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", seen, token.start())
        seen = token.start()
        match token.lastgroup:
            case "open":
                depth += 1
            case "close":
                depth = max(depth - 1, 0)
                if depth == 0 and name:
                    yield Command(name, tuple(arguments))
                    name, arguments = "", []
            case "bare" | "quoted" | "bracket" if depth == 0:
                name = token[0].lower() if _NAME.fullmatch(token[0]) else ""
            case "bare":
                arguments.append(Argument(token[0], line, quoted=False))
            case "quoted":
                arguments.append(Argument(token[0][1:-1], line, quoted=True))
            case "bracket":
                skip = len(token["b"]) + 2
                arguments.append(Argument(token[0][skip:-skip], line, quoted=True))
