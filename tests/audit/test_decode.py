from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from debtool.audit.baselines import find_baseline
from debtool.audit.image import Image
from debtool.audit.instructions import BEYOND, table_of
from tests.support.binaries import WESTMERE, by_name, compiled, examined, library

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.audit.decode import Use

KERNELS = r"""
#include <immintrin.h>
#define FOR(isa) __attribute__((target(isa), noinline))
FOR("avx2,fma") void add(float *a, float *b, int n) { for (int i = 0; i < n; i++) a[i] += b[i] * 3; }
FOR("avx512f") void wide(double *a, int n) { for (int i = 0; i < n; i++) a[i] = a[i] * a[i] + 1; }
FOR("f16c") void half(float *a, short *b) { _mm_storel_epi64((void *)b, _mm_cvtps_ph(_mm_loadu_ps(a), 0)); }
FOR("lzcnt") int lead(unsigned x) { return __builtin_clz(x); }
FOR("bmi") int trail(unsigned x) { return __builtin_ctz(x); }
FOR("bmi2") unsigned shift(unsigned x, int by) { return x << by; }
FOR("movbe") unsigned swap(unsigned *x) { return __builtin_bswap32(*x); }
int plain(int a) { return a * 3 + 1; }
FOR("sse4.2,popcnt") int old(unsigned x) { return __builtin_popcount(x) + _mm_crc32_u32(1, x); }
unsigned ask(void) {
    unsigned a = 0, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return d;
}
"""

VEX = re.compile(r"\s(v[a-z0-9]+|lzcnt|shlx|sarx|shrx|andn|blsr|bzhi|movbe|k[a-z]+[bwdq])\s")


def uses_of(path: Path) -> dict[str, Use]:
    with Image(path) as image:
        return {use.function.symbol: use for use in examined(image).uses}


