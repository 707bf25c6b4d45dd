from __future__ import annotations

import io
import json
import subprocess
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from debtool.elf.needs import DlopenNote, ElfNeeds, elf_files, read_needs
from debtool.elf.stream import RestartableStream

SAMPLES = [
    Path(sys.executable).resolve(),
    *sorted(Path(sysconfig.get_path("platstdlib"), "lib-dynload").glob("*.so"))[:6],
    *sorted(Path("/usr/lib/x86_64-linux-gnu").glob("libstdc++.so.6*"))[:1],
]


class Forwards:
    """Counts what is read, and cannot seek."""

    total = 0

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        Forwards.total += len(data)
        return data


def needs_of(data: bytes) -> ElfNeeds | None:
    return read_needs(lambda: Forwards(data), len(data))


def by_sections(data: bytes) -> tuple[list[str], str, dict[str, tuple[str, ...]]]:
    """What pyelftools reads by way of the section headers, which the subject does not use."""
    elf: Any = ELFFile(io.BytesIO(data))
    needed, soname = [], ""
    versions: dict[str, Any] = defaultdict(set)
    for section in elf.iter_sections():
        if section["sh_type"] == "SHT_DYNAMIC":
            needed = [tag.needed for tag in section.iter_tags("DT_NEEDED")]
            soname = next((tag.soname for tag in section.iter_tags("DT_SONAME")), "")
        if section["sh_type"] == "SHT_GNU_verneed":
            for need, entries in section.iter_versions():
                versions[need.name].update(entry.name for entry in entries)
    return needed, soname, {library: tuple(sorted(found)) for library, found in sorted(versions.items())}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_program_headers_say_what_the_sections_say(path: Path) -> None:
    data = path.read_bytes()
    Forwards.total = 0
    found = needs_of(data)
    assert found is not None
    assert (list(found.needed), found.soname, dict(found.versions)) == by_sections(data)
    assert (found.machine, found.bits) == ("EM_X86_64", 64)
    assert Forwards.total < 3.5 * len(data) + 2**20, "a file is not inflated over and over"


def test_run_paths_are_split(tmp_path: Path) -> None:
    library = tmp_path / "libx.so"
    command: list[str | Path] = [
        "cc",
        "-shared",
        "-o",
        library,
        "-x",
        "c",
        "/dev/null",
        "-Wl,-rpath,$ORIGIN/lib:/opt/x",
        "-Wl,-soname,libx.so.3",
    ]
    subprocess.run(command, check=True)
    found = needs_of(library.read_bytes())
    assert found is not None
    assert (found.runpath, found.soname) == (("$ORIGIN/lib", "/opt/x"), "libx.so.3")


def compiled(folder: Path, source: str, *options: str) -> Path:
    """What gcc makes of ``source``; a shared library unless ``options`` say otherwise."""
    folder.mkdir(exist_ok=True)
    (folder / "x.c").write_text(source)
    subprocess.run(["gcc", "-fPIC", "-shared", "-o", folder / "x.so", folder / "x.c", *options], check=True)
    return folder / "x.so"


def by_readelf(path: Path) -> set[str]:
    """The undefined symbols that readelf lists, with their versions."""
    lines = subprocess.run(["readelf", "--dyn-syms", "-W", path], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in lines.splitlines() if " UND " in line]
    return {row[7] for row in rows if len(row) > 7}


USES = """
#include <stdio.h>
extern int from_elsewhere(void), twice(int);
extern int maybe(void) __attribute__((weak));
extern int number;
int here(void) { return maybe ? maybe() : puts("x") + twice(from_elsewhere()) + number; }
"""


@pytest.mark.parametrize(
    "options",
    [
        ("-Wl,--hash-style=gnu",),
        ("-Wl,--hash-style=sysv",),
        ("-Wl,--hash-style=both", "-s"),
        ("-Wl,--hash-style=gnu", "-fvisibility=hidden"),
        ("-Wl,--hash-style=gnu", "-nostdlib", "-fvisibility=hidden"),
    ],
    ids=" ".join,
)
def test_the_undefined_symbols_are_those_that_readelf_lists(tmp_path: Path, options: tuple[str, ...]) -> None:
    library = compiled(tmp_path, USES, *options)
    found = needs_of(library.read_bytes())
    assert found is not None
    assert {"from_elsewhere", "twice", "maybe", "number"} <= set(found.symbols)
    assert found.symbols == tuple(sorted(by_readelf(library)))
    [puts] = [name for name in found.symbols if name.partition("@")[0] == "puts"]
    assert ("@GLIBC_" in puts) == ("-nostdlib" not in options), "glibc's have a version where it was linked against"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_symbols_of_real_files_are_those_that_readelf_lists(path: Path) -> None:
    found = needs_of(path.read_bytes())
    assert found is not None
    assert found.symbols == tuple(sorted(by_readelf(path)))


