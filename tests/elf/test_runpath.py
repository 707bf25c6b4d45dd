from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from debtool.elf.runpath import EditedReadable, RunPathEdit, run_path_edits
from debtool.model.errors import InputError

ROCM = {"/opt/rocm-6.3.4/lib": "/opt/rocm/lib"}


def linked(folder: Path, run_path: str, *options: str, source: str = "") -> Path:
    """A shared library with ``run_path``."""
    folder.mkdir(exist_ok=True)
    (folder / "x.c").write_text(source)
    command = ["gcc", "-shared", "-fPIC", "-o", "x.so", "x.c", f"-Wl,-rpath,{run_path}", *options]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "x.so"


def rewrite(path: Path, folders: dict[str, str]) -> tuple[RunPathEdit, ...]:
    """Rewrite the run path of the file at ``path``."""
    data = path.read_bytes()
    edits = run_path_edits(lambda: io.BytesIO(data), len(data), folders, name=path.name)
    path.write_bytes(EditedReadable(io.BytesIO(data), edits).read())
    return edits


def dynamic(path: Path) -> list[str]:
    """What readelf says of the dynamic segment, symbols and versions."""
    command: list[str | Path] = ["readelf", "-W", "--dynamic", "--dyn-syms", "--version-info", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def run_path(path: Path) -> str:
    return next(match[1] for line in dynamic(path) if (match := re.search(r"R(?:UN)?PATH\).*\[(.*)\]", line)))


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_folders_are_replaced_and_nothing_else(tmp_path: Path, tags: str) -> None:
    old = "$ORIGIN/../lib:/opt/rocm-6.3.4/lib:/opt/rocm-6.3.4/lib/llvm/lib:/opt/rocm-6.3.4/lib64:/opt/rocm-6.3.4"
    library = linked(tmp_path, old, f"-Wl,{tags}")
    before, size = dynamic(library), library.stat().st_size
    edits = rewrite(library, ROCM)
    new = "$ORIGIN/../lib:/opt/rocm///////lib:/opt/rocm///////lib/llvm/lib:/opt/rocm-6.3.4/lib64:/opt/rocm-6.3.4"
    assert run_path(library) == new
    assert [line.replace(new, old) for line in dynamic(library)] == before
    assert library.stat().st_size == size
    assert [edit.data for edit in edits] == [b"//////", b"//////"]
    assert rewrite(library, ROCM) == ()


def test_the_longest_folder_counts(tmp_path: Path) -> None:
    library = linked(tmp_path, "/opt/rocm-6.3.4/lib:/opt/rocm-6.3.4/bin")
    rewrite(library, {"/opt/rocm-6.3.4": "/opt/r", "/opt/rocm-6.3.4/lib/": "/opt/rocm/lib/"})
    assert run_path(library) == "/opt/rocm///////lib:/opt//////////r/bin"


def test_a_library_is_found_through_the_rewritten_path(tmp_path: Path) -> None:
    old, new = tmp_path / "rocm-6.3.4/lib", tmp_path / "rocm/lib"
    linked(tmp_path / "x", "/nowhere", "-Wl,-soname,libx.so.1", source="int answer(void) { return 42; }")
    old.mkdir(parents=True)
    (tmp_path / "x/x.so").rename(old / "libx.so.1")
    (tmp_path / "main.c").write_text("int answer(void); int main(void) { return answer(); }")
    program = tmp_path / "program"
    command: list[str | Path] = ["gcc", "-o", program, tmp_path / "main.c", old / "libx.so.1", f"-Wl,-rpath,{old}"]
    subprocess.run(command, check=True)
    assert subprocess.run([program], check=False).returncode == 42
    (tmp_path / "rocm-6.3.4").rename(tmp_path / "rocm")
    assert subprocess.run([program], check=False, capture_output=True).returncode == 127, "libx.so.1 has moved"
    rewrite(program, {str(old): str(new)})
    assert subprocess.run([program], check=False).returncode == 42


def test_strings_that_share_the_path_s_end_stay_what_they_are(tmp_path: Path) -> None:
    library = linked(tmp_path, "/opt/rocm-6.3.4/lib", "-Wl,-soname,/lib", source='int x __asm__("ib") = 1;')
    data = library.read_bytes()
    assert data.count(b"/lib\0") == 1, "the linker merges what shares its end"
    before = dynamic(library)
    rewrite(library, ROCM)
    assert run_path(library) == "/opt/rocm///////lib"
    assert [line.replace("/opt/rocm///////lib", "/opt/rocm-6.3.4/lib") for line in dynamic(library)] == before


@pytest.mark.parametrize(
    ("options", "source"),
    [
        (["-Wl,-soname,.4/lib"], ""),
        (["-Wl,-soname,rocm-6.3.4/lib"], ""),
        (["-Wl,-soname,/opt/rocm-6.3.4/lib"], ""),
        (["-Wl,-soname,beyond/opt/rocm-6.3.4/lib"], ""),
        ([], r'int x __asm__("\"3.4/lib\"") = 1;'),
        ([], r'extern int x __asm__("\"3.4/lib\""); int *y(void) { return &x; }'),
        (["-Wl,--hash-style=sysv"], r'int x __asm__("\"opt/rocm-6.3.4/lib\"") = 1;'),
    ],
    ids=["inside", "before", "same", "around", "symbol", "undefined", "sysv"],
)
def test_a_path_that_shares_its_bytes_is_refused(tmp_path: Path, options: list[str], source: str) -> None:
    library = linked(tmp_path, "/opt/rocm-6.3.4/lib", *options, source=source)
    before = library.read_bytes()
    assert before.count(b"/opt/rocm-6.3.4/lib\0") == 1
    with pytest.raises(InputError, match=r"x\.so: the run path /opt/rocm-6\.3\.4/lib shares its bytes"):
        rewrite(library, ROCM)


def test_a_path_that_shares_its_bytes_with_a_version_is_refused(tmp_path: Path) -> None:
    # A library without a soname calls its base version by the file's name.
    (tmp_path / "x.map").write_text("rocm_6.3.4 { global: x; };")
    options = ("-Wl,--version-script,x.map", "-s", "-o", "4.5")
    linked(tmp_path, "/opt/rocm-6.4.5", *options, source="int x = 1;")
    with pytest.raises(InputError, match="shares its bytes"):
        rewrite(tmp_path / "4.5", {"/opt/rocm-6.4.5": "/opt/rocm"})
    user = linked(tmp_path / "user", "/opt/rocm_6.3.4", "-s", "../4.5", source="extern int x; int *y = &x;")
    assert user.read_bytes().count(b"rocm_6.3.4\0") == 1
    with pytest.raises(InputError, match="shares its bytes"):
        rewrite(user, {"/opt/rocm_6.3.4": "/opt/rocm"})


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("/opt/rocm/lib", "/opt/rocm-6.3.4/lib", "longer"),
        ("/opt/rocm", "opt", "absolute"),
        ("/opt/rocm", "/", "absolute"),
        ("//", "/", "absolute"),
        ("/opt///", "/rocm/", "longer"),
        ("/opt/rocm", "/a:/b", "absolute"),
        ("$ORIGIN", "/a", "absolute"),
    ],
)
def test_folders_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        rewrite(linked(tmp_path, "/opt/rocm/lib"), {old: new})


