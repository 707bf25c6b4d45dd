from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from debtool.deb import ar
from debtool.deb.control import Control
from debtool.deb.reader import iter_paths, list_paths, read_control, read_deb
from debtool.deb.writer import write_deb
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


class OneFile:
    def emit(self, sink: object) -> None:
        sink.add_file("/usr/share/x", io.BytesIO(b"contents" * 9999), 79992)  # type: ignore[attr-defined]


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    fields = {
        "Package": "x",
        "Version": "1",
        "Architecture": "all",
        "Maintainer": "A <a@b.c>",
        "Description": "x y\n z",
    }
    return write_deb(tmp_path / "x.deb", OneFile(), lambda _: Control(fields), date=0).path


@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_packages_made_by_dpkg_are_read(tmp_path: Path, compression: str) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    text = "Package: x\nVersion: 1:2-3\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: x\n y\n"
    (tree / "DEBIAN/control").write_text(text)
    (tree / "DEBIAN/triggers").write_text("activate-noawait t\n")
    (tree / "usr").mkdir()
    (tree / "usr/file").write_text("text")
    (tree / "usr/link").symlink_to("file")
    (tree / "usr/hard").hardlink_to(tree / "usr/file")
    (tree / ("n" * 150)).write_text("")
    package = tmp_path / "x.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", tree, package],
        check=True,
        capture_output=True,
    )
    info = read_deb(package)
    assert info.control_text == text
    assert info.control_files["triggers"] == b"activate-noawait t\n"
    assert read_control(package)["Version"] == "1:2-3"
    kinds = {entry.path: (entry.kind, entry.target) for entry in iter_paths(package)}
    assert kinds["/usr/link"] == ("symlink", "file")
    assert {kinds["/usr/file"][0], kinds["/usr/hard"][0]} == {"file", "hardlink"}
    assert ("/" + "n" * 150) in list_paths(package)
    assert "/usr" not in list_paths(package)


@pytest.mark.parametrize("kept", [0, 7, 30, 100, 200, -5000, -200, -1])
def test_a_truncated_package_is_one_clear_error(deb: Path, kept: int) -> None:
    data = deb.read_bytes()
    deb.write_bytes(data[:kept] if kept >= 0 else data[: max(len(data) + kept, 68)])
    with pytest.raises(InputError) as caught:
        (list_paths(deb), read_deb(deb))
    assert caught.value.issues[0].file == deb


def test_damaged_data_is_one_clear_error(deb: Path) -> None:
    member = read_deb(deb).members[2]
    data = bytearray(deb.read_bytes())
    for offset in range(member.offset + 8, member.offset + member.size, 7):
        data[offset] ^= 0x5A
    deb.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged data\.tar\.zst"):
        list_paths(deb)


def _deb(path: Path, *members: tuple[str, bytes]) -> Path:
    out = bytearray(ar.MAGIC)
    for name, data in members:
        out += ar.header(name, len(data), mtime=0) + data + b"\n" * (len(data) % 2)
    path.write_bytes(out)
    return path


def _tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("debian-binary", b"2.0\n")],
        [("debian-binary", b"3.0\n"), ("control.tar", _tar()), ("data.tar", _tar())],
        [("debian-binary", b"2.0\n"), ("data.tar", _tar()), ("control.tar", _tar())],
        [("debian-binary", b"2.0\n"), ("control.tar", _tar()), ("data.tar", _tar())],
        [("debian-binary", b"2.0\n"), ("control.tar", _tar(control=b"Package: x\n")), ("data.tar", _tar())],
        [("debian-binary", b"2.0\n"), ("control.tar", _tar(control=b"\xff")), ("data.tar", _tar())],
        [("debian-binary", b"2.0\n"), ("control.tar.lz9", _tar()), ("data.tar", _tar())],
    ],
)
def test_what_is_no_package_is_one_clear_error(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    path = _deb(tmp_path / "x.deb", *members)
    with pytest.raises(InputError) as caught:
        read_deb(path)
    assert caught.value.issues[0].file == path


def test_members_that_deb5_says_to_ignore_are_ignored(tmp_path: Path) -> None:
    control = b"Package: x\nVersion: 1\nArchitecture: all\n"
    path = _deb(
        tmp_path / "x.deb",
        ("debian-binary", b"2.0\n"),
        ("_own", b"odd"),
        ("control.tar", _tar(control=control)),
        ("data.tar", _tar(x=b"1")),
    )
    assert read_control(path)["Package"] == "x"
    assert list_paths(path) == ["/x"]
