"""What becomes of one copy: examined, patched, verified, restored."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from debtool.host.patcher import examining, patching
from debtool.host.patcher.commands import Program
from debtool.host.patcher.errors import ChangedError
from debtool.host.patcher.options import plain
from debtool.host.patcher.recipe import parse
from debtool.host.patcher.text import patched_text
from tests.support.patches import TINY_TEXT, Machine, gradio, tiny

RECIPE = parse(gradio(), "patch.json")
MARKER = RECIPE.marker.encode()


@pytest.fixture
def machine(tmp_path: Path, sample: bytes) -> Machine:
    return Machine(tmp_path, sample)


def full(text: bytes) -> bytes:
    return patched_text(text, RECIPE, "full")


class TestPlainCopy:
    def test_apply_status_restore(self, machine: Machine, sample: bytes) -> None:
        assert machine.run("apply", machine.path)[0] == 0
        assert machine.file.read_bytes() == full(sample)
        status, copy = machine.one("status")
        assert (status, copy["state"], copy["by"], copy["level"]) == (0, "patched", "this program", "full")
        assert copy["verified"] == "functions in isolation"
        assert machine.one("restore")[1]["state"] == "restored"
        assert machine.file.read_bytes() == sample
        assert machine.one("verify")[0] == 1

    def test_copies_are_kept_by_version_and_hash(self, machine: Machine, sample: bytes) -> None:
        machine.run("apply", machine.path)
        kept = {file.name for file in (machine.state / "copies/1.2.0").iterdir()}
        assert kept == {f"{hashlib.sha256(text).hexdigest()}.py" for text in (sample, full(sample))}
        record = json.loads(next((machine.state / "records").iterdir()).read_text())
        assert record["schema"] == 2
        assert record["pristine_sha256"] == hashlib.sha256(sample).hexdigest()

    def test_a_second_apply_writes_nothing(self, machine: Machine) -> None:
        machine.run("apply", machine.path)
        before = machine.file.stat()
        status, copy = machine.one("apply")
        assert (status, copy["changed"]) == (0, False)
        after = machine.file.stat()  # reading it may move its access time
        assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)

    def test_levels_add_to_one_another(self, machine: Machine, sample: bytes) -> None:
        assert machine.one("apply", "--level", "guide", machine.path)[1]["level"] == "guide"
        assert machine.file.read_bytes() == patched_text(sample, RECIPE, "guide")
        status, copy = machine.one("apply")
        assert (status, copy["level"], copy["changed"]) == (0, "full", True)
        assert copy["pristine_sha256"] == hashlib.sha256(sample).hexdigest(), "not the text of the first level"
        assert machine.one("apply", "--level", "guide")[1]["level"] == "full"
        machine.run("restore")
        assert machine.file.read_bytes() == sample

    def test_a_hard_link_elsewhere_stays_as_it_was(self, machine: Machine, tmp_path: Path, sample: bytes) -> None:
        cache = tmp_path / "uv-cache-utils.py"
        os.link(machine.file, cache)
        machine.run("apply", machine.path)
        assert cache.read_bytes() == sample
        assert machine.file.stat().st_nlink == 1

    def test_environments_that_share_an_inode_are_both_patched(self, machine: Machine, sample: bytes) -> None:
        other = machine.install(sample, site="/srv/other/lib/python3.12/site-packages")
        other.unlink()
        os.link(machine.file, other)
        for name in ("venv", "other"):
            machine.at(f"/srv/{name}/pyvenv.cfg").touch()
        machine.configure("search = /srv")
        assert machine.run("apply")[0] == 0
        assert machine.file.read_bytes() == other.read_bytes() == full(sample)

    def test_a_symbolic_link_is_refused(self, machine: Machine, sample: bytes, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere.py"
        machine.file.rename(elsewhere)
        machine.file.symlink_to(elsewhere)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"]) == (1, "unpatchable")
        assert "symbolic link" in copy["reason"]
        assert elsewhere.read_bytes() == sample

    def test_bytecode_that_hides_the_source_goes(self, machine: Machine) -> None:
        def hide() -> Path:
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            return Path(str(py_compile.compile(str(machine.file), doraise=True, invalidation_mode=mode)))

        hiding = hide()
        machine.run("apply", machine.path)
        assert not hiding.exists() or hiding.read_bytes()[4] == 0
        hiding = hide()  # as a run that was killed leaves it
        machine.run("apply")
        assert not hiding.exists()

    def test_what_fails_leaves_the_file_and_a_record(self, machine: Machine, sample: bytes) -> None:
        broken = sample.replace(b'schema.get("items", [])', b'schema["itemz"]')
        machine.file.write_bytes(broken)
        assert machine.run("apply", machine.path)[0] == 1
        assert machine.file.read_bytes() == broken
        status, report = machine.run("status")
        assert status == 1
        (failure,) = report["failures"]
        assert "items" in failure["reason"]
        assert Path(failure["record"]).is_file()
        assert machine.run("apply", machine.path, "--trigger")[0] == 0

    def test_every_copy_is_told_of_and_one_that_fails_stops_none(self, machine: Machine, sample: bytes) -> None:
        machine.file.write_bytes(b"x = (\n")
        sites = [f"/srv/{name}/lib/python3.12/site-packages" for name in ("later", "middle")]
        good = [machine.install(sample, site=site) for site in sites]
        paths = [machine.path, *(f"{site}/{machine.document['file']}" for site in sites)]
        status, report = machine.run("apply", *paths)
        assert (status, [copy["state"] for copy in report["copies"]]) == (1, ["unpatchable", "patched", "patched"])
        assert [file.read_bytes() for file in good] == [full(sample)] * 2

    def test_a_failure_is_forgotten_when_the_copy_is_well(self, machine: Machine, sample: bytes) -> None:
        machine.file.write_bytes(b"x = (\n")
        assert machine.run("apply", machine.path)[0] == 1
        by_hand = full(sample).replace(MARKER, b"by hand")
        machine.file.write_bytes(by_hand)
        assert machine.run("apply")[0] == 0
        assert machine.run("status")[0] == 0

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (b"x = (\n", "not valid Python"),
            (b"def get_type(x):\n    return x\n", "there is no function"),
            (b"", "no function"),
        ],
    )
    def test_what_cannot_be_patched_is_told(self, machine: Machine, text: bytes, why: str) -> None:
        machine.file.write_bytes(text)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"]) == (1, "unpatchable")
        assert why in copy["reason"]
        assert machine.file.read_bytes() == text

    def test_a_guard_that_does_not_help_is_not_left(self, tmp_path: Path, sample: bytes) -> None:
        document = gradio()
        document["edits"][1]["then"] = 'return "Wrong"'
        machine = Machine(tmp_path, sample, document)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"]) == (1, "unpatchable")
        assert "do not behave: additionalProperties: true: Dict(str, Wrong)" in copy["reason"]
        assert machine.file.read_bytes() == sample

    def test_a_hand_written_patch_counts_and_stays(self, machine: Machine, sample: bytes) -> None:
        by_hand = patched_text(sample, RECIPE, "guide").replace(b"  # " + MARKER, b"  # by hand")
        machine.file.write_bytes(by_hand)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"], copy["by"], copy["level"]) == (0, "patched", "hand", "guide")
        assert machine.file.read_bytes() == by_hand

    def test_hand_and_upstream_are_told_apart_by_record(self, machine: Machine, sample: bytes) -> None:
        mended = full(sample).replace(MARKER, b"mended")
        machine.file.write_bytes(mended)
        listed = base64.urlsafe_b64encode(hashlib.sha256(mended).digest()).rstrip(b"=").decode()
        record = next(machine.site.glob("*.dist-info")) / "RECORD"
        record.write_text(f"gradio_client/utils.py,sha256={listed},{len(mended)}\n")
        assert machine.one("status", machine.path)[1]["by"] == "upstream"
        machine.file.write_bytes(mended + b"# mine\n")
        assert machine.one("status", machine.path)[1]["by"] == "hand"

    def test_an_upgraded_file_is_not_overwritten_by_an_old_one(self, machine: Machine, sample: bytes) -> None:
        machine.run("apply", machine.path)
        newer = sample + b"\nNEWER = True\n"
        machine.file.write_bytes(newer)
        status, copy = machine.one("restore", machine.path)
        assert status == 1
        assert "stays as it is" in copy["reason"]
        assert machine.file.read_bytes() == newer

    def test_an_old_versions_file_is_not_put_over_a_newer_version(self, machine: Machine, sample: bytes) -> None:
        machine.run("apply", machine.path)
        info = next(machine.site.glob("*.dist-info"))
        info.rename(info.with_name("gradio_client-1.3.0.dist-info"))
        status, copy = machine.one("restore")
        assert (status, copy["state"]) == (1, "unpatchable")
        assert "the kept file is of 1.2.0, 1.3.0 is installed" in copy["reason"]
        assert machine.file.read_bytes() == full(sample)

    def test_a_damaged_or_lost_copy_is_made_from_the_patched_text(self, machine: Machine, sample: bytes) -> None:
        for lost in (False, True):
            machine.run("apply", machine.path)
            for file in (machine.state / "copies/1.2.0").iterdir():
                file.write_text("x")
                if lost:
                    file.unlink()
            assert machine.one("restore")[1]["state"] == "restored"
            assert machine.file.read_bytes() == sample

    def test_restore_without_a_record(self, machine: Machine, sample: bytes) -> None:
        machine.file.write_bytes(full(sample))
        assert machine.one("restore", machine.path)[1]["state"] == "restored"
        assert machine.file.read_bytes() == sample
        status, copy = machine.one("restore", machine.path)
        assert (status, copy["state"]) == (1, "unpatchable")
        assert machine.run("restore")[1]["copies"] == []

    def test_a_killed_runs_leftover_goes(self, machine: Machine, sample: bytes) -> None:
        leftover = machine.file.with_name(f".utils.py.{RECIPE.marker}")
        leftover.write_bytes(b"half")
        machine.run("apply", machine.path)
        assert machine.file.read_bytes() == full(sample)
        assert not leftover.exists()
        leftover.write_bytes(b"half")
        machine.run("apply")
        assert not leftover.exists()

    def test_a_lost_record_is_made_anew(self, machine: Machine, sample: bytes) -> None:
        machine.run("apply", machine.path)
        for file in (machine.state / "records").iterdir():
            file.unlink()
        copy = machine.one("apply", machine.path)[1]
        assert (copy["changed"], copy["pristine_sha256"]) == (False, hashlib.sha256(sample).hexdigest())
        assert machine.one("restore")[1]["state"] == "restored"

    @pytest.mark.parametrize(
        ("version", "state", "by"),
        [("0.6.1", "unaffected", None), ("1.8.0", "unaffected", "upstream"), ("1.7.2", "patched", "this program")],
    )
    def test_versions(self, tmp_path: Path, sample: bytes, version: str, state: str, by: str | None) -> None:
        machine = Machine(tmp_path, sample, version=version)
        status, copy = machine.one("apply", machine.path)
        assert (status, copy["state"], copy["version"], copy["by"]) == (0, state, version, by)
        assert (machine.file.read_bytes() == sample) is (state == "unaffected")

    def test_where_the_version_is_unknown_behaviour_decides(self, tmp_path: Path, sample: bytes) -> None:
        machine = Machine(tmp_path, sample, version=None)
        assert machine.one("apply", machine.path)[1]["state"] == "patched"
        assert [folder.name for folder in (machine.state / "copies").iterdir()] == ["unknown"]

    def test_a_version_that_is_no_folders_name(self, tmp_path: Path, sample: bytes) -> None:
        machine = Machine(tmp_path, sample, version=None)
        (machine.file.parent / "package.json").write_text('{"version": "../../../1"}')
        assert machine.one("apply", machine.path)[1]["state"] == "patched"
        assert [folder.name for folder in (machine.state / "copies").iterdir()] == ["unknown"]

    def test_a_copy_that_went_away_is_forgotten(self, machine: Machine) -> None:
        machine.at("/srv/venv/pyvenv.cfg").touch()
        machine.configure("root = /srv/venv")
        assert machine.run("apply")[0] == 0
        machine.file.unlink()
        machine.run("apply")
        machine.run("apply")
        assert list((machine.state / "records").iterdir()) == []

    def test_needed_and_prevention(self, machine: Machine) -> None:
        machine.at("/srv/venv/pyvenv.cfg").touch()
        copy = machine.one("status", machine.path)[1]
        assert copy["needed"] is None
        pydantic = machine.site / "pydantic-2.11.10.dist-info"
        pydantic.mkdir()
        copy = machine.one("status", machine.path)[1]
        assert copy["needed"] is True
        assert copy["prevention"].startswith(
            "offered: pip --python /srv/venv config --site set install.constraint /usr"
        )
        constraint = "/usr/share/cheesegrater-gradio-patch/constraints.txt"
        machine.at("/srv/venv/pip.conf").write_text(f"[install]\nconstraint = {constraint}\n")
        assert machine.one("status", machine.path)[1]["prevention"].startswith("in place")
        pydantic.rename(machine.site / "pydantic-2.10.6.dist-info")
        copy = machine.one("status", machine.path)[1]
        assert (copy["needed"], copy["prevention"]) == (False, None)
        assert copy["needed_why"].startswith(
            "not needed at present: pydantic 2.10.6 is before 2.11, unless a component"
        )

    def test_another_patch(self, tmp_path: Path) -> None:
        text = TINY_TEXT.encode()
        machine = Machine(tmp_path, text, tiny(), version="2.0.1", site="/usr/local/lib/python3.12/dist-packages")
        assert machine.one("status", machine.path)[1]["reason"] == "None fails"
        assert machine.one("apply", machine.path)[1]["state"] == "patched"
        assert b"acme-words-patch" in machine.file.read_bytes()
        assert machine.at("/var/lib/acme/words-patch/records").is_dir()
        assert machine.one("restore")[1]["state"] == "restored"
        assert machine.file.read_bytes() == text


class TestConcurrency:
    """Somebody else changes the file, or the distribution, while it is being patched."""

    def program(self, machine: Machine) -> tuple[examining.Host, Any]:
        options = plain(["--root", str(machine.root), "apply", machine.path])
        assert options is not None
        program = Program(RECIPE, str(machine.share / "patch.json"), options)
        return examining.Host(RECIPE, program.tree, program.state, program.places), program.copies()[0]

    def test_a_file_that_is_replaced_meanwhile_is_patched_as_it_is_then(
        self, machine: Machine, sample: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host, copy = self.program(machine)
        newer = sample + b"\nNEWER = True\n"
        asked = examining.untouched

        def upgrade(*arguments: Any) -> Any:
            monkeypatch.setattr(patching, "untouched", asked)
            machine.file.unlink()
            machine.file.write_bytes(newer)
            return asked(*arguments)

        monkeypatch.setattr(patching, "untouched", upgrade)
        assert patching.apply_plain(host, copy, "full", full=False, again=False).state == "patched"
        assert machine.file.read_bytes() == full(newer)

    def test_a_distribution_that_goes_meanwhile_is_left_alone(
        self, machine: Machine, sample: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host, copy = self.program(machine)
        asked = examining.untouched

        def uninstall(*arguments: Any) -> Any:
            record = next(machine.site.glob("*.dist-info")) / "RECORD"
            record.unlink(missing_ok=True)
            return asked(*arguments)

        monkeypatch.setattr(patching, "untouched", uninstall)
        assert patching.apply_plain(host, copy, "full", full=False, again=False).state == "installing"
        assert machine.file.read_bytes() == sample

    def test_a_file_that_changes_all_the_time_is_told(
        self, machine: Machine, sample: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host, copy = self.program(machine)
        asked = examining.untouched

        def touch(*arguments: Any) -> Any:
            machine.file.write_bytes(sample + os.urandom(4).hex().join(["# ", "\n"]).encode())
            return asked(*arguments)

        monkeypatch.setattr(patching, "untouched", touch)
        with pytest.raises(ChangedError, match="changed while it was being patched"):
            patching.apply_plain(host, copy, "full", full=False, again=False)
        assert MARKER not in machine.file.read_bytes()

    def test_runs_at_the_same_time(self, machine: Machine, sample: bytes) -> None:
        runs = [subprocess.Popen(machine.command("apply", machine.path), stdout=subprocess.DEVNULL) for _ in range(4)]
        assert [run.wait() for run in runs] == [0] * 4
        assert machine.file.read_bytes() == full(sample)
        assert machine.one("restore")[1]["state"] == "restored"
        assert machine.file.read_bytes() == sample


class TestImport:
    """After a plain copy was patched, its own interpreter is asked what it imports."""

    @pytest.fixture
    def machine(self, open_path: Path, importable: bytes) -> Machine:
        machine = Machine(open_path, importable)
        machine.at("/srv/venv/pyvenv.cfg").touch()
        machine.importable(machine.at("/srv/venv/bin"))
        machine.configure("search = /srv")
        return machine

    def test_verified_by_its_own_interpreter(self, machine: Machine, importable: bytes) -> None:
        status, copy = machine.one("apply")
        assert (status, copy["state"]) == (0, "patched")
        assert (copy["verified"], copy["unverified"]) == (f"imported by {machine.at('/srv/venv/bin/python')}", None)
        assert machine.file.read_bytes() == full(importable)
        again = machine.one("status")[1]
        assert (again["verified"], again["verified_time"]) == (copy["verified"], copy["verified_time"])

    def test_a_trigger_asks_no_interpreter(self, machine: Machine) -> None:
        assert machine.one("apply", "--trigger")[1]["verified"] == "functions in isolation"
        assert machine.one("verify")[1]["verified"].startswith("imported by")
        assert machine.one("status")[1]["verified"].startswith("imported by")

    def test_wrong_behaviour_puts_the_pristine_file_back(self, machine: Machine, importable: bytes) -> None:
        (machine.file.parent / "__init__.py").write_text(
            "import sys, types\nwrong = types.ModuleType('gradio_client.utils')\n"
            f"wrong.__file__ = {str(machine.file)!r}\nwrong.json_schema_to_python_type = lambda schema: 'wrong'\n"
            "sys.modules['gradio_client.utils'] = wrong\n"
        )
        status, copy = machine.one("apply")
        assert (status, copy["state"], copy["changed"], copy["level"]) == (1, "unpatchable", False, None)
        assert "imports code that does not behave" in copy["reason"]
        assert copy["reason"].endswith("the pristine file is back")
        assert machine.file.read_bytes() == importable
        assert machine.run("status")[1]["failures"][0]["reason"] == copy["reason"]
        # It is not tried again by itself: whoever watches the folder would never come to rest.
        seen = machine.file.stat().st_ctime_ns
        for arguments in (("apply",), ("apply", "--trigger")):
            status, again = machine.one(*arguments)
            assert (again["state"], again["reason"]) == ("unpatchable", copy["reason"])
            assert machine.file.stat().st_ctime_ns == seen
            assert again["fix"].endswith(f"apply {machine.path}")
        assert machine.one("apply", machine.path)[1]["state"] == "unpatchable"
        assert machine.file.stat().st_ctime_ns != seen
        # It is when something else is installed.
        (machine.file.parent / "__init__.py").write_text("")
        assert machine.one("apply")[1]["state"] == "unpatchable"
        (machine.site / "other-1.dist-info").mkdir()
        assert machine.one("apply")[1]["state"] == "patched"
        assert machine.run("status")[1]["failures"] == []

    def test_a_copy_that_a_killed_run_left_unverified_is_verified(self, machine: Machine, importable: bytes) -> None:
        machine.file.write_bytes(full(importable))
        assert machine.one("apply")[1]["verified"].startswith("imported by")

    def test_what_cannot_be_imported_is_unverified_not_failed(self, machine: Machine, sample: bytes) -> None:
        machine.file.write_bytes(sample)
        status, copy = machine.one("apply")
        assert (status, copy["state"], copy["verified"]) == (0, "patched", "functions in isolation")
        assert "a_module_that_is_not_installed" in copy["unverified"]
        assert machine.file.read_bytes() == full(sample)

    def test_another_copy_is_no_answer(self, machine: Machine, open_path: Path, importable: bytes) -> None:
        other = Machine(open_path / "other", full(importable))
        other.importable(machine.at("/srv/venv/bin"))
        copy = machine.one("apply")[1]
        assert copy["state"] == "patched"
        assert "imports another copy" in copy["unverified"]
        status, copy = machine.one("verify", machine.path, "--python", str(machine.at("/srv/venv/bin/python")))
        assert (status, copy["state"]) == (1, "unpatchable")

    def test_an_interpreter_that_is_named(self, machine: Machine, open_path: Path) -> None:
        machine.one("apply", "--trigger")
        python = machine.importable(open_path / "named")
        status, copy = machine.one("verify", machine.path, "--python", str(python))
        assert (status, copy["verified"]) == (0, f"imported by {python}")
        status, copy = machine.one("verify", machine.path, "--python", "/usr/bin/python3")
        assert (status, copy["state"]) == (0, "patched")
        assert "No module named 'gradio_client'" in copy["unverified"]

    @pytest.mark.root
    def test_as_the_files_owner(self, machine: Machine) -> None:
        note = machine.root / "who"
        note.touch()
        note.chmod(0o666)
        (machine.file.parent / "__init__.py").write_text(
            f"import os\nopen({str(note)!r}, 'w').write(str(os.getuid()))\n"
        )
        for owner, user in ((0, "65534"), (4242, "4242")):
            os.chown(machine.file, owner, owner)
            machine.one("apply")
            assert note.read_text() == user
            assert machine.file.stat().st_uid == owner
            machine.run("restore")


class TestDivertedCopy:
    @pytest.fixture(autouse=True)
    def _divert(self, machine: Machine) -> None:
        self.spare = machine.file.with_name("utils.py.distrib")
        machine.file.rename(self.spare)
        self.apply = ("apply", "--trigger", "--diverted", f"{machine.path}.distrib", "--to", machine.path)

    def test_written_beside_the_pristine_file(self, machine: Machine, sample: bytes) -> None:
        copy = machine.one(*self.apply)[1]
        assert (copy["state"], copy["changed"], copy["verified"]) == ("patched", True, "functions in isolation")
        assert machine.file.read_bytes() == full(sample)
        assert self.spare.read_bytes() == sample
        assert machine.one(*self.apply)[1]["changed"] is False

    def test_a_diversion_that_was_recorded_may_have_gone(self, machine: Machine, sample: bytes) -> None:
        machine.run(*self.apply)
        machine.file.unlink()
        self.spare.rename(machine.file)  # undiverted: the file is dpkg's
        assert machine.run("apply")[1]["copies"] == []
        assert machine.run("restore")[1]["copies"] == []
        assert machine.file.read_bytes() == sample

    def test_told_by_the_document(self, tmp_path: Path, sample: bytes) -> None:
        path = "/srv/venv/lib/python3.12/site-packages/gradio_client/utils.py"
        machine = Machine(tmp_path / "b", sample, gradio(diverted={"target": path, "pristine": f"{path}.distrib"}))
        machine.file.rename(f"{machine.file}.distrib")
        status, copy = machine.one("apply", "--trigger")
        assert (status, copy["state"], copy["diverted"]) == (0, "patched", f"{path}.distrib")
        assert machine.file.read_bytes() == full(sample)
        assert machine.one("restore")[1]["state"] == "restored"
        assert machine.file.read_bytes() == sample

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
        assert machine.run("status")[0] == 1

    def test_goes_with_its_package(self, machine: Machine) -> None:
        machine.run(*self.apply)
        self.spare.unlink()
        for file in next(machine.site.glob("*.dist-info")).iterdir():
            file.unlink()
        next(machine.site.glob("*.dist-info")).rmdir()
        status, copy = machine.one(*self.apply)
        assert (status, copy["state"]) == (0, "missing")
        assert not (machine.root / "srv").exists()

    def test_a_file_that_is_a_packages_own_again_is_not_removed(self, tmp_path: Path, sample: bytes) -> None:
        path = "/srv/venv/lib/python3.12/site-packages/gradio_client/utils.py"
        machine = Machine(tmp_path / "b", sample, gradio(diverted={"target": path, "pristine": f"{path}.distrib"}))
        status, copy = machine.one("apply")
        assert (status, copy["state"]) == (1, "unpatchable")
        assert "is not there" in copy["reason"]
        assert machine.file.read_bytes() == sample
        # Even with the program's own text in it: dpkg says whose it is.
        machine.file.write_bytes(full(sample))
        information = machine.at("/var/lib/dpkg/info/client.list")
        information.parent.mkdir(parents=True)
        information.write_text(f"/.\n{path}\n")
        (information.parent.parent / "status").write_text(
            "Package: client\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
            "Maintainer: T <t@example.org>\nDescription: t\n\n"
        )
        assert machine.one("apply")[1]["state"] == "unpatchable"
        assert machine.file.exists()
        information.write_text("/.\n")
        assert machine.one("apply")[1]["state"] == "missing"
        assert not machine.file.exists()

    def test_a_copy_that_never_was(self, tmp_path: Path, sample: bytes) -> None:
        path = "/usr/lib/x/gradio_client/utils.py"
        machine = Machine(tmp_path / "b", sample, gradio(diverted={"target": path, "pristine": f"{path}.distrib"}))
        assert machine.one("apply", "--trigger")[1]["state"] == "missing"
        assert not (machine.state / "records").exists()
