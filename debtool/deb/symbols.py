"""The ``symbols`` and ``shlibs`` control files: what a user of a package's shared libraries must depend on.

Sources: deb-symbols(5), deb-src-symbols(5), deb-shlibs(5); where these are silent, dpkg-shlibdeps 1.22 as it behaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from debtool.model.errors import InputError, Issue

BASE = "Base"
"""The version that symbols without one are listed with."""

_SYMBOL = re.compile(r"^(?:\s+|#(?P<gone>DEPRECATED|MISSING): [^#]+#\s*)(?P<specification>\S.*)$")
_TAGGED = re.compile(
    r"""^\((?P<tags>[^()]*)\)(?:(?P<quote>["'])(?P<quoted>.*?)(?P=quote)|(?P<plain>\S+))(?P<rest>.*)$"""
)
_PLAIN = re.compile(r"^(?P<plain>\S+)(?P<rest>.*)$")
_REST = re.compile(r"^\s+(?P<minimum>\S+)(?:\s+(?P<template>\d+))?(?:\s|$)")
_HEADER = re.compile(r"^(\S+)\s+(\S.*)$")
_SHLIBS = re.compile(r"^(?:(?P<type>\S+):\s+)?(?P<name>\S+)\s+(?P<version>\S+)(?:\s+(?P<relations>\S.*))?$")
_SONAMES = (re.compile(r"^(.+)\.so\.(.+)$"), re.compile(r"^(.+)-(\d.*)\.so$"))
# Tags whose symbol is a pattern for many; dpkg-gensymbols leaves none of them in a package.
_PATTERNS = frozenset({"c++", "regex"})


@dataclass(frozen=True, slots=True)
class Symbol:
    """One line of a symbols file.

    Attributes:
        name: The symbol; ``*`` stands for all of its version.
        version: Its version in the library; `BASE` where it has none.
        minimum: The first version of the package that has it as it is now.
        template: Which of the library's dependency templates holds for it.
        gone: Whether it is in the library no more; nothing is found by it then.
    """

    name: str
    version: str
    minimum: str
    template: int = 0
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Library:
    """What a symbols file says of one library.

    Attributes:
        templates: The dependency templates; ``#MINVER#`` in them stands for the bound.
        symbols: Its symbols.
    """

    templates: list[str]
    symbols: list[Symbol] = field(default_factory=list)


def parse_symbols(text: str) -> dict[str, Library]:
    """Return the libraries of a symbols file by soname.

    Raises:
        InputError: A line is none of the format's, or is a pattern that only source packages may have.
    """
    libraries: dict[str, Library] = {}
    current: Library | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SYMBOL.match(line):
            if current is None:
                raise _wrong("a symbol stands before the first library", line, number, "deb-symbols(5)")
            current.symbols.append(_symbol(match["specification"], number, gone=match["gone"] is not None))
        elif not line.strip() or line.startswith(("#", "*")):
            continue  # Comments, and fields for those who compile: Build-Depends-Package ...
        elif line.startswith("|") and current is not None:
            current.templates.append(line[1:].strip())
        elif match := _HEADER.match(line):
            current = libraries.setdefault(match[1], Library([]))
            current.templates[:] = [match[2].strip()]
        else:
            raise _wrong("is no line of a symbols file", line, number, "deb-symbols(5)")
    return libraries


def parse_shlibs(text: str) -> dict[tuple[str, str], str]:
    """Return the relations of a shlibs file, by the library's name and version (`soname_parts`).

    Lines of package type ``deb`` win over those without a type; other types are for the installer's packages.

    Raises:
        InputError: A line is none of the format's.
    """
    found: dict[tuple[str, str], str] = {}
    typed: dict[tuple[str, str], str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _SHLIBS.match(line.strip())
        if match is None:
            raise _wrong("is no line of a shlibs file", line, number, "deb-shlibs(5)")
        if match["type"] in (None, "deb"):
            table = found if match["type"] is None else typed
            table.setdefault((match["name"], match["version"]), match["relations"] or "")
    return found | typed


def soname_parts(soname: str) -> tuple[str, str] | None:
    """Return the name and the version of a library as shlibs files have them, None for a name without a version.

    >>> soname_parts("libz.so.1"), soname_parts("libbfd-2.40-system.so"), soname_parts("plugin.so")
    (('libz', '1'), ('libbfd', '2.40-system'), None)
    """
    for pattern in _SONAMES:
        if match := pattern.match(soname):
            return match[1], match[2]
    return None


def _symbol(specification: str, number: int, *, gone: bool) -> Symbol:
    match = _TAGGED.match(specification) or _PLAIN.match(specification)
    rest = _REST.match(match["rest"]) if match else None
    if match is None or rest is None:
        raise _wrong("is no line of a symbols file", specification, number, "deb-symbols(5)")
    parts = match.groupdict()
    tags = {tag.partition("=")[0] for tag in (parts.get("tags") or "").split("|")}
    if tags & _PATTERNS:
        raise _wrong("is a pattern, which no package has", specification, number, "deb-src-symbols(5)")
    spelled = parts.get("quoted") or parts["plain"]
    name, _, version = ("*", "", spelled) if "symver" in tags else spelled.rpartition("@")
    if not name or not version:
        raise _wrong("has no version", specification, number, "deb-symbols(5)")
    return Symbol(name.removesuffix("@"), version, rest["minimum"], int(rest["template"] or 0), gone)


def _wrong(problem: str, line: str, number: int, rule: str) -> InputError:
    return InputError(
        Issue(problem, line=number, field=line.strip(), rule=rule, fix="tell its package's maintainers of it")
    )
