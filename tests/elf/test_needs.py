from __future__ import annotations

import io
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

from debtool.elf.needs import ElfNeeds, elf_files, read_needs
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
