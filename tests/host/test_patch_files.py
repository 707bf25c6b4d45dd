"""Files are read and replaced by descriptors: no stranger's link is followed, nothing is written into."""

from __future__ import annotations

import errno
import marshal
import os
import py_compile
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from debtool.host.patcher import bytecode
from debtool.host.patcher.errors import ChangedError, OutsideError, PatchError
from debtool.host.patcher.files import LARGEST, Folder, Tree

M = "a-marker"
TAG = sys.implementation.cache_tag


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(str(tmp_path))


class TestReading:
    def test_a_file_and_its_folder(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "a/b/f.py").write_text("x")
        with tree.folder("/a/b") as folder:
            assert (folder.path, folder.names(), folder.read("f.py").data) == ("/a/b", ["f.py"], b"x")
        assert tree.names("/a") == ["b"]
        assert tree.names("/none") == []
        assert tree.read("/a/none") is None

    def test_what_is_not_there(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in ("/none", "/none/deeper", "/file"):
            with pytest.raises(FileNotFoundError):
                tree.folder(path)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to("/etc/passwd")
        with (tmp_path / "large").open("wb") as stream:
            stream.truncate(LARGEST + 1)
        with Folder.at(str(tmp_path)) as folder:
            for name, why in (
                ("fifo", "not a regular"),
                ("folder", "not a regular"),
                ("link", "symbolic"),
                ("large", "larger"),
            ):
                with pytest.raises(PatchError, match=why):
                    folder.read(name)

    def test_a_link_of_our_own_is_followed_below_the_root(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "data/opt/x").mkdir(parents=True)
        (tmp_path / "opt").symlink_to("/data/opt")
        (tmp_path / "data/other").symlink_to("../data/./opt")
        for path in ("/opt/x", "/data/other/x"):
            with tree.folder(path) as folder:
                assert folder.path == "/data/opt/x"

    def test_links_that_lead_round_or_out(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "round").symlink_to("round")
        with pytest.raises(PatchError, match="too many"):
            tree.folder("/round/x")
        (tmp_path / "out").symlink_to("../../../../../../etc")
        with pytest.raises(FileNotFoundError):
            tree.folder("/out")

    @pytest.mark.root
    def test_a_strangers_link_is_not_followed(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "srv").mkdir()
        (tmp_path / "etc").mkdir()
        (tmp_path / "srv/venv").symlink_to("/etc")
        os.chown(tmp_path / "srv/venv", 4242, 4242, follow_symlinks=False)
        with pytest.raises(PatchError, match="/srv/venv is a symbolic link of user 4242: it is not followed"):
            tree.folder("/srv/venv")

    @pytest.mark.root
    def test_root_stays_out_of_homes(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/passwd").write_text("root:x:0:0::/boss:/bin/sh\nbea:x:4242:4242::/data/bea:/bin/sh\n")
        for home in ("home/ann/venv", "data/bea/venv", "boss/venv", "data/project"):
            (tmp_path / home).mkdir(parents=True)
        for folder in ("home/ann", "data/bea", "data/bea/venv", "data/project"):
            os.chown(tmp_path / folder, 4242, 4242)
        for path in ("/home/ann", "/home/ann/venv", "/data/bea/venv"):
            with pytest.raises(PatchError, match="is a home of user 4242: root touches nothing there"):
                tree.folder(path)
        for path in ("/data/project", "/boss/venv"):
            with tree.folder(path) as opened:
                assert opened.path == path


class TestReplacing:
    def test_in_one_step_with_a_new_inode(self, tmp_path: Path) -> None:
        file = tmp_path / "f.py"
        file.write_text("old")
        os.link(file, tmp_path / "cache.py")
        file.chmod(0o640)
        with Folder.at(str(tmp_path)) as folder:
            folder.replace("f.py", b"new", marker=M, like=folder.read("f.py"))
        assert (file.read_text(), (tmp_path / "cache.py").read_text()) == ("new", "old")
        assert (file.stat().st_nlink, file.stat().st_mode & 0o7777) == (1, 0o640)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cache.py", "f.py"]

    def test_no_setuid_bit_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "f.py").write_text("old")
        (tmp_path / "f.py").chmod(0o4755)
        with Folder.at(str(tmp_path)) as folder:
            folder.replace("f.py", b"new", marker=M, like=folder.read("f.py"))
        assert (tmp_path / "f.py").stat().st_mode & 0o7777 == 0o755

    @pytest.mark.root
    def test_owner_attributes_and_acl_are_kept(self, tmp_path: Path) -> None:
        file = tmp_path / "f.py"
        file.write_text("old")
        os.chown(file, 1234, 4321)
        os.setxattr(file, "user.note", b"mine")
        # acl(5) as the kernel keeps it: version 2, then (tag, permissions, id): user::rw- user:7:r-- group::r-- …
        entries = [(1, 6, -1), (2, 4, 7), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
        acl = (2).to_bytes(4, "little") + b"".join(
            tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
            for tag, bits, who in entries
        )
        os.setxattr(file, "system.posix_acl_access", acl)
        before = file.stat()
        with Folder.at(str(tmp_path)) as folder:
            folder.replace("f.py", b"new", marker=M, like=folder.read("f.py", attributes=True))
        after = file.stat()
        assert (after.st_uid, after.st_gid, after.st_mode) == (1234, 4321, before.st_mode)
        assert os.getxattr(file, "user.note") == b"mine"
        assert os.getxattr(file, "system.posix_acl_access") == acl

    def test_nothing_happens_without_a_yes(self, tmp_path: Path) -> None:
        (tmp_path / "f.py").write_text("old")
        with Folder.at(str(tmp_path)) as folder, pytest.raises(ChangedError, match="changed while"):
            folder.replace("f.py", b"new", marker=M, still=lambda: False)
        assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("f.py", "old")]

    def test_a_link_in_place_of_the_new_file_is_not_written_through(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        (tmp_path / f".f.py.{M}").symlink_to(victim)
        with Folder.at(str(tmp_path)) as folder:
            folder.replace("f.py", b"new", marker=M)
        assert victim.read_text() == "precious"
        assert not (tmp_path / "f.py").is_symlink()

    @pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
    def test_a_full_disk_leaves_the_old_file(self, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "f.py").write_text("old")

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with Folder.at(str(tmp_path)) as folder:
            if call == "write":
                monkeypatch.setattr(os, "fdopen", full)
            else:
                monkeypatch.setattr(os, call, full)
            with pytest.raises(OutsideError, match="No space left on device"):
                folder.replace("f.py", b"new", marker=M)
        monkeypatch.undo()
        assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("f.py", "old")]


class TestBytecode:
    """One folder with a module and compiled files of it."""

    @pytest.fixture(autouse=True)
    def _module(self, tmp_path: Path) -> None:
        self.file = tmp_path / "m.py"
        self.file.write_text("x = 1\n")
        self.cache = tmp_path / "__pycache__"
        self.own = self.cache / f"m.{TAG}.pyc"

    def compile(self, mode: py_compile.PycInvalidationMode) -> None:
        py_compile.compile(str(self.file), doraise=True, invalidation_mode=mode)

    def refresh(self, suffix: str | None = None) -> None:
        with Folder.at(str(self.file.parent)) as folder:
            bytecode.refresh(folder, "m.py", shown="/shown/m.py", suffix=suffix, marker=M)

    def imported(self) -> int:
        """Return what is imported, from bytecode that is current."""
        command = [sys.executable, "-B", "-c", "import m; print(m.x)"]
        done = subprocess.run(command, cwd=self.file.parent, capture_output=True, text=True, check=True)
        header, status = self.own.read_bytes()[:16], self.file.stat()
        assert struct.unpack("<3I", header[4:]) == (0, int(status.st_mtime), status.st_size)
        assert marshal.loads(self.own.read_bytes()[16:]).co_filename == "/shown/m.py"  # noqa: S302 -- our own
        return int(done.stdout)

    @pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
    def test_the_new_source_is_what_runs(self, mode: py_compile.PycInvalidationMode) -> None:
        self.compile(mode)
        (self.cache / "m.cpython-27.pyc").write_bytes(b"x" * 16)
        (self.cache / f"m.{TAG}.opt-1.pyc").write_bytes(b"x" * 16)
        (self.cache / "other.cpython-27.pyc").write_bytes(b"x" * 16)
        self.file.write_text("x = 2\n")
        self.refresh()
        assert self.imported() == 2
        assert sorted(entry.name for entry in self.cache.iterdir()) == [self.own.name, "other.cpython-27.pyc"]

    def test_without_bytecode_none_is_made(self) -> None:
        self.refresh()
        assert not self.cache.exists()
        self.cache.mkdir()
        self.refresh()
        assert list(self.cache.iterdir()) == []

    def test_dpkgs_own_bytecode_is_not_touched(self) -> None:
        self.compile(py_compile.PycInvalidationMode.TIMESTAMP)
        before = self.own.read_bytes()
        self.file.write_text("x = 2222\n")
        self.refresh(suffix=".distrib")
        assert self.own.read_bytes() == before
        self.own.rename(f"{self.own}.distrib")
        self.refresh(suffix=".distrib")
        assert Path(f"{self.own}.distrib").read_bytes() == before
        assert self.imported() == 2222

    def test_what_hides_the_source_goes(self) -> None:
        self.compile(py_compile.PycInvalidationMode.UNCHECKED_HASH)
        with Folder.at(str(self.file.parent)) as folder:
            assert bytecode.remove_hiding(folder, "m.py")
            assert not bytecode.remove_hiding(folder, "m.py")
        self.compile(py_compile.PycInvalidationMode.CHECKED_HASH)
        with Folder.at(str(self.file.parent)) as folder:
            assert not bytecode.remove_hiding(folder, "m.py")
        assert self.own.exists()

    def test_a_source_that_does_not_compile_has_none(self) -> None:
        self.compile(py_compile.PycInvalidationMode.TIMESTAMP)
        self.file.write_text("x = (\n")
        self.refresh()
        assert list(self.cache.iterdir()) == []

    def test_a_linked_cache_is_not_entered(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "m.cpython-27.pyc").write_bytes(b"x" * 16)
        self.cache.symlink_to(elsewhere)
        self.refresh()
        assert (elsewhere / "m.cpython-27.pyc").exists()
