"""What CMake decided: its cache, and what its log says of variables that nobody read and of PyTorch's options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from pathlib import Path

# cmake-language(7), "if(<constant>)"; letters may be of either case.
_TRUE = frozenset({"1", "ON", "YES", "TRUE", "Y"})
# What C's strtod() takes whole.
_NUMBER = re.compile(
    r"\s*[+-]?(?:(?P<hex>0x[0-9a-f]+)|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE
)

# KEY:TYPE=VALUE, the key in quotation marks if it has a colon or looks like a comment; the value in apostrophes if it
# ends with a space (CMake's cmCacheManager::OutputKey and OutputValue).
_ENTRY = re.compile(r'(?:"(?P<quoted>[^"]*)"|(?P<name>[^=:"]*)):(?P<type>[^=]*)=(?P<value>.*)')
# Properties of an entry, which stand beside it under its name (cmCacheManager::PersistentProperties).
_PROPERTIES = ("-ADVANCED", "-MODIFIED", "-STRINGS")

_UNUSED = "Manually-specified variables were not used by the project:"
_SUMMARY = re.compile(r"\s*-- \*+ Summary \*+")
_VALUE = re.compile(r"\s*-- {2,}(?P<name>[^\s:](?:[^:]*[^\s:])?)\s*:(?: (?P<value>.*))?")
_STATUS = re.compile(r"\s*--(?: {2,}.*| General:| )?")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A variable of CMake's cache.

    Attributes:
        name: The variable.
        type: ``BOOL``, ``STRING``, ``PATH``, ``FILEPATH``, ``INTERNAL``, ``STATIC``; ``UNINITIALIZED`` if it was given
            on the command line and no project declared it.
        value: Its value.
    """

    name: str
    type: str
    value: str


def read_cache(path: Path) -> dict[str, CacheEntry]:
    """Return the entries of a CMakeCache.txt by name, without the properties that GUIs keep beside them.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        reason = error.strerror or str(error)
        issue = Issue(f"CMake's cache cannot be read: {reason}", file=path, fix="let CMake configure the build first")
        raise InputError(issue) from None
    return parse_cache(text)


def parse_cache(text: str) -> dict[str, CacheEntry]:
    r"""Return the entries of a CMakeCache.txt's text by name; lines that are none are comments and help.

    >>> parse_cache("//help\nA:BOOL=ON\nA-ADVANCED:INTERNAL=1\n")
    {'A': CacheEntry(name='A', type='BOOL', value='ON')}
    """
    entries: dict[str, CacheEntry] = {}
    for line in text.split("\n"):
        if line.startswith(("#", "//")) or (match := _ENTRY.fullmatch(line.strip())) is None:
            continue
        name = match["quoted"] if match["quoted"] is not None else match["name"]
        value = match["value"]
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        if not (match["type"] == "INTERNAL" and name.endswith(_PROPERTIES)):
            entries[name] = CacheEntry(name, match["type"], value)
    return entries


def is_true(value: str) -> bool:
    """Return whether a constant is true to CMake (cmake-language(7), ``if(<constant>)``).

    True are 1, ON, YES, TRUE, Y and every number but zero; whatever else, "a string", is not.

    >>> [is_true(value) for value in ("on", "2", "0.0", "OFF", "MKL-NOTFOUND", "", "Generic")]
    [True, True, False, False, False, False, False]
    """
    if value.upper() in _TRUE:
        return True
    match = _NUMBER.fullmatch(value)
    return match is not None and (float.fromhex(value) if match["hex"] else float(value)) != 0


def unused_variables(log_text: str) -> list[str]:
    r"""Return the variables that were given to CMake and that no project read, as its log names them, in order.

    >>> unused_variables("  Manually-specified variables were not used by the project:\n\n    USE_AVX\n")
    ['USE_AVX']
    """
    found: dict[str, None] = {}
    margin: int | None = None
    for line in log_text.splitlines():
        indentation = len(line) - len(line.lstrip())
        if line.strip() == _UNUSED:
            margin = indentation
        elif margin is not None and line.strip():
            # The list is set in deeper; what follows it is not.
            if indentation > margin:
                found[line.strip()] = None
            else:
                margin = None
    return list(found)


def summary_values(log_text: str) -> dict[str, str]:
    r"""Return what PyTorch's closing summary says (its cmake/Summary.cmake); of several, the last.

    >>> summary_values("-- ******** Summary ********\n--   USE_FBGEMM            : OFF\n--     USE_MPI : 0\n")
    {'USE_FBGEMM': 'OFF', 'USE_MPI': '0'}
    """
    found: dict[str, str] = {}
    inside = False
    for line in log_text.splitlines():
        if _SUMMARY.fullmatch(line):
            found, inside = {}, True
        elif inside and (match := _VALUE.fullmatch(line)) is not None:
            found[match["name"]] = (match["value"] or "").strip()
        else:
            inside = inside and _STATUS.fullmatch(line) is not None
    return found
