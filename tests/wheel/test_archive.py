from __future__ import annotations

import io
import stat
import zipfile
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from debtool.model.errors import InputError
from debtool.wheel import archive as subject
from debtool.wheel.archive import Archive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wheel.conftest import HandMadeWheels


def zip_of(path: Path, *entries: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644, method: int = 8) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.filename = name
            info.external_attr = mode << 16
            info.compress_type = method
            archive.writestr(info, data)
    return path


def refuse(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Archive(path)
    assert caught.value.issues[0].file == path
    return str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_members_are_read_in_pieces_and_whole(tmp_path: Path, method: int, size: int) -> None:
    data = (b"some text that repeats, " * (size // 20 + 1))[:size]
    with Archive(zip_of(tmp_path / "x.whl", ("a", b"first"), ("b/c", data), method=method)) as archive:
        assert [member.name for member in archive] == ["a", "b/c"]
        member = archive.members["b/c"]
        assert archive.open(member).read() == data
        stream = archive.open(member)
        pieces = list(iter(lambda: stream.read(70_001), b""))
        assert b"".join(pieces) == data
        assert all(len(piece) == 70_001 for piece in pieces[:-1])
        assert stream.read(1) == stream.read() == b""


def test_streams_can_be_read_in_turns(tmp_path: Path) -> None:
    one, two = bytes(range(256)) * 9000, bytes(range(255, -1, -1)) * 9000
    with Archive(zip_of(tmp_path / "x.whl", ("one", one), ("two", two))) as archive:
        first, second = archive.open(archive.members["one"]), archive.open(archive.members["two"])
        parts: tuple[list[bytes], list[bytes]] = ([], [])
        for _ in range(24):
            parts[0].append(first.read(100_000))
            parts[1].append(second.read(100_000))
        assert (b"".join(parts[0]), b"".join(parts[1])) == (one, two)


@pytest.mark.parametrize(
    "name",
    ["../up", "a/../../up", "/absolute", "a//b", "./a", "a/.", "..", "C:/x", "back\\slash", "line\nbreak", "bell\x07"],
)
def test_names_that_leave_the_package_are_refused(tmp_path: Path, name: str) -> None:
    refuse(zip_of(tmp_path / "x.whl", (name, b"")))


def test_a_name_that_begins_with_nul_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.whl", ("nameless", b""))
    path.write_bytes(path.read_bytes().replace(b"nameless", b"\0ameless"))
    assert "has no name" in refuse(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    assert "symbolic link" in refuse(zip_of(tmp_path / "x.whl", ("a", b"/etc/passwd"), mode=kind | 0o777))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates_are_refused(tmp_path: Path) -> None:
    assert "there twice" in refuse(zip_of(tmp_path / "x.whl", ("a", b"1"), ("a", b"2")))


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is below it" in refuse(zip_of(tmp_path / "x.whl", ("a", b"1"), ("a/b", b"2")))


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    assert "method 12" in refuse(zip_of(tmp_path / "x.whl", ("a", b"1"), method=zipfile.ZIP_BZIP2))


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.whl", ("a", b"1"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refuse(path)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Archive(zip_of(tmp_path / "x.whl", ("../a", b""), ("/b", b""), ("ok", b"")))
    assert [issue.field for issue in caught.value.issues] == ["../a", "/b"]


def test_a_bomb_of_good_ratio_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_RATIO_FREE", 2**20)
    assert "zip bombs" in refuse(zip_of(tmp_path / "x.whl", ("a", bytes(2**21))))


def test_a_bomb_of_great_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_TOTAL_LIMIT", 10)
    assert "zip bombs" in refuse(zip_of(tmp_path / "x.whl", ("a", b"0123456789+")))


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.whl", ("a", bytes(range(256)) * 99), ("b", bytes(range(256)) * 99))
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = bytes(4)  # the second entry points to the first one's data
    path.write_bytes(data)
    assert "overlaps" in refuse(path)


def test_a_member_that_inflates_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.whl", ("a", bytes(5000)))
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = (4000).to_bytes(4, "little")
    data[central + 16 : central + 20] = zlib.crc32(bytes(4000)).to_bytes(4, "little")
    path.write_bytes(data)
    with Archive(path) as archive, pytest.raises(InputError, match="goes on after its 4000 bytes"):
        archive.open(archive.members["a"]).read()


@pytest.mark.parametrize("field", [b"PK\x01\x02", b"PK\x03\x04"])
def test_headers_that_disagree_are_refused(tmp_path: Path, field: bytes) -> None:
    path = zip_of(tmp_path / "x.whl", ("abc", b"1"))
    data = bytearray(path.read_bytes())
    data[data.index(b"abc", data.index(field))] = ord("z")
    path.write_bytes(data)
    with Archive(path) as archive, pytest.raises(InputError, match="local header"):
        archive.open(next(iter(archive))).read()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "no such wheel" in refuse(tmp_path / "missing.whl")


@pytest.mark.parametrize("kept", [0, 10, 60, -30, -1000])
def test_truncated_zips_are_refused(handmade: HandMadeWheels, kept: int) -> None:
    path = handmade.write()
    path.write_bytes(path.read_bytes()[: kept or None] if kept else b"")
    refuse(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2**16), value=st.integers(0, 255))
def test_one_changed_byte_is_harmless_or_one_clear_error(tmp_path: Path, place: int, value: int) -> None:
    contents = {"a.txt": b"text " * 50, "b/c.bin": bytes(range(256)) * 3}
    data = bytearray(zip_of(tmp_path / "good.whl", *contents.items()).read_bytes())
    data[place % len(data)] = value
    path = tmp_path / "x.whl"
    path.write_bytes(data)
    with suppress(InputError), Archive(path) as archive:
        for member in archive:
            found = io.BytesIO(archive.open(member).read()).getvalue()
            assert found == contents.get(member.name, found)
