"""The program as a user, dpkg and a unit run it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from debtool.host import patcher
from tests.support.patches import Machine, gradio, write_patch

HOME = "/srv/venv/lib/python3.12/site-packages"


@pytest.fixture
def machine(tmp_path: Path, sample: bytes) -> Machine:
    machine = Machine(tmp_path, sample)
    machine.at("/srv/venv/pyvenv.cfg").touch()
    machine.configure("search = /srv")
    return machine


class TestCommands:
    def test_the_json_says_what_it_is(self, machine: Machine) -> None:
        report = machine.run("status")[1]
        assert {key: report[key] for key in ("schema", "package", "command", "failures")} == {
            "schema": 2, "package": "cheesegrater-gradio-patch", "command": "status", "failures": [],
        }  # fmt: skip
        keys = (
            "path state reason version affected level by diverted changed pristine_sha256 patched_sha256 verified time"
        )
        assert set(keys.split()) <= report["copies"][0].keys()

    def test_status_tells_all_there_is_to_know(self, machine: Machine) -> None:
        (machine.site / "pydantic-2.11.10.dist-info").mkdir()
        before = machine.plain("status")
        assert before.returncode == 1
        assert before.stdout == ""
        assert f"unpatched: {machine.path} (gradio_client 1.2.0): boolean schemas fail" in before.stderr
        machine.plain("apply")
        after = machine.plain("status")
        assert (after.returncode, after.stderr) == (0, "")
        for told in (
            f"patched: {machine.path} (gradio_client 1.2.0): it behaves, level full\n",
            "    affected: yes\n",
            "    needed: pydantic 2.11.10 is 2.11 or later\n",
            "    made to behave by this program, level full\n",
            "    verified: functions in isolation, 2",
            "    not verified by import: no interpreter of this copy is known\n",
            "    prevention offered: ",
            "    known from /etc/cheesegrater/gradio-patch.d/mine.conf, line 1\n",
        ):
            assert told in after.stdout

    def test_status_may_tell_of_problems_only(self, machine: Machine) -> None:
        machine.run("apply", machine.path)
        done = machine.plain("status", "--problems")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert machine.run("status", "--problems") == (0, {**machine.run("status")[1], "copies": []})
        broken = machine.install(b"x = (\n", site="/srv/broken")
        assert machine.run("apply", "/srv/broken/gradio_client/utils.py")[0] == 1
        done = machine.plain("status", "--problems")
        assert (done.returncode, done.stdout) == (1, "")
        first, *_, last = done.stderr.splitlines()
        assert first.startswith("unpatchable: /srv/broken/gradio_client/utils.py")
        assert last.startswith("earlier failure: /srv/broken/gradio_client/utils.py: not valid Python")
        assert machine.path not in done.stderr
        assert broken.read_bytes() == b"x = (\n"

    def test_list_runs_nothing(self, machine: Machine) -> None:
        copy = machine.one("list")[1]
        assert (copy["state"], copy["reason"]) == ("unpatched", "this program's mark is not in it")
        machine.run("apply")
        assert machine.one("list")[1]["state"] == "patched"

    def test_nothing_known_is_no_finding(self, machine: Machine) -> None:
        shutil.rmtree(machine.settings)
        done = machine.plain("status")
        assert (done.returncode, done.stdout) == (0, "no copy is recorded or configured\n")

    def test_a_wrong_configuration_is_one_error(self, machine: Machine) -> None:
        machine.configure("path: here")
        for command in ("status", "apply", "list", "verify", "restore"):
            done = machine.plain(command)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.count("\n") == 1
            assert "/etc/cheesegrater/gradio-patch.d/mine.conf, line 1: 'path: here': expected" in done.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["apply", "utils.py"],
            ["apply", "--diverted", "/a/utils.py.distrib"],
            ["apply", "--diverted", "/b/utils.py.distrib", "--to", "/a/utils.py"],
            ["apply", "--diverted", "/a/utils.py.d", "--to", "/a/utils.py", "/c"],
            ["apply", "--level", "most"],
            ["fly"],
            [],
        ],
    )
    def test_usage(self, machine: Machine, arguments: list[str]) -> None:
        done = machine.plain(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(("usage: cheesegrater-gradio-patch", "cheesegrater-gradio-patch: "))

    def test_the_system_in_the_way(self, machine: Machine) -> None:
        (machine.root / "var").write_text("not a folder")
        assert machine.run("apply")[0] == 3
        assert machine.run("apply", "--trigger")[0] == 0

    def test_a_damaged_package(self, machine: Machine) -> None:
        write_patch(machine.share, gradio(levels=["other"]))
        for arguments in (["status"], ["apply", "--trigger"]):
            done = machine.plain(*arguments)
            assert done.returncode == 3
            assert "patch.json: ships: full is none of levels; fix: reinstall its package" in done.stderr

    def test_the_output_may_be_cut_off(self, machine: Machine) -> None:
        command = " ".join(f"'{part}'" for part in machine.command("status", "--json"))
        done = subprocess.run(
            ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], capture_output=True, check=False
        )
        assert done.returncode in {1, 3}
        assert b"Traceback" not in done.stderr


class TestTrigger:
    def test_a_wrong_line_does_not_keep_dpkgs_copy_unpatched(self, tmp_path: Path, sample: bytes) -> None:
        path = f"{HOME}/gradio_client/utils.py"
        machine = Machine(tmp_path, sample, gradio(diverted={"target": path, "pristine": f"{path}.distrib"}))
        machine.file.rename(f"{machine.file}.distrib")
        machine.configure("nonsense")
        done = machine.plain("apply", "--trigger")
        assert done.returncode == 0
        assert "mine.conf, line 1" in done.stderr
        assert b"cheesegrater-gradio-patch" in machine.file.read_bytes()

    def test_even_a_defect_of_the_program_stops_no_dpkg(self, machine: Machine) -> None:
        (machine.share / "patcher").unlink()
        shutil.copytree(Path(patcher.__file__).parent, machine.share / "patcher")
        (machine.share / "patcher/places.py").write_text("raise KeyError('a defect')\n")
        done = machine.plain("apply", "--trigger")
        assert done.returncode == 0
        assert "a defect" in done.stderr
        assert machine.plain("apply").returncode == 1

    def restarting(self, tmp_path: Path, sample: bytes) -> tuple[Machine, Path]:
        path = f"{HOME}/gradio_client/utils.py"
        machine = Machine(tmp_path, sample, gradio(diverted={"target": path, "pristine": f"{path}.distrib"}))
        machine.file.rename(f"{machine.file}.distrib")
        log = tmp_path / "restarts"
        log.touch()
        invoke = machine.at("/usr/bin/deb-systemd-invoke")
        invoke.parent.mkdir(parents=True)
        invoke.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
        invoke.chmod(0o755)
        return machine, log

    def test_services_are_restarted_only_for_a_real_change(self, tmp_path: Path, sample: bytes) -> None:
        machine, log = self.restarting(tmp_path, sample)
        arguments = ("apply", "--trigger", "--restart-changed")
        machine.run(*arguments)
        assert log.read_text() == "", "no systemd"
        machine.at("/run/systemd/system").mkdir(parents=True)
        machine.file.unlink()
        machine.run("apply", "--trigger")
        assert log.read_text() == "", "not asked for"
        machine.run(*arguments)
        assert log.read_text() == "", "nothing changed"
        machine.file.unlink()
        machine.run(*arguments)
        assert log.read_text() == "try-restart cheesegrater-forge.service\n"

    @pytest.mark.parametrize(("status", "restarts"), [("install ok installed", 1), ("install ok unpacked", 0)])
    def test_a_package_that_is_upgraded_restarts_by_itself(
        self, tmp_path: Path, sample: bytes, status: str, restarts: int
    ) -> None:
        machine, log = self.restarting(tmp_path, sample)
        machine.at("/run/systemd/system").mkdir(parents=True)
        database = machine.at("/var/lib/dpkg/status")
        database.parent.mkdir(parents=True)
        database.write_text(
            f"Package: cheesegrater-forge\nStatus: {status}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: T <t@example.org>\nDescription: t\n\n"
        )
        machine.run("apply", "--trigger", "--restart-changed")
        assert len(log.read_text().splitlines()) == restarts


class TestNothingToDo:
    def loaded(self, machine: Machine, *arguments: str) -> tuple[str, set[str]]:
        command = machine.command(*arguments)
        done = subprocess.run(
            [*command[:1], "-X", "importtime", *command[1:]], capture_output=True, text=True, check=True
        )
        return done.stdout, {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    def settled(self, machine: Machine) -> None:
        for _ in range(3):  # the run after a change looks again: another change may follow within one tick
            assert machine.plain("apply").returncode == 0

    def test_is_told_by_stat_alone(self, machine: Machine) -> None:
        self.settled(machine)
        output, loaded = self.loaded(machine, "apply")
        assert output == "nothing has changed since the last run: 1 copies are well\n"
        heavy = {"ast", "subprocess", "hashlib", "argparse", "pathlib", "dataclasses", "typing", "tokenize", "inspect"}
        assert loaded & heavy == set()
        assert self.loaded(machine, "apply", "--quiet-unless-changed", "--settle", "30")[0] == ""

    @pytest.mark.parametrize(
        "change",
        [
            "file",
            "touch",
            "info",
            "configuration",
            "new configuration",
            "new copy",
            "document",
            "pydantic",
            "restore",
        ],
    )
    def test_every_change_is_noticed(self, machine: Machine, sample: bytes, change: str) -> None:
        machine.at("/srv/other/lib").mkdir(parents=True)
        self.settled(machine)
        information = next(machine.site.glob("*.dist-info"))
        if change == "file":
            machine.file.write_bytes(sample)
        elif change == "touch":
            os.utime(machine.file)
        elif change == "info":
            (information / "REQUESTED").touch()
        elif change == "configuration":
            machine.configure("search = /srv", "search = /opt")
        elif change == "new configuration":
            machine.configure("root = /opt/x", name="other.conf")
        elif change == "new copy":
            machine.at("/srv/other/pyvenv.cfg").touch()
            machine.install(sample, site="/srv/other/lib/python3.12/site-packages")
        elif change == "document":
            write_patch(machine.share, machine.document)
        elif change == "pydantic":
            (machine.site / "pydantic-2.11.dist-info").mkdir()
        else:
            machine.run("restore")
        done = machine.plain("apply")
        assert done.returncode == 0
        assert "nothing has changed" not in done.stdout
        assert machine.run("status")[0] == 0

    def test_other_options_are_another_question(self, machine: Machine) -> None:
        self.settled(machine)
        assert "nothing has changed" not in machine.plain("apply", "--level", "guide").stdout
        assert "nothing has changed" not in machine.plain("apply", machine.path).stdout
        assert machine.run("apply")[1]["copies"][0]["state"] == "patched"

    def test_what_is_not_well_is_looked_at_each_time(self, machine: Machine) -> None:
        machine.file.write_bytes(b"x = (\n")
        for _ in range(3):
            assert machine.plain("apply").returncode == 1

    def test_quiet_unless_changed(self, machine: Machine) -> None:
        assert "patched" in machine.plain("apply", "--quiet-unless-changed").stdout
        assert machine.plain("apply", "--quiet-unless-changed").stdout == ""
        machine.file.write_bytes(b"x = (\n")
        assert "unpatchable" in machine.plain("apply", "--quiet-unless-changed").stderr


@pytest.mark.root
class TestUsers:
    """Root stays out of homes; a user patches what is his."""

    @pytest.fixture
    def ann(self, open_path: Path, sample: bytes) -> Machine:
        # The interpreter that runs this may be one that only root reads: the system's runs the program here.
        machine = Machine(open_path, sample, site="/home/ann/.local/lib/python3.12/site-packages")
        (machine.share / "patcher").unlink()
        shutil.copytree(Path(patcher.__file__).parent, machine.share / "patcher")
        machine.install(sample, site="/usr/local/lib/python3.12/dist-packages")
        machine.configure("root = /usr/local/lib/python3*/dist-packages", "root = ~/.local/lib/python3*/site-packages")
        subprocess.run(["chown", "-R", "4242:4242", str(machine.at("/home/ann"))], check=True)
        return machine

    def as_ann(self, machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
        home = str(machine.at("/home/ann"))
        state = ["--state", f"{home}/.local/state/x"]
        # Below --root a home is named as on the machine, so HOME is.
        return subprocess.run(
            ["/usr/bin/python3", *machine.command(*state, *arguments)[1:]], user=4242, group=4242, extra_groups=[],
            env={"HOME": "/home/ann", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def test_each_patches_its_own(self, ann: Machine, sample: bytes) -> None:
        system = ann.at("/usr/local/lib/python3.12/dist-packages/gradio_client/utils.py")
        assert [copy["path"] for copy in ann.run("apply")[1]["copies"]] == [
            "/usr/local/lib/python3.12/dist-packages/gradio_client/utils.py"
        ]
        assert ann.file.read_bytes() == sample
        assert b"cheesegrater" in system.read_bytes()
        done = self.as_ann(ann, "apply")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"patched: {ann.path}")
        assert done.stdout.count("\n") == 1, "the system's copy is not hers"
        assert (ann.file.stat().st_uid, ann.file.stat().st_gid) == (4242, 4242)
        assert self.as_ann(ann, "restore").returncode == 0
        assert ann.file.read_bytes() == sample

    def test_root_is_told_to_leave_it(self, ann: Machine, sample: bytes) -> None:
        status, copy = ann.one("apply", ann.path)
        assert (status, copy["state"]) == (1, "unpatchable")
        assert "/home/ann is a home of user 4242: root touches nothing there; run this as that user" in copy["reason"]
        assert ann.file.read_bytes() == sample

    def test_what_may_not_be_written_is_told_with_the_hook(self, ann: Machine) -> None:
        done = self.as_ann(ann, "apply", "/usr/local/lib/python3.12/dist-packages/gradio_client/utils.py")
        assert done.returncode == 3
        assert "Permission denied" in done.stderr
        assert f"fix: make it writable, or patch at import: PYTHONPATH={ann.share}/patcher/hook" in done.stderr

    def test_a_read_only_file_system(self, ann: Machine) -> None:
        site = ann.at("/usr/local")
        script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, str(site), *ann.command("apply", "--json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        (copy,) = json.loads(done.stdout)["copies"]
        assert (done.returncode, copy["state"]) == (3, "error")
        assert "Read-only file system" in copy["reason"]
        assert "PYTHONPATH=" in copy["fix"]


def test_it_runs_on_the_oldest_python_in_words(machine: Machine) -> None:
    """No module of the engine uses what Python 3.10 has not: it is compiled with that version's grammar."""
    files = sorted(Path(patcher.__file__).parent.rglob("*.py"))
    assert len(files) > 15
    for file in files:
        ast.parse(file.read_text(), feature_version=(3, 10))
    assert sys.version_info >= (3, 11)
    assert machine.run("list")[0] == 0
