from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from debtool.host import gradio_patch
from debtool.host.gradio_patch import PatchError, check_behaviour, patched_text

PROGRAM = Path(gradio_patch.__file__)


class Machine:
    """A root of its own with one copy of gradio_client, and the program run against it."""

    path = "/srv/venv/lib/python3.12/site-packages/gradio_client/utils.py"

    def __init__(self, folder: Path, text: bytes, version: str = "1.2.0") -> None:
        self.root = folder
        self.file = folder / self.path.lstrip("/")
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(text)
        (self.file.parent / "package.json").write_text(json.dumps({"version": version}))

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, str(PROGRAM), "--root", str(self.root), *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}

    def one(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        status, report = self.run(*arguments)
        return status, report["copies"][0]


@pytest.fixture
def machine(tmp_path: Path, sample: bytes) -> Machine:
    return Machine(tmp_path, sample)


class TestText:
    def test_only_whole_lines_are_inserted(self, sample: bytes) -> None:
        before, after = sample.splitlines(), patched_text(sample, "full").splitlines()
        rest = iter(after)
        assert all(line in rest for line in before), "every old line, in order"
        assert len(after) == len(before) + 2 * 5

    @pytest.mark.parametrize("level", ["guide", "full"])
    def test_again_changes_nothing(self, sample: bytes, level: str) -> None:
        once = patched_text(sample, level)
        assert patched_text(once, level) == once
        assert once.count(gradio_patch.MARKER.encode()) == {"guide": 2, "full": 5}[level]

    def test_a_second_level_is_added_to_the_first(self, sample: bytes) -> None:
        assert patched_text(patched_text(sample, "guide"), "full") == patched_text(sample, "full")

    def test_line_ends_and_byte_order_mark_stay(self, sample: bytes) -> None:
        windows = b"\xef\xbb\xbf" + sample.replace(b"\n", b"\r\n")
        assert patched_text(windows, "full") == b"\xef\xbb\xbf" + patched_text(sample, "full").replace(b"\n", b"\r\n")
        check_behaviour(windows, patched_text(windows, "full"), "full")

    def test_other_encodings_stay(self, sample: bytes) -> None:
        latin = b"# -*- coding: latin-1 -*-\n# \xe9\xff\n" + sample
        patched = patched_text(latin, "full")
        assert patched.startswith(b"# -*- coding: latin-1 -*-\n# \xe9\xff\n")
        check_behaviour(latin, patched, "full")

    def test_tabs_stay_tabs(self, sample: bytes) -> None:
        tabs = sample.replace(b"    ", b"\t")
        assert b"\tif not isinstance(schema, dict):" in patched_text(tabs, "full")
        check_behaviour(tabs, patched_text(tabs, "full"), "full")

    def test_the_half_patch_is_completed(self, sample: bytes) -> None:
        half = sample.replace(
            b"def get_type(schema: dict):\n",
            b"def get_type(schema: dict):\n    if isinstance(schema, bool): return 'Any'\n",
        )
        patched = patched_text(half, "guide")
        assert patched.count(gradio_patch.MARKER.encode()) == 1
        check_behaviour(sample, patched, "guide")

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            (b"def get_type(", b"def type_of(", "no function get_type"),
            (
                b"class APIInfoParseError",
                b"def get_type(x):\n    return x\n\n\nclass APIInfoParseError",
                "defined twice",
            ),
            (b"        def get_desc(v):\n", b"        def describe(v):\n", "get_desc"),
            (b'schema.get("items", [])', b'schema["items"]', "items"),
            (b"def get_type(schema: dict):", b"def get_type(schema: dict:", "not valid Python"),
            (b"def json_schema_to_python_type(schema: Any)", b"def json_schema_to_python_type()", "takes no argument"),
        ],
    )
    def test_what_is_not_as_expected_is_refused(self, sample: bytes, old: bytes, new: bytes, why: str) -> None:
        assert old in sample
        with pytest.raises(PatchError, match=why):
            patched_text(sample.replace(old, new), "full")

    def test_a_statement_that_shares_its_line_is_refused(self, sample: bytes) -> None:
        with pytest.raises(PatchError, match="does not start its line"):
            patched_text(
                sample.replace(b'    """Name a schema\'s type."""\n    if', b'    """Name."""; x = 1\n    if'), "full"
            )


