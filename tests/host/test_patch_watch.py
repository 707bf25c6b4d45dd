"""Installers at work: what is half there is waited for, and what comes is patched within two seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patches import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.wheels import TinyWheels

pytestmark = pytest.mark.slow

ASK = "from gradio_client import utils; print(utils.json_schema_to_python_type(True), utils.V)"
MARKER = b"cheesegrater-gradio-patch"
PATIENCE = 30.0
"""Seconds: the promise of two is not for a test machine that is busy with something else."""


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def patched(file: Path) -> bool:
    try:
        return MARKER in file.read_bytes()
    except FileNotFoundError:
        return False


@pytest.fixture
def machine(tmp_path: Path, sample: bytes) -> Machine:
    machine = Machine(tmp_path, sample)
    machine.at("/srv/venv/pyvenv.cfg").touch()
    machine.configure("root = /srv/*")
    return machine


@contextmanager
def watching(machine: Machine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        machine.command("watch", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert wait_for(lambda: patched(machine.file))
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, "Traceback" in errors) == (0, False), output + errors


def half_install(machine: Machine, text: bytes, site: str) -> Path:
    """Install as far as pip does before it writes RECORD; return where RECORD belongs."""
    machine.install(text, site=site)
    record = next(machine.at(site).glob("*.dist-info")) / "RECORD"
    record.unlink()
    return record


class TestWatch:
    # Without a C library that knows inotify, or without watches to be had, it polls.
    @pytest.mark.parametrize("limit", ["", "polling"])
    def test_what_is_installed_is_patched(self, machine: Machine, sample: bytes, limit: str) -> None:
        if limit:
            launcher = machine.launcher.read_text()
            without = "from patcher import watching\nwatching.Inotify.open = lambda: None\n"
            machine.launcher.write_text(launcher.replace("from patcher.main", f"{without}from patcher.main"))
        with watching(machine, "--interval", "0.2"):
            upgraded = sample + b"\nNEWER = True\n"
            information = next(machine.site.glob("*.dist-info"))
            shutil.rmtree(information)
            machine.file.unlink()
            machine.install(upgraded, site="/srv/venv/lib/python3.12/site-packages", version="1.3.0")
            assert wait_for(lambda: patched(machine.file))
            assert b"NEWER" in machine.file.read_bytes()
            other = "/srv/other/lib/python3.12/site-packages"
            machine.at("/srv/other").mkdir()
            machine.at("/srv/other/pyvenv.cfg").touch()
            time.sleep(0.5)
            record = half_install(machine, sample, other)
            time.sleep(1)
            file = machine.at(other) / "gradio_client/utils.py"
            assert file.read_bytes() == sample, "it is being installed"
            record.touch()
            assert wait_for(lambda: patched(file))

    def test_configuration_that_comes_and_is_wrong(self, machine: Machine, sample: bytes) -> None:
        with watching(machine) as process:
            machine.configure("nonsense", name="wrong.conf")
            time.sleep(1)
            assert process.poll() is None
            site = "/opt/x"
            file = machine.install(sample, site=site)
            machine.configure("root = /opt/x", name="wrong.conf")
            assert wait_for(lambda: patched(file))

    def test_it_rests_when_nothing_happens(self, machine: Machine) -> None:
        with watching(machine) as process:
            time.sleep(3)  # its own changes are looked at once more
            before = Path(f"/proc/{process.pid}/stat").read_text().split()[13:17]
            time.sleep(2)
            assert Path(f"/proc/{process.pid}/stat").read_text().split()[13:17] == before


class TestSettle:
    def test_a_half_installed_copy_is_told(self, machine: Machine, sample: bytes) -> None:
        record = half_install(machine, sample, "/srv/venv/lib/python3.12/site-packages")
        status, copy = machine.one("apply")
        assert (status, copy["state"]) == (1, "installing")
        assert copy["fix"].startswith("wait for the installer")
        assert machine.file.read_bytes() == sample
        assert machine.run("apply", "--trigger")[0] == 0
        record.touch()
        assert machine.one("apply")[1]["state"] == "patched"
        assert machine.run("status")[0] == 0

    def test_it_is_waited_for(self, machine: Machine, sample: bytes) -> None:
        record = half_install(machine, sample, "/srv/venv/lib/python3.12/site-packages")
        command = machine.command("apply", "--settle", "60", "--quiet-unless-changed")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            time.sleep(1.5)
            assert process.poll() is None
            record.touch()
            assert wait_for(lambda: patched(machine.file))
            machine.run("apply", machine.path)  # nothing holds the lock while it waits
            process.terminate()

    def test_but_not_for_ever(self, machine: Machine, sample: bytes) -> None:
        half_install(machine, sample, "/srv/venv/lib/python3.12/site-packages")
        status, copy = machine.one("apply", "--settle", "1")
        assert (status, copy["state"]) == (1, "installing")

    def test_a_new_environment_is_waited_for_and_a_full_one_is_not(self, machine: Machine, sample: bytes) -> None:
        old = time.time() - 1000
        for path in machine.root.rglob("*"):
            if path.is_dir():
                os.utime(path, (old, old))
        (machine.at("/srv") / "a file that comes and goes").touch()
        began = time.monotonic()
        assert machine.plain("apply", "--settle", "300").returncode == 0
        assert time.monotonic() - began < 200
        machine.at("/srv/new").mkdir()
        machine.at("/srv/new/pyvenv.cfg").touch()
        command = machine.command("apply", "--settle", "60", "--json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            time.sleep(1.5)
            file = machine.install(sample, site="/srv/new/lib/python3.12/site-packages")
            assert wait_for(lambda: patched(file))
            process.terminate()


class TestPip:
    """The real pip, in a real environment, on wheels of a made-up gradio_client."""

    @pytest.fixture
    def machine(self, open_path: Path, importable: bytes, tiny_index: TinyWheels) -> Machine:
        for version in ("1.2.0", "1.3.0"):
            files = {
                "gradio_client/__init__.py": b"",
                "gradio_client/utils.py": importable + f"V = {version!r}\n".encode(),
            }
            tiny_index.wheel("gradio-client", version, body=None, files=files)
        machine = Machine(open_path, b"")
        shutil.rmtree(machine.at("/srv/venv"))
        venv.create(machine.at("/srv/venv"), symlinks=True)
        self.python = machine.at("/srv/venv/bin/python")
        site = next(machine.at("/srv/venv/lib").glob("python3*")) / "site-packages"
        machine.file = site / "gradio_client/utils.py"
        machine.configure("search = /srv")
        return machine

    def pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "--quiet", "--no-input"]
        subprocess.run([*command, *arguments], check=True, capture_output=True)

    def test_upgrade_and_reinstall_under_watch(self, machine: Machine) -> None:
        self.pip("install", "gradio_client==1.2.0")
        with watching(machine):
            for arguments, version in (
                (("-U", "gradio_client"), b"1.3.0"),
                (("--force-reinstall", "gradio_client"), b"1.3.0"),
                (("gradio_client==1.2.0",), b"1.2.0"),
            ):
                self.pip("install", *arguments)
                assert wait_for(lambda: patched(machine.file))
                assert version in machine.file.read_bytes()
        assert machine.run("status")[0] == 0

    def test_pip_at_the_same_moment(self, machine: Machine) -> None:
        """Whatever the two do to one another, the file is whole and of the installed version in the end."""
        self.pip("install", "gradio_client==1.2.0")
        for number in range(6):
            version = ("1.3.0", "1.2.0")[number % 2]
            command = machine.command("apply", "--settle", "20")
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
                self.pip("install", f"gradio_client=={version}")
            assert machine.run("apply")[0] == 0
            text = machine.file.read_bytes()
            assert f"V = '{version}'".encode() in text
            assert MARKER in text
            checked = subprocess.run([str(self.python), "-c", ASK], check=True, capture_output=True, text=True)
            assert checked.stdout == f"Any {version}\n"
