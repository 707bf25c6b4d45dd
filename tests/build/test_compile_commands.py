"""Compile commands and what they allow, held against what gcc itself says of the same flags."""

from __future__ import annotations

import json
import random
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from debtool.build.compile_commands import WESTMERE, Unit, beyond, read_commands
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def flags_beyond(*flags: str, allowed: frozenset[str] = WESTMERE) -> tuple[str, ...]:
    found = beyond([Unit("a.c", "a.o", ("cc", *flags, "-c", "a.c"), "/")], allowed)
    return found[0][1] if found else ()


def test_both_forms_of_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "compile_commands.json"
    entries = [
        {"directory": "/b", "command": 'ccache c++ -DA=\\"x\\ y\\" "-I/a b" -o a.o -c /s/a.cpp', "file": "/s/a.cpp"},
        {"directory": "/b", "arguments": ["cc", "-mavx2", "a b.c"], "file": "a b.c", "output": "a.o"},
    ]
    path.write_text(json.dumps(entries))
    first, second = read_commands(path)
    assert first == Unit(
        "/s/a.cpp", "a.o", ("ccache", "c++", '-DA="x y"', "-I/a b", "-o", "a.o", "-c", "/s/a.cpp"), "/b"
    )
    assert second == Unit("a b.c", "a.o", ("cc", "-mavx2", "a b.c"), "/b")
    assert beyond([first, second], WESTMERE) == [(second, ("-mavx2",))]


@pytest.mark.parametrize(
    "text", ["", "[", "{}x", '["a"]', "[{}]", '[{"arguments": [1], "file": "a", "directory": ""}]', "7"]
)
def test_what_is_no_database_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "compile_commands.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is no list of compile commands") as caught:
        read_commands(path)
    assert caught.value.issues[0].file == path


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CMAKE_EXPORT_COMPILE_COMMANDS"):
        read_commands(tmp_path / "compile_commands.json")


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "-march=westmere -msse2 -mtune=haswell -mcpu=haswell",
        "-march=native -march=x86-64-v2",
        "-mavx -mno-avx",
        "-mavx2 -mfma -mf16c -mno-avx",
        "-mavx2 -mno-avx2",
        "-mavx512f -mavx512vl -mno-sse4",
        "-msse4 -mpopcnt -mcx16 -maes -mpclmul",
        "-mno-avx",
        "-mavx256-split-unaligned-load -m64 -mcmodel=large -mstackrealign -mno-red-zone -mtls-dialect=gnu2",
        "-Xclang -target-feature -Xclang +sse4.2",
        "-DUSE=-mavx2 -I-mavx2 --offload-arch=gfx1030",
        "-Wa,--noexecstack,-mtune=generic",
    ],
)
def test_flags_that_westmere_bears(flags: str) -> None:
    assert flags_beyond(*flags.split()) == ()


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        # PyTorch's per-file flags, and what the guide's -mno-avx does about them.
        ("-mavx2 -mfma -mf16c", "-mavx2 -mfma -mf16c"),
        ("-mavx -mavx2", "-mavx -mavx2"),
        ("-mno-avx -march=native", "-march=native"),
        ("-march=native -mno-avx", "-march=native"),
        ("-mno-avx -march=native -mavx2 -mfma -mf16c", "-march=native -mavx2 -mfma -mf16c"),
        ("-mno-avx -mavx2", "-mavx2"),
        ("-march=westmere -march=haswell", "-march=haswell"),
        ("-march=x86-64-v3", "-march=x86-64-v3"),
        ("-mcpu=native", "-mcpu=native"),
        ("-mavx512f -mno-avx512f -mavx", "-mavx"),
        ("-mavx512vl -mno-avx512f", "-mavx512vl"),  # turned on AVX2, which stays
        ("-mavx512f -mno-avx2", "-mavx512f"),  # and this AVX
        ("-mfma4 -mno-avx", "-mfma4"),  # and this SSE4A
        ("-mavx10.1-256", "-mavx10.1-256"),
        ("-mamx-fp16", "-mamx-fp16"),
        ("-mbmi -mbmi2 -mlzcnt -mmovbe -msse4a -mxop", "-mbmi -mbmi2 -mlzcnt -mmovbe -msse4a -mxop"),
        ("-mabm", "-mabm"),
        ("-mvaes -mno-avx", "-mvaes"),
        ("-msse2avx", "-msse2avx"),
        ("-Wa,-msse2avx", "-msse2avx"),
        ("-Xclang -target-feature -Xclang +avx2", "-mavx2"),
        ("-Xclang -target-cpu -Xclang haswell", "-march=haswell"),
        ("@flags.rsp", "@flags.rsp"),
    ],
)
def test_flags_that_westmere_does_not_bear(flags: str, found: str) -> None:
    assert flags_beyond(*flags.split()) == tuple(found.split())


