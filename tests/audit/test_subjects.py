from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from debtool.audit.subjects import Copy, distribution_of, is_package, listed, opened, packaged
from debtool.model.errors import InputError
from tests.support.binaries import library, tiny_package
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    return library(tmp_path, "int one(void) { return 1; }", name="one.so")


def test_a_wheel_has_the_elf_files_that_their_first_bytes_show(tmp_path: Path, elf: Path) -> None:
    files = {"tiny/one.so": elf.read_bytes(), "tiny/named.so": b"no ELF file", "tiny/tool": elf.read_bytes()}
    wheel = TinyWheels(tmp_path).wheel("tiny-native", "1", files=files)
    assert [(one.path, one.size) for one in listed(wheel)] == [
        ("tiny/one.so", elf.stat().st_size),
        ("tiny/tool", elf.stat().st_size),
    ]
    assert distribution_of(wheel) == "tiny-native"
    scratch = tmp_path / "scratch"
    with opened(wheel, ["tiny/tool"], scratch) as members:
        for member in members:
            assert member.path == "tiny/tool"
            assert member.file.read_bytes() == elf.read_bytes()
            assert member.sha256 == hashlib.sha256(elf.read_bytes()).hexdigest()
            assert list(scratch.iterdir()) == []  # it has no name, so nothing can be left behind


def test_a_folder_has_each_file_once_and_links_are_not_followed(tmp_path: Path, elf: Path) -> None:
    folder = tmp_path / "lib"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "one.so").write_bytes(elf.read_bytes())
    os.link(folder / "below" / "one.so", folder / "again.so")
    (folder / "one.so.1").symlink_to("again.so")
    (folder / "loop").symlink_to(".")
    (folder / "text").write_text("no ELF file")
    os.mkfifo(folder / "pipe")
    assert [one.path for one in listed(folder)] == ["again.so"]
    with opened(folder, ["again.so"], tmp_path / "scratch") as members:
        assert [member.file for member in members] == [folder / "again.so"]


def test_a_file_that_is_named_must_be_an_elf_file(tmp_path: Path, elf: Path) -> None:
    assert [one.path for one in listed(elf)] == ["one.so"]
    text = tmp_path / "text"
    text.write_text("no ELF file")
    for path, problem in ((text, "not an ELF file"), (tmp_path / "absent", "no such file")):
        with pytest.raises(InputError, match=problem) as refused:
            listed(path)
        assert refused.value.issues[0].file == path


def test_a_copy_is_gone_when_it_is_closed(tmp_path: Path, elf: Path) -> None:
    with elf.open("rb") as stream, Copy(stream.read(4), stream, tmp_path / "scratch") as copy:
        path = copy.path
        assert copy.size == elf.stat().st_size
        assert path.read_bytes() == elf.read_bytes()
    assert not path.exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_package_s_files_come_in_its_order(tmp_path: Path, elf: Path) -> None:
    package = tiny_package(tmp_path, {"usr/lib/one.so": elf.read_bytes(), "usr/share/text": b"no ELF file"})
    assert is_package(package)
    ((path, copy),) = packaged(package, tmp_path / "scratch")
    with copy:
        assert path == "/usr/lib/one.so"
        assert copy.path.read_bytes() == elf.read_bytes()
