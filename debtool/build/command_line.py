"""What a process of a build does, told from its command line: which tool it is, and what it works on."""

from __future__ import annotations

import itertools
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What does the work itself. g++, ccache, hipcc, nvcc, collect2, ninja and sh start these, and wait.
_COMPILERS = frozenset({"cc1", "cc1plus", "cc1obj", "f951", "lto1", "cicc", "ptxas", "rustc"})
_CLANGS = frozenset({"clang", "clang++", "amdclang", "amdclang++", "flang", "flang-new"})
_LINKERS = frozenset({"ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold", "gold", "lld", "mold"})
# A cross tool has the system's name before its own; Debian's clang-19 has its version behind it.
_TOOL = re.compile(r"(?:\w+-linux-gnu-)?(?P<name>.+?)(?:-\d+(?:\.\d+)*)?")
_PYTHON = re.compile(r"python(?:\d+(?:\.\d+)?)?")
_PYTHON_VALUES = frozenset({"-W", "-X"})

_SOURCE = re.compile(
    r".+\.(?:c|cc|cpp|cxx|c\+\+|C|cu|hip|m|mm|S|s|sx|i|ii|f|for|f77|f90|f95|f03|f08|F|F90|rs|ptx|ll|bc)"
)
# Options whose value is a word of its own that may look like a source file, and is not the one that is compiled.
_WITH_VALUE = frozenset(
    {
        *("-o", "-D", "-U", "-I", "-x", "-MF", "-MT", "-MQ", "-MD", "-MMD", "-include", "-imacros", "-isystem"),
        *("-iquote", "-idirafter", "-dumpbase", "-dumpbase-ext", "-dumpdir", "-auxbase", "-auxbase-strip"),
        *("-main-file-name", "-fcuda-include-gpubinary", "-mlink-builtin-bitcode", "-dependency-file"),
        *("--gen_c_file_name", "--stub_file_name", "--include_file_name", "--module_id_file_name"),
    }
)


def work_of(name: str, arguments: Sequence[str]) -> tuple[str, str] | None:
    """Return the tool and what it works on; None of what does no work of its own.

    ``name`` is the program's name for where there are no arguments. Files are told by their names, a linker's work by
    its output, code for a graphics processor with that. clang is told with and without ``-cc1``: with one file to
    compile, it does so in the driver's process (``-fintegrated-cc1``, the default since LLVM 10).

    >>> work_of("cc1plus", ["/usr/libexec/gcc/x86_64-linux-gnu/14/cc1plus", "-quiet", "../a/Sum.cpp", "-o", "-"])
    ('cc1plus', 'Sum.cpp')
    >>> work_of("clang-17", ["clang-17", "-cc1", "-triple", "amdgcn-amd-amdhsa", "-target-cpu", "gfx1030", "Sum.hip"])
    ('clang', 'Sum.hip (gfx1030)')
    >>> work_of("g++", ["g++", "-c", "Sum.cpp"])
    """
    program = PurePosixPath(arguments[0] if arguments else "").name or name
    match = _TOOL.fullmatch(program)
    tool = match["name"] if match else program
    if tool in _COMPILERS:
        return tool, _source(arguments)
    if tool in _CLANGS:
        return tool, _for_gpu(_source(arguments), arguments)
    if tool in _LINKERS:
        return tool, _for_gpu(PurePosixPath(_value(arguments, "-o")).name, arguments)
    if tool == "as":  # which reads a temporary file
        return tool, PurePosixPath(_value(arguments, "-o")).name
    if _PYTHON.fullmatch(tool) and (script := _script(arguments)):
        return "python", script
    return None


def _source(arguments: Sequence[str]) -> str:
    """Return the name of the file that is compiled, "" if no argument looks like one.

    The compilers proper are given the names of other files too: the value of gcc's ``-dumpbase``, which ccache makes a
    temporary name, follows the source. nvcc's cicc reads a temporary file and is told the name of the source.
    """
    for option in ("-main-file-name", "--orig_src_file_name"):
        if name := PurePosixPath(_value(arguments, option)).name:
            return name
    values = {index + 1 for index, argument in enumerate(arguments) if argument in _WITH_VALUE}
    found = [
        argument
        for index, argument in enumerate(arguments)
        if index and index not in values and not argument.startswith("-") and _SOURCE.fullmatch(argument)
    ]
    return PurePosixPath(found[-1]).name if found else ""


def _script(arguments: Sequence[str]) -> str:
    """Return the script or module that a Python runs; "" if it is given its program in another way."""
    rest = iter(arguments[1:])
    for argument in rest:
        if argument == "-m":
            return next(rest, "")
        if argument == "-c":
            return ""
        if argument in _PYTHON_VALUES:
            next(rest, None)
        elif not argument.startswith("-"):
            return PurePosixPath(argument).name
    return ""


def _for_gpu(what: str, arguments: Sequence[str]) -> str:
    """Add the graphics processor that a clang or an lld makes code for; its pass for the host is left as it is.

    That one has the other's names too, as ``-aux-triple`` and ``-aux-target-cpu``.
    """
    target = ""
    if _value(arguments, "-triple").startswith("amdgcn"):
        target = _value(arguments, "-target-cpu")
    elif options := [argument for argument in arguments if argument.startswith("-plugin-opt=mcpu=gfx")]:
        target = options[-1].rpartition("=")[2]
    return f"{what} ({target})".strip() if target else what


def _value(arguments: Sequence[str], option: str) -> str:
    """Return what follows ``option``, "" if it is not there."""
    return next((value for word, value in itertools.pairwise(arguments) if word == option), "")
