from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.build.root import Root, describe_status
from debtool.model.errors import InputError, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from debtool.build.image import RootImage


@pytest.fixture(scope="module")
def root(bookworm: RootImage) -> Iterator[Root]:
    with bookworm.instance() as root:
        yield root


def host_mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def test_a_status_is_told_in_words() -> None:
    assert describe_status(7) == "ended with status 7"
    assert describe_status(-signal.SIGILL) == "was killed by SIGILL (Illegal instruction)"


@pytest.mark.root
class TestRoot:
    def test_is_the_release_asked_for(self, root: Root) -> None:
        assert "VERSION_CODENAME=bookworm" in root.run(["cat", "/etc/os-release"]).stdout

    def test_knows_nothing_of_the_hosts_environment(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
        assert set(root.run(["/usr/bin/env"]).stdout.split()) == {
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LANG=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        }

    def test_starts_programs_in_its_own_top_folder(self, root: Root) -> None:
        assert root.run(["pwd"]).stdout == "/\n"
        assert root.run(["ls"]).stdout == root.run(["ls", "/"]).stdout

    def test_sees_its_own_processes_only(self, root: Root) -> None:
        numbers = root.run(["sh", "-c", "cd /proc && echo [0-9]*"]).stdout.split()
        assert "1" in numbers
        assert len(numbers) < 5

    def test_cannot_change_the_hosts_kernel_settings(self, root: Root) -> None:
        assert root.run(["sh", "-c", "echo 1 > /proc/sys/vm/swappiness"], check=False).returncode != 0

    def test_reaps_orphans(self, root: Root) -> None:
        root.run(["sh", "-c", "(sleep 0.05 &)"])
        time.sleep(0.3)
        states = root.run(["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout
        assert " Z " not in states

    def test_runs_as_a_user_with_that_users_groups(self, root: Root) -> None:
        root.run(["useradd", "--groups", "video", "painter"])
        assert root.run(["id", "--user", "--name"], user="painter").stdout == "painter\n"
        assert "video" in root.run(["id", "--groups", "--name"], user="painter").stdout

    def test_an_unknown_user_is_an_error(self, root: Root) -> None:
        with pytest.raises(InputError, match="nobody-knows"):
            root.run(["true"], user="nobody-knows")

    def test_hands_input_to_the_program(self, root: Root) -> None:
        assert root.run(["cat"], stdin="hello").stdout == "hello"

    def test_a_failure_shows_the_end_of_the_output(self, root: Root) -> None:
        with pytest.raises(OutsideError, match=r"(?s)ended with status 3.*no luck"):
            root.run(["sh", "-c", "echo no luck >&2; exit 3"])

    def test_what_takes_too_long_is_killed(self, root: Root) -> None:
        with pytest.raises(OutsideError, match=r"longer than 0.2 s"):
            root.run(["sh", "-c", "sleep 77; true"], timeout=0.2)
        assert "sleep" not in root.run(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout

    def test_a_daemons_death_by_signal_is_seen(self, root: Root, tmp_path: Path) -> None:
        daemon = root.start(["sh", "-c", "echo before; kill -ILL $$"], log=tmp_path / "log")
        deadline = time.monotonic() + 10
        while daemon.status is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert daemon.status == -signal.SIGILL
        assert daemon.log_tail() == "before\n"

    def test_a_daemon_runs_in_the_folder_and_as_the_user_asked_for(self, root: Root, tmp_path: Path) -> None:
        daemon = root.start(["sh", "-c", "pwd; id -un; sleep 60"], log=tmp_path / "log", user="daemon", folder="/usr")
        deadline = time.monotonic() + 10
        while "daemon" not in daemon.log_tail() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert daemon.status is None
        assert daemon.log_tail() == "/usr\ndaemon\n"
        daemon.stop()
        assert daemon.status == -signal.SIGTERM

    def test_a_deaf_daemon_is_killed(self, root: Root, tmp_path: Path) -> None:
        daemon = root.start(["sh", "-c", "trap '' TERM; echo up; sleep 60; sleep 60"], log=tmp_path / "log")
        while not daemon.log_tail():
            time.sleep(0.02)
        daemon.stop(patience=0.2)
        assert "sleep" not in root.run(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout

    def test_links_never_lead_to_the_host(self, root: Root) -> None:
        root.run(
            ["sh", "-c", "ln -s /etc/hostname /root/absolute; ln -s ../../../../etc /root/up; ln -s loop /root/loop"]
        )
        top = root.path("/")
        assert top.stat().st_ino != Path("/").stat().st_ino
        assert root.path("/root/absolute") == top / "etc/hostname"
        assert root.path("/root/up/passwd") == top / "etc/passwd"
        assert root.path("/../../etc") == top / "etc"
        assert root.path("/bin/new") == top / "usr/bin/new"
        with pytest.raises(InputError, match="too many symbolic links"):
            root.path("/root/loop")

    def test_takes_files_and_folders(self, root: Root, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/file").write_text("text")
        root.copy_in(tmp_path / "folder", "/srv/a/folder")
        root.copy_in(tmp_path / "folder/file", "/srv/b/file")
        assert root.run(["cat", "/srv/a/folder/file", "/srv/b/file"]).stdout == "texttext"

    def test_services_do_not_start(self, root: Root) -> None:
        assert root.run(["/usr/sbin/policy-rc.d"], check=False).returncode == 101

    def test_the_host_has_no_mount_of_it(self, root: Root) -> None:
        assert root.run(["cat", "/proc/mounts"]).stdout.count("\n") > 5
        assert str(root.folder) not in host_mounts()


@pytest.mark.root
@pytest.mark.parametrize("copy", [False, True])
def test_an_instance_starts_as_the_image_and_leaves_nothing(bookworm: RootImage, *, copy: bool) -> None:
    with bookworm.instance(copy=copy) as root:
        folder = root.folder
        kind = root.run(["stat", "--file-system", "--format=%T", "/"]).stdout
        assert ("overlay" in kind) is not copy
        root.run(["rm", "/etc/os-release", "/usr/lib/os-release"])
    assert not folder.exists()
    assert str(folder) not in host_mounts()
    with bookworm.instance(copy=copy) as root:
        assert root.path("/etc/os-release").exists()


@pytest.mark.root
def test_sigkill_of_the_opener_ends_everything_inside(bookworm: RootImage) -> None:
    program = """
import sys, time
from pathlib import Path
from debtool.build.image import RootImage
image = RootImage("bookworm", Path(sys.argv[1]), Path(sys.argv[2]))
with image.instance() as root:
    root.start(["sleep", "4242"], log=root.folder / "log")
    print(root.folder, flush=True)
    time.sleep(60)
"""
    opener = subprocess.Popen(
        [sys.executable, "-c", program, str(bookworm.folder), str(bookworm.cache)], stdout=subprocess.PIPE, text=True
    )
    with opener:
        assert opener.stdout is not None
        folder = Path(opener.stdout.readline().strip())
        assert folder.is_dir()
        opener.kill()
    deadline = time.monotonic() + 10
    while _runs("4242") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs("4242")
    with bookworm.instance():
        assert not folder.exists()


def _runs(argument: str) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"sleep\0{argument}\0".encode() in (process / "cmdline").read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


@pytest.mark.root
def test_a_root_is_never_handed_out_before_it_is_apart(bookworm: RootImage) -> None:
    # The holder's root is the host's until it changes it: what is written then would be written into the host.
    before = Path("/etc/hosts").stat().st_mtime_ns
    for _ in range(30):
        with bookworm.instance() as root:
            root.path("/etc/only-inside").touch()
            assert not Path("/etc/only-inside").exists()
            assert root.run(["ls", "/etc/only-inside"]).stdout == "/etc/only-inside\n"
    assert Path("/etc/hosts").stat().st_mtime_ns == before


@pytest.mark.root
def test_after_the_holders_death_nothing_reaches_the_host(bookworm: RootImage) -> None:
    with bookworm.instance() as root:
        root._holder.kill()
        root._holder.wait()
        with pytest.raises(OutsideError):
            root.run(["true"])
        assert root.path("/").stat().st_ino != Path("/").stat().st_ino


@pytest.mark.root
def test_a_closed_root_is_not_used(bookworm: RootImage) -> None:
    with bookworm.instance() as root:
        pass
    for use in (lambda: root.path("/etc"), lambda: root.run(["true"])):
        with pytest.raises(InputError, match="closed"):
            use()


@pytest.mark.root
def test_what_cannot_be_mounted_is_an_error_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "instance").mkdir()
    with pytest.raises(OutsideError, match="root/proc"):
        Root(tmp_path / "image", tmp_path / "instance")
