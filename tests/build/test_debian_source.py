from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.build.debian_source import fetch_package, unpack_package
from debtool.model.errors import InputError, OutsideError
from tests.support.sources import write_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.root
def test_a_source_package_comes_through_apt_and_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    description = fetch_package("hello", "bookworm", "2.10", tmp_path / "files")
    assert description.name.startswith("hello_2.10-")
    unpack_package(description, tmp_path / "tree")
    assert (tmp_path / "tree/src/hello.c").is_file()
    assert (tmp_path / "tree/debian/control").read_text().startswith("Source: hello\n")
    # One byte of its archive changes: the hash in the .dsc, which apt has checked, is another.
    archive = next((tmp_path / "files").glob("*.orig.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(OutsideError, match="dpkg-source: error:"):
        unpack_package(description, tmp_path / "other")


@pytest.mark.root
def test_a_release_that_the_suite_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bookworm has hello 2\.10-\S+, not 2\.9"):
        fetch_package("hello", "bookworm", "2.9", tmp_path)


def test_what_is_no_source_package(tmp_path: Path) -> None:
    files = write_files(tmp_path, {"a.dsc": "no description\n"})
    with pytest.raises(OutsideError, match="error"):
        unpack_package(files / "a.dsc", tmp_path / "tree")