class TestBehaviour:
    @pytest.mark.parametrize("level", ["guide", "full"])
    def test_a_level_does_what_it_says_and_keeps_the_rest(self, sample: bytes, level: str) -> None:
        check_behaviour(sample, patched_text(sample, level), level)
        assert gradio_patch.level_of(patched_text(sample, level)) == level

    def test_the_pristine_functions_fail(self, sample: bytes) -> None:
        assert gradio_patch.level_of(sample) is None
        with pytest.raises(PatchError, match="additionalProperties: true: TypeError"):
            check_behaviour(sample, sample, "guide")

    def test_a_change_of_other_results_is_refused(self, sample: bytes) -> None:
        changed = patched_text(sample, "full").replace(b'"string": "str"', b'"string": "text"')
        with pytest.raises(PatchError, match="was str"):
            check_behaviour(sample, changed, "full")

    def test_code_that_ends_the_process_is_a_failure(self, sample: bytes) -> None:
        wild = patched_text(sample, "full").replace(b'        return "const"', b"        import os; os.abort()")
        with pytest.raises(PatchError, match="do not run by themselves"):
            check_behaviour(sample, wild, "full")

    def test_the_functions_never_run_as_root(self, sample: bytes) -> None:
        asking = sample.replace(b'        return "const"', b"        import os; return str(os.geteuid())")
        source = gradio_patch.isolated_source(asking)
        answer = gradio_patch.answers_of([source], (("who", "get_type", {"const": 1}, None),))
        assert answer == [[(True, str(os.geteuid() or 65534))]]


