"""The compile commands of a build, and those that let the compiler use instructions which a CPU lacks.

The file is clang's "JSON Compilation Database", which CMake and meson write. It says what the command line allows; what
a source asks for itself (``__attribute__((target("avx2")))``, ``#pragma GCC target``) shows in the object alone.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

WESTMERE = frozenset(
    {
        *("-march=x86-64", "-march=x86-64-v2", "-march=nocona", "-march=core2", "-march=penryn"),
        *("-march=nehalem", "-march=corei7", "-march=westmere"),
        *("-mmmx", "-msse", "-msse2", "-msse3", "-mssse3", "-msse4.1", "-msse4.2"),
        *("-maes", "-mcrc32", "-mcx16", "-mfxsr", "-mpclmul", "-mpopcnt", "-msahf"),
    }
)
"""Flags of what an Intel Westmere has: MMX, SSE to SSE4.2, POPCNT, CX16, SAHF, FXSR and PCLMUL (GCC's manual, "x86
Options", ``westmere``), AES (Intel, Xeon 5600 series), and the CPUs that came before it."""

# What a feature brings with it, and is lost with (gcc/common/config/i386/i386-common.cc, OPTION_MASK_ISA_*_SET and
# _UNSET). Only what has been so in every gcc is here: VAES came to need AVX with gcc 14, and before, -mno-avx kept it.
_NEEDS: dict[str, tuple[str, ...]] = {
    "sse2": ("sse",),
    "sse3": ("sse2",),
    "ssse3": ("sse3",),
    "sse4.1": ("ssse3",),
    "sse4.2": ("sse4.1",),
    "sse4a": ("sse3",),
    "aes": ("sse2",),
    "pclmul": ("sse2",),
    "sha": ("sse2",),
    "gfni": ("sse2",),
    "avx": ("sse4.2",),  # and XSAVE, which -mno-avx leaves on and which no compiler emits unasked
    "avx2": ("avx",),
    "f16c": ("avx",),
    "fma": ("avx",),
    "fma4": ("avx", "sse4a"),
    "xop": ("fma4",),
    "avxvnni": ("avx2",),
    "avxifma": ("avx2",),
    "avxvnniint8": ("avx2",),
    "avxneconvert": ("avx2",),
    "avx512f": ("avx2",),
    "avx512bf16": ("avx512bw",),
    "avx512fp16": ("avx512bw",),
    "avx512vbmi": ("avx512bw",),
    "avx512vp2intersect": ("avx512dq",),
    "amx-int8": ("amx-tile",),
    "amx-bf16": ("amx-tile",),
    "xsaveopt": ("xsave",),
    "xsavec": ("xsave",),
    "xsaves": ("xsave",),
    "widekl": ("kl",),
    "3dnowa": ("3dnow",),
    "3dnow": ("mmx",),
}
# Features that need nothing else. What -m says beside these is no instruction set: -m64, -mtune=, -mcmodel=, -mstv …
_ALONE = frozenset(
    {
        *("mmx", "sse", "abm", "adx", "amx-tile", "apxf", "bmi", "bmi2", "cldemote", "clflushopt", "clwb", "clzero"),
        *("cmpccxadd", "crc32", "cx16", "enqcmd", "fsgsbase", "fxsr", "hle", "hreset", "kl", "lwp", "lzcnt", "movbe"),
        *("movdir64b", "movdiri", "mwaitx", "pconfig", "pku", "popcnt", "prefetchi", "prefetchwt1", "prfchw"),
        *("ptwrite", "raoint", "rdpid", "rdrnd", "rdseed", "rtm", "sahf", "serialize", "sgx", "sha512", "sm3", "sm4"),
        *("sse2avx", "tbm", "tsxldtrk", "uintr", "usermsr", "vaes", "vpclmulqdq", "waitpkg", "wbnoinvd", "xsave"),
    }
)
# Families that grow: avx512vl, avx10.2, amx-fp16 …
_FAMILIES = ("avx*", "amx-*")
_TUNING = ("avx256-split-*",)


@dataclass(frozen=True, slots=True)
class Unit:
    """One file that is compiled once.

    Attributes:
        file: The source.
        output: The object, "" if the file does not say it.
        arguments: The command line, the compiler (and its launcher) included.
        directory: Where it runs.
    """

    file: str
    output: str
    arguments: tuple[str, ...]
    directory: str


def read_commands(path: Path) -> list[Unit]:
    """Return what a compile_commands.json has compiled.

    Raises:
        InputError: The file cannot be read, or is no compilation database.
    """
    try:
        data = json.loads(path.read_bytes())
        return [_unit(entry) for entry in data]
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"is no list of compile commands ({error.__class__.__name__}: {error})"
    issue = Issue(
        f"the file {problem}",
        file=path,
        rule='clang, "JSON Compilation Database Format Specification"',
        fix="configure the build again with CMAKE_EXPORT_COMPILE_COMMANDS=1",
    )
    raise InputError(issue)


def _unit(entry: dict[str, Any]) -> Unit:
    arguments = tuple(entry["arguments"] if "arguments" in entry else shlex.split(entry["command"]))
    if not all(isinstance(argument, str) for argument in arguments):
        raise TypeError("an argument is no string")
    output = entry.get("output") or next((b for a, b in itertools.pairwise(arguments) if a == "-o"), "")
    return Unit(entry["file"], output, arguments, entry["directory"])


def beyond(units: Iterable[Unit], allowed: frozenset[str]) -> list[tuple[Unit, tuple[str, ...]]]:
    """Return the units whose command line allows instructions beyond ``allowed``, and the flags that do.

    ``allowed`` are flags, such as ``WESTMERE``. The rules are gcc's, and clang's are the same:

    - Of several ``-march=`` the last one counts, wherever it stands.
    - ``-mX`` and ``-mno-X`` are stronger than ``-march=``, wherever they stand; of those for one X the last counts.
      ``-mX`` turns on what X needs, and ``-mno-X`` turns off what needs X: ``-mavx2 -mno-avx`` is neither.
    - So ``-march=native -mno-avx`` takes AVX and what needs it from the CPU of the builder, and leaves the rest (BMI,
      LZCNT, MOVBE …): a ``-march=`` that is not allowed counts whatever is turned off beside it.

    A response file (``@FILE``) may hold flags, and counts as one.

    >>> unit = Unit("a.c", "a.o", ("cc", "-march=native", "-mavx2", "-mno-avx", "a.c"), "/")
    >>> [flags for _, flags in beyond([unit], WESTMERE)]
    [('-march=native',)]
    """
    found = ((unit, _beyond(unit.arguments, allowed)) for unit in units)
    return [(unit, flags) for unit, flags in found if flags]


def _beyond(arguments: Sequence[str], allowed: frozenset[str]) -> tuple[str, ...]:
    flags = _flags(arguments)
    cpus: dict[str, str] = {}
    features: dict[str, str] = {}
    for flag in flags:
        option, equals, _ = flag.partition("=")
        if equals and option in {"-march", "-mcpu"}:
            cpus[option] = flag
        elif flag.startswith("-m"):
            name = flag.removeprefix("-mno-").removeprefix("-m")
            features.pop(name, None)  # gcc drops a flag that the same or its opposite follows
            features[name] = flag
    on: dict[str, set[str]] = {}  # by which flags
    for name, flag in features.items():
        if flag.startswith("-mno-"):
            lost = "sse4.1" if name == "sse4" else name
            on = {feature: by for feature, by in on.items() if lost not in _with_needs(feature)}
        elif _is_feature(name):
            for feature in _with_needs("sse4.2" if name == "sse4" else name):
                on.setdefault(feature, set()).add(flag)
    # x86 compilers take -mcpu= for -mtune=, which chooses no instructions; but "native" says that nobody chose.
    wrong = {flag for flag in cpus.values() if flag not in allowed and (flag[:6] == "-march" or flag == "-mcpu=native")}
    wrong = wrong.union(*(by for feature, by in on.items() if f"-m{feature}" not in allowed))
    return tuple(dict.fromkeys(flag for flag in flags if flag in wrong or flag.startswith("@")))


def _flags(arguments: Sequence[str]) -> list[str]:
    """Return the arguments, with what is handed through to clang's frontend and the assembler as flags of their own."""
    flags: list[str] = []
    words = [argument for argument in arguments if argument != "-Xclang"]
    for before, word in zip(("", *words), words, strict=False):
        if before == "-target-feature" and word[:1] in "+-":
            flags.append(f"-m{'' if word[0] == '+' else 'no-'}{word[1:]}")
        elif before == "-target-cpu":
            flags.append(f"-march={word}")
        elif word.startswith("-Wa,"):
            flags += [flag for flag in word.split(",") if flag == "-msse2avx"]
        else:
            flags.append(word)
    return flags


def _is_feature(name: str) -> bool:
    """Return whether ``-m`` and ``name`` let the compiler use more instructions."""
    if any(fnmatch.fnmatchcase(name, tuning) for tuning in _TUNING):
        return False
    families = any(fnmatch.fnmatchcase(name, family) for family in _FAMILIES)
    return families or name in _NEEDS or name in _ALONE or name == "sse4"


def _with_needs(feature: str) -> frozenset[str]:
    """Return a feature and all that it needs; of AVX-512's and AVX10's that are not listed, what all need."""
    unlisted = "avx512f" if feature.startswith("avx512") else "avx2" if feature.startswith("avx10") else ""
    needs = _NEEDS.get(feature, (unlisted,) if unlisted else ())
    return frozenset({feature}).union(*map(_with_needs, needs))