def disassembled(path: Path) -> dict[str, int]:
    """How many instructions objdump finds in each function that no Westmere executes."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True
    ).stdout
    counts: dict[str, int] = {}
    symbol = ""
    for line in text.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            symbol = head[1]
        elif VEX.search(f"{line} "):
            counts[symbol] = counts.get(symbol, 0) + 1
    return counts


@pytest.mark.parametrize("options", [("-O1",), ("-O3", "-funroll-loops"), ("-O3", "-m32", "-msse2")])
def test_counts_are_those_of_objdump(tmp_path: Path, options: tuple[str, ...]) -> None:
    source = KERNELS
    if "-m32" in options:  # its headers are another package's
        source = source.replace("#include <immintrin.h>", "").replace("_mm_crc32_u32(1, x)", "0")
        source = re.sub(r'FOR\("f16c"\).*\n', "", source)
    path = library(tmp_path, source, *options)
    ours = {symbol: sum(one.count for one in use.features) for symbol, use in uses_of(path).items() if use.features}
    assert ours == disassembled(path)
    assert {"add", "wide", "lead", "shift", "swap"} <= set(ours)
    assert {"plain", "old", "trail"}.isdisjoint(ours)


def test_features_are_named_shown_and_found_where_they_are(tmp_path: Path) -> None:
    path = library(tmp_path, KERNELS, "-O2")
    uses = uses_of(path)
    assert "F16C" in {one.name for one in uses["half"].features}
    assert {one.name for one in uses["swap"].features} == {"MOVBE"}
    (lead,) = uses["lead"].features
    assert (lead.name, lead.count) == ("LZCNT", 1)
    assert uses["lead"].silent == {"LZCNT"}
    assert not uses["add"].silent
    with Image(path) as image:
        section = image.section_of(lead.address)
        assert section is not None
        place = section.offset + lead.address - section.address
        assert path.read_bytes()[place:].startswith(bytes.fromhex(lead.code))
    assert lead.text.startswith("lzcnt ")


def test_who_asks_the_cpu_is_told_even_if_it_uses_nothing(tmp_path: Path) -> None:
    uses = uses_of(library(tmp_path, KERNELS))
    assert uses["ask"].asks_cpu
    assert not uses["ask"].features
    assert not uses["add"].asks_cpu


@pytest.mark.parametrize(
    ("baseline", "beyond"),
    [
        ("x86-64-v1", {"add", "wide", "half", "lead", "shift", "swap", "old"}),
        ("westmere", {"add", "wide", "half", "lead", "shift", "swap"}),
        ("sandybridge", {"add", "wide", "half", "lead", "shift", "swap"}),
        ("x86-64-v3", {"wide"}),
        ("x86-64-v4", set()),
    ],
)
def test_each_baseline_has_its_own_findings(tmp_path: Path, baseline: str, beyond: set[str]) -> None:
    with Image(library(tmp_path, KERNELS, "-O3", "-mprefer-vector-width=512")) as image:
        uses = examined(image, find_baseline(baseline)).uses
    assert {use.function.symbol for use in uses if use.features} == beyond


def test_every_instruction_of_a_newer_cpu_is_beyond_an_older_one() -> None:
    older, newer = table_of(WESTMERE), table_of(find_baseline("x86-64-v4"))
    assert sum(kind >= BEYOND for kind in older.kinds) > sum(kind >= BEYOND for kind in newer.kinds) > 100


def data_in_text(code: str) -> str:
    return KERNELS + f'__asm__(".text\\n.p2align 4\\n{code}\\n");'


@pytest.mark.parametrize(
    ("code", "name"),
    [
        # Its symbol says that it is data.
        (r".type table, @object\ntable: .byte 0xc5, 0xfd, 0x58, 0xc1, 0xc3\n.size table, 5", "table"),
        # Nothing refers to it, and not all of it can be instructions.
        (r".byte 0xc5, 0xfd, 0x58, 0xc1, 0x06, 0x06, 0x06, 0x06, 0xc3", ""),
        # Its address is computed, and its beginning is no instruction.
        (
            r"1: .byte 0xc5, 0xfd, 0x58, 0xc1, 0x06, 0x06, 0xc3\n.globl user\nuser: lea 1b(%rip), %rax\nret",
            "",
        ),
    ],
)
def test_data_between_functions_is_told_apart(tmp_path: Path, code: str, name: str) -> None:
    with Image(library(tmp_path, data_in_text(code))) as image:
        found = [use for use in examined(image).uses if use.data]
    assert [use.function.symbol for use in found] == [name] * len(found)
    assert found
    assert all(one.name == "AVX" for use in found for one in use.features)


def test_data_inside_a_function_is_told_apart_from_its_code(tmp_path: Path) -> None:
    code = (
        r".globl mixed\n.type mixed, @function\nmixed: vaddps %ymm0, %ymm1, %ymm2\njmp 2f\n"
        r".byte 0x06, 0x06, 0xc4, 0xe2, 0x7d, 0x18, 0x07\n2: vzeroupper\nret\n.size mixed, . - mixed"
    )
    with Image(library(tmp_path, data_in_text(code))) as image:
        mixed = [use for use in examined(image).uses if use.function.symbol == "mixed"]
    assert [(use.data, [(one.name, one.count) for one in use.features]) for use in mixed] == [
        (False, [("AVX", 2)]),
        (True, [("AVX", 1)]),
    ]


def test_in_doubt_it_is_code(tmp_path: Path) -> None:
    # A jump through a register may lead behind the bytes that are no instruction.
    code = (
        r".globl doubt\n.type doubt, @function\ndoubt: jmp *%rax\n.byte 0x06, 0x06\n"
        r"vaddps %ymm0, %ymm1, %ymm2\nret\n.size doubt, . - doubt"
    )
    with Image(library(tmp_path, data_in_text(code))) as image:
        (doubt,) = [use for use in examined(image).uses if use.function.symbol == "doubt"]
    assert not doubt.data


def test_code_without_any_name_is_divided_at_what_is_called(tmp_path: Path) -> None:
    code = (
        r".globl outer\n.type outer, @function\nouter: call one\ncall two\nret\n.size outer, . - outer\n"
        r"one: vaddps %ymm0, %ymm1, %ymm2\ncall three\nret\n"
        r"two: mov %eax, %ebx\nret\nthree: lzcnt %eax, %eax\nret"
    )
    path = library(tmp_path, data_in_text(code))
    subprocess.run(["strip", path], check=True)
    with Image(path) as image:
        outer = by_name(image)["outer"]
        found = examined(image)
        one, two = sorted(found.graph.callees(outer))
        (three,) = found.graph.callees(one)
        features = {use.function.start: {part.name for part in use.features} for use in found.uses}
    assert features[one] == {"AVX"}
    assert two not in features
    assert features[three] == {"LZCNT"}
    assert found.graph.reached_from({"exported"}, three) == (outer, one, three)


def test_falling_into_the_next_function_is_a_way_into_it(tmp_path: Path) -> None:
    code = (
        r".globl upper\n.type upper, @function\nupper: mov %eax, %ebx\n.size upper, . - upper\n"
        r".type lower, @function\nlower: vzeroupper\nret\n.size lower, . - lower\n"
        r".p2align 4\n.type apart, @function\napart: ret\n.size apart, . - apart"
    )
    with Image(library(tmp_path, data_in_text(code))) as image:
        starts = by_name(image)
        graph = examined(image).graph
    assert graph.callers(starts["lower"]) == {starts["upper"]}
    assert graph.callers(starts["apart"]) == set()


def test_a_static_program_s_counts_are_those_of_objdump(tmp_path: Path) -> None:
    path = compiled(tmp_path, KERNELS + "int main(void) { return plain(1); }", "-O2", "-static", name="static")
    ours = sum(one.count for use in uses_of_all(path) for one in use.features if one.name.startswith(("AVX", "FMA")))
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True
    ).stdout
    mask = r"k(?:mov|ortest|test|or|unpck|and|xor|add|shift)\w*"
    theirs = len(re.findall(rf"\t(?!ver[rw]\b)(?:v[a-z]\w+|{mask})(?=\s|$)", text, re.MULTILINE))
    assert theirs > 1000
    assert abs(ours - theirs) <= theirs // 100


def uses_of_all(path: Path) -> list[Use]:
    with Image(path) as image:
        return examined(image).uses


def test_what_is_called_is_code_whatever_its_symbol_says(tmp_path: Path) -> None:
    code = (
        r".globl caller\n.type caller, @function\ncaller: call 1f\nret\n.size caller, . - caller\n"
        r".type mistaken, @object\n1: mistaken: vzeroupper\nret\n.size mistaken, . - mistaken"
    )
    with Image(library(tmp_path, data_in_text(code))) as image:
        (mistaken,) = [use for use in examined(image).uses if use.function.symbol == "mistaken"]
    assert not mistaken.data