def test_a_file_whose_other_strings_cannot_be_read_is_refused(tmp_path: Path) -> None:
    library = linked(tmp_path, "/opt/rocm-6.3.4/lib", source='#include <stdio.h>\nvoid f(void) { puts("x"); }')
    data = bytearray(library.read_bytes())
    header: Any = ELFFile(io.BytesIO(bytes(data)))
    needs = header.get_section_by_name(".gnu.version_r")["sh_offset"]
    data[needs + 8 : needs + 12] = b"\xff\xff\xff\x7f"  # vn_aux of the first library
    library.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.so: has the run path /opt/rocm-6\.3\.4/lib, but damaged tables"):
        rewrite(library, ROCM)


def test_files_without_such_a_path_are_left_alone(tmp_path: Path) -> None:
    assert rewrite(linked(tmp_path, "/usr/lib"), ROCM) == ()
    for data in (b"", b"\x7fELF", b"text", Path(sys.executable).resolve().read_bytes()[:5000]):
        assert run_path_edits(lambda data=data: io.BytesIO(data), len(data), ROCM, name="x") == ()  # type: ignore[misc]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_no_surprise(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    library = folder / "x.so"
    raw = bytearray((library if library.exists() else linked(folder, "/opt/rocm-6.3.4/lib")).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, min(len(raw), 1500) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        edits = run_path_edits(lambda: io.BytesIO(whole), len(whole), ROCM, name="x")
    except InputError:
        return
    assert all(edit.offset + len(edit.data) <= len(whole) for edit in edits)


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=1, max_size=9)), max_size=4),
    st.lists(st.integers(-1, 20), max_size=20),
)
def test_edits_are_applied_however_the_file_is_read(
    data: bytes, changes: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    edits = [RunPathEdit(offset, new) for offset, new in changes if offset + len(new) <= len(data)]
    expected = bytearray(data)
    for edit in edits:
        expected[edit.offset : edit.offset + len(edit.data)] = edit.data
    stream = EditedReadable(io.BytesIO(data), edits)
    assert b"".join([*(stream.read(size) for size in sizes), stream.read()]) == expected