class TestPlainCopy:
    def test_apply_status_restore(self, machine: Machine, sample: bytes) -> None:
        assert machine.run("apply", machine.path)[0] == 0
        assert machine.file.read_bytes() == patched_text(sample, "full")
        status, copy = machine.one("status")
        assert (status, copy["state"], copy["by"], copy["level"]) == (0, "patched", "this program", "full")
        assert machine.one("restore")[1]["state"] == "restored"
        assert machine.file.read_bytes() == sample
        assert machine.one("verify")[0] == 1

    def test_a_second_apply_writes_nothing(self, machine: Machine) -> None:
        machine.run("apply", machine.path)
        before = machine.file.stat()
        status, copy = machine.one("apply")
        assert (status, copy["changed"]) == (0, False)
        after = machine.file.stat()  # reading it may move its access time
        assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)

    def test_a_hard_link_elsewhere_stays_as_it_was(self, machine: Machine, tmp_path: Path, sample: bytes) -> None:
        cache = tmp_path / "uv-cache-utils.py"
        os.link(machine.file, cache)
        machine.run("apply", machine.path)
        assert cache.read_bytes() == sample
        assert machine.file.stat().st_nlink == 1

    def test_mode_and_owner_stay(self, machine: Machine) -> None:
        machine.file.chmod(0o640)
        before = machine.file.stat()
        machine.run("apply", machine.path)
        after = machine.file.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)

    def test_a_symbolic_link_is_refused(self, machine: Machine, sample: bytes, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere.py"
        machine.file.rename(elsewhere)
        machine.file.symlink_to(elsewhere)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"]) == (1, "unpatchable")
        assert "symbolic link" in copy["reason"]
        assert elsewhere.read_bytes() == sample

    def test_bytecode_that_hides_the_source_goes(self, machine: Machine) -> None:
        hiding = py_compile.compile(
            str(machine.file), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
        machine.run("apply", machine.path)
        assert not Path(str(hiding)).exists()

    def test_what_fails_leaves_the_file_and_a_record(self, machine: Machine, sample: bytes) -> None:
        broken = sample.replace(b'schema.get("items", [])', b'schema["items"]')
        machine.file.write_bytes(broken)
        assert machine.run("apply", machine.path)[0] == 1
        assert machine.file.read_bytes() == broken
        status, report = machine.run("status")
        assert status == 1
        assert "items" in report["failures"][0]["reason"]
        assert machine.run("apply", machine.path, "--trigger")[0] == 0

    def test_a_hand_written_patch_counts_and_stays(self, machine: Machine, sample: bytes) -> None:
        by_hand = patched_text(sample, "guide").replace(b"  # " + gradio_patch.MARKER.encode(), b"  # by hand")
        machine.file.write_bytes(by_hand)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"], copy["by"], copy["level"]) == (0, "patched", "hand or upstream", "guide")
        assert machine.file.read_bytes() == by_hand

    def test_an_upgraded_file_is_not_overwritten_by_an_old_one(self, machine: Machine, sample: bytes) -> None:
        machine.run("apply", machine.path)
        newer = sample + b"\nNEWER = True\n"
        machine.file.write_bytes(newer)
        status, copy = machine.one("restore")
        assert status == 1
        assert "stays as it is" in copy["reason"]
        assert machine.file.read_bytes() == newer

    def test_a_killed_runs_leftover_does_no_harm(self, machine: Machine, sample: bytes) -> None:
        leftover = machine.file.with_name(f".utils.py.{gradio_patch.MARKER}")
        leftover.write_bytes(b"half")
        machine.run("apply", machine.path)
        assert machine.file.read_bytes() == patched_text(sample, "full")
        assert not leftover.exists()

    @pytest.mark.parametrize(
        ("version", "state"), [("0.6.1", "unaffected"), ("1.8.0", "unaffected"), ("1.7.2", "patched")]
    )
    def test_versions(self, tmp_path: Path, sample: bytes, version: str, state: str) -> None:
        machine = Machine(tmp_path, sample, version)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"], copy["version"]) == (0, state, version)
        assert (machine.file.read_bytes() == sample) is (state == "unaffected")

    def test_where_the_version_is_unknown_behaviour_decides(self, machine: Machine) -> None:
        (machine.file.parent / "package.json").unlink()
        assert machine.one("apply", machine.path)[1]["state"] == "patched"


class TestDivertedCopy:
    @pytest.fixture(autouse=True)
    def _divert(self, machine: Machine) -> None:
        self.spare = machine.file.with_name("utils.py.distrib")
        machine.file.rename(self.spare)
        self.apply = ("apply", "--trigger", "--diverted", f"{machine.path}.distrib", "--to", machine.path)

    def test_written_beside_the_pristine_file(self, machine: Machine, sample: bytes) -> None:
        assert machine.one(*self.apply)[1]["state"] == "patched"
        assert machine.file.read_bytes() == patched_text(sample, "full")
        assert self.spare.read_bytes() == sample

    def test_remembered_for_later_commands(self, machine: Machine) -> None:
        machine.run(*self.apply)
        machine.file.unlink()
        assert machine.one("apply")[1]["changed"] is True

    def test_bytecode_beside_a_diverted_one_is_made_anew(self, machine: Machine) -> None:
        cache = machine.file.parent / "__pycache__"
        cache.mkdir()
        tag = sys.implementation.cache_tag
        (cache / f"utils.{tag}.pyc.distrib").write_bytes(b"dpkg's")
        (cache / "utils.cpython-27.pyc").write_bytes(b"somebody's")
        machine.run(*self.apply)
        header = (cache / f"utils.{tag}.pyc").read_bytes()[:16]
        assert int.from_bytes(header[12:16], "little") == machine.file.stat().st_size
        assert (cache / "utils.cpython-27.pyc").exists()

    def test_what_cannot_be_patched_is_copied(self, machine: Machine) -> None:
        self.spare.write_bytes(b"def get_type(schema): return schema\n")
        status, copy = machine.one(*self.apply)
        assert (status, copy["state"]) == (0, "unpatchable")
        assert machine.file.read_bytes() == self.spare.read_bytes()

    def test_goes_with_its_package(self, machine: Machine) -> None:
        machine.run(*self.apply)
        self.spare.unlink()
        (machine.file.parent / "package.json").unlink()
        status, copy = machine.one(*self.apply)
        assert (status, copy["state"]) == (0, "missing")
        assert not (machine.root / "srv").exists()


@pytest.mark.root
@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("0.6.1", "unaffected"),
        ("0.7.0", "patched"),
        ("0.10.0", "patched"),
        ("0.15.1", "patched"),
        ("1.2.0", "patched"),
        ("1.3.0", "patched"),
        ("1.7.2", "patched"),
        ("1.8.0", "unaffected"),
        ("2.7.2", "unaffected"),
    ],
)
def test_real_releases(tmp_path: Path, cache: Path, version: str, state: str) -> None:
    wheels = cache / "gradio-client"
    name = f"gradio_client-{version}-py3-none-any.whl"
    if not (wheels / name).exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
        subprocess.run([*command, f"gradio_client=={version}"], check=True, capture_output=True)
    with zipfile.ZipFile(wheels / name) as wheel:
        text = wheel.read("gradio_client/utils.py")
    machine = Machine(tmp_path, text, version)
    status, copy = machine.one("apply", machine.path)
    assert (status, copy["state"]) == (0, state)
    assert (machine.file.read_bytes() != text) is (state == "patched")


