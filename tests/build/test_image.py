from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from debtool.build import image as module
from debtool.build.image import RootImage
from debtool.build.locks import locked
from debtool.model.errors import OutsideError

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = """\
Debian|http://mirror.invalid/debian/|bookworm|main
Debian|http://mirror.invalid/debian/|bookworm-updates|main
Debian|http://mirror.invalid/debian/|bookworm-backports|main
Debian|http://mirror.invalid/debian/|trixie|main
Somebody|http://third.invalid/|bookworm|main
"""


def answer(monkeypatch: pytest.MonkeyPatch, targets: str, settings: str = "") -> None:
    monkeypatch.setattr(module, "ask", lambda program, *_: targets if program == "apt-get" else settings)


def test_the_hosts_own_sources_are_used_for_its_own_release(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, TARGETS)
    sources = module._host_sources("bookworm")
    assert sources.count("Types: deb\n") == 2
    assert "Suites: bookworm\n" in sources
    assert "Suites: bookworm-updates\n" in sources
    assert "third.invalid" not in sources
    assert "Check-Valid-Until" not in sources


def test_a_frozen_mirror_stays_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, TARGETS, 'Acquire::Check-Valid-Until "false";\n')
    assert module._host_sources("bookworm").count("Check-Valid-Until: no\n") == 2


def test_another_release_has_no_sources_here(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, TARGETS)
    assert module._host_sources("noble") == ""


def test_the_hosts_proxies_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "", 'Acquire::http::Proxy "http://proxy.invalid:3142";\nAcquire::Retries "3";\n')
    assert module._host_proxies() == ['Acquire::http::Proxy "http://proxy.invalid:3142"']


def test_without_root_the_error_names_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OutsideError, match="sudo"):
        RootImage.ensure("bookworm", tmp_path)


def test_without_mmdebstrap_the_error_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutsideError, match="apt-get install mmdebstrap"):
        RootImage.ensure("bookworm", tmp_path)


def test_a_folder_with_a_mount_in_it_is_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/a b").mkdir(parents=True)
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"36 35 98:0 / {tmp_path}/root/a\\040b rw - ext4 /dev/x rw\n")
    monkeypatch.setattr(module, "_MOUNTS", mountinfo)
    with pytest.raises(OutsideError, match="umount"):
        module._remove(tmp_path / "root")
    assert (tmp_path / "root/a b").is_dir()
    mountinfo.write_text(f"36 35 98:0 / {tmp_path}/roots rw - ext4 /dev/x rw\n")
    module._remove(tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.root
def test_a_release_that_does_not_exist_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="nosuchrelease"):
        RootImage.ensure("nosuchrelease", tmp_path)
    assert [path.suffix for path in (tmp_path / "images").iterdir()] == [".lock"]


def test_an_image_is_made_once_and_anew_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(image: RootImage, *_: object) -> None:
        made.append(image.codename)
        shutil.rmtree(image.folder, ignore_errors=True)
        image.folder.mkdir()

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(RootImage, "_make", make)
    answer(monkeypatch, TARGETS)
    image = RootImage.ensure("bookworm", tmp_path)
    assert RootImage.ensure("bookworm", tmp_path) == image
    assert RootImage.ensure("bookworm", tmp_path, packages=["git"]).folder != image.folder
    assert len(made) == 2

    old = time.time() - 30 * 86400
    os.utime(image.folder, (old, old))
    with locked(image._lock, shared=True):  # as while a root is open on it
        RootImage.ensure("bookworm", tmp_path)
        assert len(made) == 2
    RootImage.ensure("bookworm", tmp_path)
    assert len(made) == 3


def test_a_folder_that_others_remove_too_is_removed(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / "instance" / str(number) / "below").mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(module._remove, [tmp_path / "instance"] * 4))
    assert not (tmp_path / "instance").exists()