def test_files_keep_symbols_if_they_need_a_library_from_outside(tmp_path: Path) -> None:
    compiled(tmp_path / "one", "int f(void) { return 1; }", "-Wl,-soname,libone.so.1")
    files = {
        "alone.so": compiled(tmp_path / "alone", USES).read_bytes(),
        "libone.so.1": (tmp_path / "one/x.so").read_bytes(),
        "user.so": compiled(tmp_path / "user", USES, "-Wl,--no-as-needed", str(tmp_path / "one/x.so")).read_bytes(),
    }

    def kept(names: list[str]) -> dict[str, bool]:
        found = elf_files({name: len(files[name]) for name in names}, lambda path: io.BytesIO(files[path]))
        return {path: "twice" in needs.symbols for path, needs in found.items()}

    assert kept(["alone.so", "user.so"]) == {"alone.so": False, "user.so": True}
    assert kept(list(files)) == {"alone.so": False, "libone.so.1": False, "user.so": False}
    files["renamed.so"] = files.pop("libone.so.1")
    assert not kept(list(files))["user.so"], "a soname inside is inside, whatever the file's name"


def noted(folder: Path, *texts: str, owner: str = "FDO", kind: int = 0x407C0C0A, align: int = 4) -> tuple[Any, ...]:
    """The dlopen notes that are read from a library which has each of ``texts`` as a note's description."""
    notes = "".join(
        f"""
        .balign {align}
        .long {len(owner) + 1}, {len(text.encode()) + 1}, {kind}
        .asciz "{owner}"
        .balign 4
        .asciz {json.dumps(text, ensure_ascii=False)}
        .balign 4"""
        for text in texts
    )
    folder.mkdir(exist_ok=True)
    (folder / "note.s").write_text(f'.section .note.dlopen,"a",@note{notes}\n')
    found = needs_of(compiled(folder, "int x;", str(folder / "note.s")).read_bytes())
    assert found is not None
    return found.dlopen


def test_dlopen_notes_are_read(tmp_path: Path) -> None:
    first = [{"soname": ["libx.so.2", "libx.so.1"], "feature": "x", "description": "für x", "priority": "required"}]
    second = [{"soname": ["liby.so"]}, {"soname": ["libz.so"], "priority": "suggested", "extra": 3}]
    assert noted(tmp_path, json.dumps(first, ensure_ascii=False), json.dumps(second)) == (
        DlopenNote(("libx.so.2", "libx.so.1"), "required", "x"),
        DlopenNote(("liby.so",), "recommended"),
        DlopenNote(("libz.so",), "suggested"),
    )
    assert noted(tmp_path, json.dumps(second), kind=1) == ()
    assert noted(tmp_path, json.dumps(second), owner="FDX") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "7",
        "[" * 3000,
        '{"soname": ["a"]}',
        '[{"feature": "a"}]',
        '[{"soname": []}]',
        '[{"soname": "a"}]',
        '[{"soname": [1]}]',
        '[{"soname": ["a"], "priority": "urgent"}]',
        '[{"soname": ["a"], "feature": 1}]',
        '[{"soname": ["a"]}, 5]',
    ],
)
def test_a_malformed_dlopen_note_is_no_note(tmp_path: Path, text: str) -> None:
    assert noted(tmp_path, text, '[{"soname": ["good"]}]') == (DlopenNote(("good",), "recommended"),)


@pytest.mark.parametrize("data", [b"", b"\x7fEL", b"\x7fELF", b"\x7fELF" + bytes(99), b"!<arch>\n" + bytes(99)])
def test_what_is_no_loadable_file_has_no_needs(data: bytes) -> None:
    assert needs_of(data) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_has_some_needs_or_none(data: st.DataObject) -> None:
    raw = bytearray(SAMPLES[1].read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, min(len(raw), 2000) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    found = needs_of(bytes(raw[:cut]))
    assert found is None or all(isinstance(name, str) for name in found.needed)


def test_only_elf_files_are_found() -> None:
    files = {"a.py": b"import x\n", "b.so": SAMPLES[1].read_bytes(), "empty": b""}
    found = elf_files({path: len(data) for path, data in files.items()}, lambda path: io.BytesIO(files[path]))
    assert list(found) == ["b.so"]


@given(st.binary(min_size=1, max_size=300), st.lists(st.tuples(st.integers(0, 320), st.integers(-1, 320)), max_size=12))
def test_a_restartable_stream_reads_what_a_file_reads(data: bytes, reads: list[tuple[int, int]]) -> None:
    large = data * 400  # beyond the part that is kept
    subject, reference = RestartableStream(lambda: Forwards(large), len(large)), io.BytesIO(large)
    for offset, size in reads:
        position = offset * 400
        assert subject.seek(position) == reference.seek(position)
        assert subject.read(size) == reference.read(size)
        assert subject.tell() == reference.tell()
    assert subject.seek(0, io.SEEK_END) == len(large)
