from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from debtool.audit.image import ADDRESS, EXPORTED, IFUNC, INIT, Image
from debtool.audit.layout import NotAudited
from tests.support.binaries import by_name, compiled, examined, library

SOURCE = r"""
typedef float v8 __attribute__((vector_size(32)));
v8 total;
static volatile int cold;
__attribute__((noinline)) static void helper(int by) { cold += by; }
__attribute__((constructor, target("avx"))) static void first(void) { total = total + total; helper(1); }
__attribute__((weak)) void shared(void) { helper(2); }
__attribute__((visibility("hidden"))) void hidden(void) { helper(3); }
static void taken(void) { helper(4); }
void (*pointer)(void) = taken;
void strong(void) { helper(5); shared(); hidden(); }
void another(void) __attribute__((weak, alias("strong")));
static void *resolve(void) { return taken; }
void chosen(void) __attribute__((ifunc("resolve")));
__asm__(".text\n.type blob, @object\nblob: .byte 0xc5, 0xfd, 0x58, 0xc1\n.size blob, 4\n");
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("image")


@pytest.fixture(scope="module")
def sample(folder: Path) -> Path:
    return library(folder, SOURCE)


def test_functions_have_the_names_units_and_bindings_of_their_symbols(sample: Path) -> None:
    with Image(sample) as image:
        functions = {function.symbol: function for function in image.functions.values()}
        assert image.symbols == "symtab"
        helper, shared, strong, hidden = (functions[name] for name in ("helper", "shared", "strong", "hidden"))
        assert (helper.binding, helper.unit, helper.exported, helper.section) == (
            "local",
            "sample.so.c",
            False,
            ".text",
        )
        assert (shared.binding, shared.exported, shared.unit) == ("weak", True, "")
        assert (strong.binding, strong.exported) == ("global", True)  # its weak name does not hide it
        assert not hidden.exported
        assert "another" not in functions
        assert "cold" not in functions


def test_functions_do_not_overlap_and_end_where_their_symbols_say(sample: Path) -> None:
    listed = subprocess.run(["nm", "-S", "--defined-only", sample], check=True, capture_output=True, text=True).stdout
    sizes = {
        row[3]: (int(row[0], 16), int(row[1], 16))
        for line in listed.splitlines()
        if len(row := line.split()) == 4 and row[2] in "tTwWi"
    }
    with Image(sample) as image:
        starts = by_name(image)
        for name in ("helper", "strong", "shared", "first", "taken"):
            start, size = sizes[name]
            assert starts[name] == start
            assert image.functions[start].end == start + size
        assert all(image.functions[one].end <= other for one, other in pairwise(image.functions))


def test_entries_say_why_a_function_can_be_entered(sample: Path) -> None:
    with Image(sample) as image:
        starts = by_name(image)
        assert image.entries[starts["first"]] == INIT
        assert image.entries[starts["strong"]] == EXPORTED
        assert image.entries[starts["taken"]] & ADDRESS
        assert image.entries[starts["chosen" if "chosen" in starts else "resolve"]] & IFUNC
        assert starts["helper"] not in image.entries
        assert starts["hidden"] not in image.entries


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("-Wl,-z,pack-relative-relocs",), "packed.so"),
        (("-Wl,-z,now",), "now.so"),
        (("-Wl,--hash-style=sysv",), "sysv.so"),
        (("-m32",), "small.so"),
    ],
)
def test_constructors_and_resolvers_are_found_however_the_file_is_linked(
    folder: Path, options: tuple[str, ...], name: str
) -> None:
    with Image(library(folder, SOURCE, *options, name=name)) as image:
        starts = by_name(image)
        assert image.entries[starts["first"]] == INIT
        assert image.entries[starts["taken"]] & ADDRESS
        assert any(kinds & IFUNC for kinds in image.entries.values())


def test_programs_that_are_not_relocated_have_their_pointers_in_data_and_code(folder: Path) -> None:
    source = SOURCE + "void *volatile kept; int main(void) { kept = hidden; strong(); return 0; }"
    path = compiled(folder, source, "-no-pie", "-fno-pie", "-static", name="static")
    with Image(path) as image:
        starts = by_name(image)
        assert image.entries[starts["first"]] & INIT
        assert image.entries[starts["taken"]] & ADDRESS
        graph = examined(image).graph
        assert "address" in graph.entries[starts["hidden"]]


def test_an_object_is_audited_as_if_it_were_linked(folder: Path) -> None:
    for bits in ("-m64", "-m32"):
        path = compiled(folder, SOURCE, "-c", "-ffunction-sections", "-fno-pic", bits, name=f"object{bits}.o")
        with Image(path) as image:
            starts = by_name(image)
            graph = examined(image).graph
            assert image.functions[starts["strong"]].section == ".text.strong"
            assert starts["helper"] in graph.callees(starts["strong"])
            assert starts["strong"] not in graph.callers(starts["strong"])
            assert graph.entries[starts["first"]] == {"init"}
            assert "address" in graph.entries[starts["taken"]]


def test_a_stripped_file_has_the_functions_that_are_unwound(folder: Path, sample: Path) -> None:
    stripped = folder / "stripped.so"
    subprocess.run(["strip", "-o", stripped, sample], check=True)
    with Image(sample) as whole, Image(stripped) as image:
        starts = by_name(whole)
        assert image.symbols == "dynsym"
        assert {starts[name] for name in ("helper", "first", "taken", "strong")} <= set(image.functions)
        assert image.functions[starts["helper"]].symbol == ""
        assert image.functions[starts["helper"]].end == whole.functions[starts["helper"]].end
        assert image.functions[starts["strong"]].symbol in ("strong", "another")
        assert image.entries[starts["first"]] == INIT


def test_a_file_without_section_headers_is_read_as_the_dynamic_linker_does(folder: Path, sample: Path) -> None:
    data = bytearray(sample.read_bytes())
    struct.pack_into("<Q", data, 40, 0)  # e_shoff
    struct.pack_into("<H", data, 60, 0)  # e_shnum
    bare = folder / "bare.so"
    bare.write_bytes(data)
    with Image(sample) as whole, Image(bare) as image:
        starts = by_name(whole)
        assert image.symbols == "dynsym"
        assert image.entries[starts["first"]] == INIT
        assert starts["helper"] in image.functions
        features = {feature.name for use in examined(image).uses for feature in use.features}
        assert features == {"AVX"}


def test_calls_through_the_linkage_table_lead_to_the_file_s_own_functions(sample: Path) -> None:
    with Image(sample) as image:
        starts = by_name(image)
        assert starts["shared"] in image.stubs.values()
        graph = examined(image).graph
        assert graph.callees(starts["strong"]) == {starts[name] for name in ("helper", "shared", "hidden")}
        assert starts["strong"] in graph.callers(starts["shared"])


def test_calls_through_the_offset_table_lead_to_the_file_s_own_functions(folder: Path) -> None:
    with Image(library(folder, SOURCE, "-fno-plt", "-Wa,-mrelax-relocations=no", name="noplt.so")) as image:
        starts = by_name(image)
        assert starts["shared"] in examined(image).graph.callees(starts["strong"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({18: b"\xb7\x00"}, "code for AArch64"),
        ({18: b"\xe0\x00"}, "code for AMD GPUs"),
        ({16: b"\x04\x00"}, "a core dump"),
        ({0: b"PK\x03\x04"}, "not an ELF file"),
    ],
)
def test_what_is_no_code_for_x86_says_so(folder: Path, sample: Path, change: dict[int, bytes], reason: str) -> None:
    data = bytearray(sample.read_bytes())
    for place, value in change.items():
        data[place : place + len(value)] = value
    path = folder / "other"
    path.write_bytes(data)
    with pytest.raises(NotAudited, match=reason):
        Image(path)


def test_a_file_of_debugging_information_has_no_code(folder: Path, sample: Path) -> None:
    debug = folder / "sample.debug"
    subprocess.run(["objcopy", "--only-keep-debug", sample, debug], check=True)
    with pytest.raises(NotAudited, match="no code"):
        Image(debug)


@pytest.fixture(scope="module")
def originals(folder: Path, sample: Path) -> list[bytes]:
    files = [sample, library(folder, SOURCE, "-m32", name="m32.so"), compiled(folder, SOURCE, "-c", name="m.o")]
    stripped = folder / "damaged.so"
    shutil.copy(sample, stripped)
    subprocess.run(["strip", stripped], check=True)
    return [path.read_bytes() for path in (*files, stripped)]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_files_are_audited_or_refused(data: st.DataObject, originals: list[bytes], folder: Path) -> None:
    contents = bytearray(data.draw(st.sampled_from(originals)))
    size = len(contents)
    # Most of a file's structure is in its header, in the program headers behind it, and at its end.
    places = st.one_of(st.integers(0, 600), st.integers(size - 3000, size - 1), st.integers(0, size - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.sampled_from((0, 1, 0x7F, 0x80, 0xFF))), max_size=20)):
        contents[place] = value
    path = folder / "mutated"
    path.write_bytes(contents[: data.draw(st.one_of(st.just(size), st.integers(1, size)))])
    # What is raised besides is a crash.
    with contextlib.suppress(NotAudited), Image(path) as image:
        examined(image)


def test_the_c_library_s_functions_are_those_that_pyelftools_reads() -> None:
    path = Path("/usr/lib/x86_64-linux-gnu/libc.so.6")
    with path.open("rb") as stream, Image(path) as image:
        table: Any = ELFFile(stream).get_section_by_name(".dynsym")
        expected = {
            symbol["st_value"]
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        }
        assert expected <= set(image.functions)
        assert len(expected) > 1000
