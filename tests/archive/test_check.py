from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.archive import Archive
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.archive.conftest import MakeDeb

SUITE = "suite"


def append(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\n")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


def test_a_suite_that_was_never_published_is_found(archive: Archive) -> None:
    assert "never published" in str(archive.check(SUITE)[0])


@pytest.mark.parametrize("damage", [append, flip, remove])
@pytest.mark.parametrize(
    "name",
    [
        "dists/suite/InRelease",
        "dists/suite/Release",
        "dists/suite/Release.gpg",
        "dists/suite/main/binary-amd64/Packages.gz",
        "dists/suite/main/binary-amd64/Packages.xz",
        "dists/suite/main/Contents-amd64.gz",
        "pool/main/f/foo/foo_1.0-1_amd64.deb",
        "archive-keyring.asc",
        "archive-keyring.gpg",
        "index.html",
        "dists/suite/index.html",
    ],
)
def test_every_damage_is_found(archive: Archive, make_deb: MakeDeb, name: str, damage: Callable[[Path], None]) -> None:
    archive.publish(SUITE, [make_deb("foo"), make_deb("bar")])
    assert archive.check(SUITE) == ()
    damage(archive.public / name)
    found = {issue.file.name for issue in archive.check(SUITE) if issue.file is not None}
    match name.rpartition("/")[2]:
        case "Release" if damage is not remove:
            assert found >= {"InRelease", "Release.gpg"}
        case "InRelease" | "Release.gpg" if damage is append:
            assert found == set()  # a newline after the signature's armor is none of its business
        case damaged:
            assert damaged in found


def test_a_missing_by_hash_file_is_found(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    by_hash = archive.public / "dists/suite/main/binary-amd64/by-hash/SHA256"
    lost = next(by_hash.iterdir())
    lost.unlink()
    assert [issue.file.name for issue in archive.check(SUITE) if issue.file] == [lost.name]


def test_a_foreign_key_is_found(archive: Archive, make_deb: MakeDeb, tmp_path: Path) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    other = Archive.init(tmp_path / "other", archive.config)
    other.publish(SUITE, [make_deb("foo")])
    for name in ("InRelease", "Release", "Release.gpg"):
        (archive.public / "dists/suite" / name).write_bytes((other.public / "dists/suite" / name).read_bytes())
    assert any("signed by the archive's key" in issue.problem for issue in archive.check(SUITE))


def test_damaged_indices_are_mended_by_a_refresh(archive: Archive, make_deb: MakeDeb) -> None:
    archive.publish(SUITE, [make_deb("foo")])
    flip(archive.public / "dists/suite/main/binary-amd64/Packages.xz")
    assert archive.check(SUITE) != ()
    done = archive.refresh(SUITE)
    assert (done.switched, done.added, done.removed, done.unchanged) == (True, (), (), 1)
    assert archive.check(SUITE) == ()


def test_a_suite_that_was_never_published_cannot_be_refreshed(archive: Archive) -> None:
    with pytest.raises(InputError, match="never published"):
        archive.refresh(SUITE)