def test_another_cpu() -> None:
    sandybridge = WESTMERE | {"-march=sandybridge", "-mavx", "-mxsave", "-mxsaveopt"}
    assert flags_beyond("-march=sandybridge", "-mavx", allowed=sandybridge) == ()
    assert flags_beyond("-march=sandybridge", "-mavx2", allowed=sandybridge) == ("-mavx2",)
    assert flags_beyond("-msse4.1", allowed=frozenset({"-mmmx", "-msse", "-msse2"})) == ("-msse4.1",)


@cache
def gcc_says(*flags: str) -> frozenset[str]:
    """Return the target flags that gcc has enabled after ``flags``."""
    command = ["gcc", "-Q", "--help=target", *flags]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    words = (line.split() for line in told.splitlines())
    return frozenset(line[0] for line in words if len(line) == 2 and line[0][:2] == "-m" and line[1] == "[enabled]")


# What differs from gcc on purpose, or is no instruction: MONITOR is the kernel's; XSAVE comes with AVX and is left.
APART = frozenset({"-mmwait", "-msse4", "-mno-sse4", "-mxsave"})
TUNING = frozenset({"-maccumulate-outgoing-args", "-mavx256-split-unaligned-load", "-mavx256-split-unaligned-store"})
FEATURES = (
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512vl", "avx512bw", "avx512vbmi", "avx512fp16", "avx512bf16"),
    *("avx512vp2intersect", "avxvnni", "fma4", "xop", "sse4a", "bmi", "bmi2", "lzcnt", "abm", "movbe", "adx", "rdrnd"),
    *("sse3", "ssse3", "sse4.1", "sse4.2", "sse4", "popcnt", "aes", "pclmul", "vaes", "gfni", "sha", "xsaveopt", "kl"),
    *("widekl", "amx-tile", "amx-int8", "3dnow", "3dnowa", "tbm", "lwp", "sahf", "cx16", "clwb", "fsgsbase"),
)


def test_gcc_agrees() -> None:
    """A thousand random command lines were compared once; these are some of that kind, always the same."""
    rolls = random.Random(5)  # noqa: S311 -- not for secrets
    allowed_cpus = ("x86-64", "nehalem", "westmere")
    plain = gcc_says("-march=x86-64")
    clean = 0
    for _ in range(60):
        flags = [f"-march={rolls.choice(allowed_cpus)}"] if rolls.random() < 0.3 else []
        for _ in range(rolls.randint(1, 5)):
            often = (*FEATURES, *(("avx", "avx2", "fma") * 8))
            flags.append(f"-m{rolls.choice(('', 'no-', 'no-'))}{rolls.choice(often)}")
        enabled = gcc_says(*flags) - plain - WESTMERE - APART - TUNING
        assert bool(flags_beyond(*flags)) == bool(enabled), (flags, sorted(enabled))
        clean += not enabled
    assert 10 < clean < 50, "both answers are tried"


def test_gcc_has_nothing_more_for_westmere() -> None:
    for cpu in (flag for flag in WESTMERE if flag.startswith("-march=") and flag != "-march=penryn"):  # clang's alone
        assert gcc_says(cpu) - gcc_says("-march=x86-64") - TUNING - APART <= WESTMERE