class TestCommandLine:
    def test_configured_copies(self, machine: Machine) -> None:
        folder = machine.root / "etc/cheesegrater/gradio-patch.d"
        folder.mkdir(parents=True)
        (folder / "mine.conf").write_text(f"# mine\npath = {machine.path}\n")
        assert machine.one("status")[1]["state"] == "unpatched"
        (folder / "mine.conf").write_text("path: here\n")
        status, report = machine.run("status")
        assert status == 2
        assert "mine.conf, line 1" in report["error"]

    def test_nothing_known_is_no_finding(self, tmp_path: Path) -> None:
        command = [sys.executable, str(PROGRAM), "--root", str(tmp_path), "status"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "no copy is recorded or configured\n"

    @pytest.mark.parametrize(
        "arguments", [["apply", "utils.py"], ["apply", "--diverted", "/a/utils.py.distrib"], ["fly"]]
    )
    def test_usage(self, tmp_path: Path, arguments: list[str]) -> None:
        command = [sys.executable, str(PROGRAM), "--root", str(tmp_path), *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2

    def test_the_system_in_the_way(self, machine: Machine) -> None:
        (machine.root / "var").write_text("not a folder")
        assert machine.run("apply", machine.path)[0] == 3
        assert machine.run("apply", machine.path, "--trigger")[0] == 0

    def test_verify_asks_the_interpreter_itself(self, machine: Machine, sample: bytes) -> None:
        importable = sample.replace(b"import a_module_that_is_not_installed\n", b"")
        importable = importable.replace(b'a_module_that_is_not_installed.version("gradio_client")', b'"1.2.0"')
        machine.file.write_bytes(importable)
        (machine.file.parent / "__init__.py").write_text("")
        wrapper = machine.root / "python"
        site = machine.file.parent.parent
        wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} "$@"\n')
        wrapper.chmod(0o755)
        machine.run("apply", machine.path)
        status, copy = machine.one("verify", "--python", str(wrapper))
        assert (status, copy["verified"]) == (0, f"imported by {wrapper}")

    def test_a_copy_that_cannot_be_imported_is_unverified_not_failed(self, machine: Machine) -> None:
        machine.run("apply", machine.path)
        status, copy = machine.one("verify", "--python", sys.executable)
        assert (status, copy["state"], copy["verified"]) == (0, "patched", None)
