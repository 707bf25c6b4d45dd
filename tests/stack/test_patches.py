"""Patch packages as they are made: files, units, scripts, and the document that the program reads."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.deb.contents import Contents
from debtool.host.patcher.configuration import parse as parse_configuration
from debtool.host.patcher.recipe import parse as parse_document
from debtool.model.errors import InputError
from debtool.model.patch import FILL_IN
from debtool.model.shipped import shipped
from debtool.model.versions import DebianVersion
from debtool.stack.draft import Build
from debtool.stack.patches import PatchPaths, refuse_unfilled, stack_patches
from debtool.stack.project import open_project
from tests.support.drafts import PACKAGE, STACK_HEAD, stack
from tests.support.patch_packages import WORDS, gradio, patch_draft, words

if TYPE_CHECKING:
    from typing import IO

    from debtool.stack.project import Project
    from debtool.stack.recipes.patch import PatchDraft

BUILD = Build(DebianVersion("1-1"), {}, 0, "key")
SITE = "/usr/lib/acme/venv/lib/python3.11/site-packages"
PACKAGES = """
[[package]]
recipe = "patch"
name = "one"
patch = "patches/one.toml"
summary = "one"
description = "One."

[[package]]
recipe = "patch"
name = "two"
patch = "patches/two.toml"
summary = "two"
description = "Two."
"""


class Files:
    """A sink that keeps what it is offered."""

    def __init__(self, draft: PatchDraft) -> None:
        self.texts: dict[str, str] = {}
        self.modes: dict[str, int] = {}
        draft.emit(self, BUILD)  # type: ignore[arg-type]

    def add_file(self, path: str, stream: IO[bytes], size: int, *, mode: int = 0o644) -> None:
        data = stream.read()
        assert len(data) == size
        text = gzip.decompress(data) if path.endswith(".gz") else data
        self.texts[path], self.modes[path] = text.decode(), mode


@pytest.fixture(scope="module")
def gradio_files() -> Files:
    return Files(patch_draft(gradio(), "gradio-patch"))


def test_the_files_of_a_package(gradio_files: Files) -> None:
    engine = "/usr/share/acme-gradio-patch/patcher/"
    assert {path for path in gradio_files.texts if not path.startswith(engine)} == {
        "/etc/acme/gradio-patch.d/00-usual.conf",
        "/usr/lib/systemd/system/acme-gradio-patch-again.service",
        "/usr/lib/systemd/system/acme-gradio-patch.path",
        "/usr/lib/systemd/system/acme-gradio-patch.service",
        "/usr/lib/systemd/user/acme-gradio-patch-again.service",
        "/usr/lib/systemd/user/acme-gradio-patch.path",
        "/usr/lib/systemd/user/acme-gradio-patch.service",
        "/usr/sbin/acme-gradio-patch",
        "/usr/share/acme-gradio-patch/constraints.txt",
        "/usr/share/acme-gradio-patch/follow",
        "/usr/share/acme-gradio-patch/patch.json",
        "/usr/share/man/man8/acme-gradio-patch.8.gz",
    }
    source = Path(str(shipped("debtool"))) / "host/patcher"
    shipped_modules = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert {path.removeprefix(engine) for path in gradio_files.texts if path.startswith(engine)} == shipped_modules
    assert [path for path, mode in gradio_files.modes.items() if mode != 0o644] == [
        "/usr/sbin/acme-gradio-patch",
        "/usr/share/acme-gradio-patch/follow",
    ]
    assert gradio_files.texts["/usr/share/acme-gradio-patch/constraints.txt"].endswith("\npydantic<2.11\n")


def test_the_engine_takes_the_document(gradio_files: Files) -> None:
    document = json.loads(gradio_files.texts["/usr/share/acme-gradio-patch/patch.json"])
    recipe = parse_document(document, "patch.json")
    assert recipe.diverted is not None
    assert recipe.diverted.target == f"{SITE}/gradio_client/utils.py"
    assert recipe.diverted.pristine == f"{SITE}/gradio_client/utils.py.distrib"
    assert (recipe.distribution, recipe.module) == ("gradio_client", "gradio_client.utils")
    assert (recipe.affected, recipe.levels, recipe.ships) == ((("0.7.0", "1.8.0"),), ("guide", "full"), "full")
    assert recipe.checks[-1].arguments == (None,)
    assert [edit.function for edit in recipe.edits_of("guide")] == ["get_type", "_json_schema_to_python_type"]
    other = parse_document(json.loads(patch_draft(words(), "words-patch").document), "patch.json")
    assert (other.distribution, other.module, other.affected) == ("word_list", "words", (("2.1", "3"),))
    assert (other.levels, other.needed_with, other.edits[0].contains) == (("full",), None, ", ")


def test_the_engine_takes_the_configuration(gradio_files: Files) -> None:
    name = "/etc/acme/gradio-patch.d/00-usual.conf"
    entries = parse_configuration(gradio_files.texts[name], name)
    assert {entry.key for entry in entries} == {"root", "search"}
    assert "/usr/local/lib/python3*/dist-packages" in {entry.value for entry in entries}
    assert "~/.local/share/pipx/venvs/*" in {entry.value for entry in entries if entry.of_user}


def test_no_path_unit_watches_the_folder_that_the_program_writes_to(gradio_files: Files) -> None:
    for scope, home in (("system", "/usr/local"), ("user", "%h/.local")):
        unit = gradio_files.texts[f"/usr/lib/systemd/{scope}/acme-gradio-patch.path"]
        folders = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("PathChanged=")]
        assert f"{home}/lib/python3.12/{'dist' if scope == 'system' else 'site'}-packages" in folders
        assert not [folder for folder in folders if "gradio_client" in folder or "state" in folder]


@pytest.mark.parametrize("scope", ["system", "user"])
def test_the_units_are_ones_that_systemd_takes(gradio_files: Files, tmp_path: Path, scope: str) -> None:
    units = []
    for name in ("acme-gradio-patch.path", "acme-gradio-patch.service", "acme-gradio-patch-again.service"):
        unit = tmp_path / name
        text = gradio_files.texts[f"/usr/lib/systemd/{scope}/{name}"]
        for program in ("/usr/sbin/acme-gradio-patch", "/usr/share/acme-gradio-patch/follow"):
            text = text.replace(program, "/bin/true")
        unit.write_text(text)
        units.append(unit)
    command = ["systemd-analyze", f"--{scope}", "--man=no", "verify", *map(str, units)]
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert [line for line in done.stderr.splitlines() if "acme-gradio-patch" in line] == []


def test_the_manual_page_is_one_that_groff_takes(gradio_files: Files) -> None:
    page = gradio_files.texts["/usr/share/man/man8/acme-gradio-patch.8.gz"]
    command = ["groff", "-man", "-ww", "-z", "-Kutf8"]
    assert subprocess.run(command, input=page, capture_output=True, text=True, check=True).stderr == ""
    for word in ("status", "apply", "verify", "restore", "list", "watch", "hook"):
        assert f"\n.B {word}" in page


def test_the_launchers_read_nothing_of_the_users(gradio_files: Files) -> None:
    for name in ("/usr/sbin/acme-gradio-patch", "/usr/share/acme-gradio-patch/follow"):
        launcher = gradio_files.texts[name]
        assert launcher.startswith("#!/usr/bin/python3 -IS\n")
        compile(launcher, name, "exec")


def test_triggers_and_fields() -> None:
    control = patch_draft(gradio(), "gradio-patch").control(BUILD, Contents(()))
    directives = [line for line in control.triggers.splitlines() if not line.startswith("#")]
    assert directives == [
        f"interest-await {SITE}/gradio_client",
        "interest-noawait /usr/lib/python3/dist-packages/gradio_client",
        "interest-noawait /usr/lib/python3.11/dist-packages/gradio_client",
        "interest-noawait /usr/local/lib/python3.11/dist-packages/gradio_client",
    ]
    # A dependency on what is patched would make dpkg see a cycle of triggers.
    assert control.fields["Enhances"] == "acme-python3-gradio-client"
    assert control.fields["Depends"] == "python3 (>= 3.10)"
    assert sorted(control.scripts) == ["postinst", "postrm", "preinst", "prerm"]


def test_a_change_of_the_patch_makes_another_package() -> None:
    draft = patch_draft(words(), "words-patch")
    other = patch_draft(words().model_copy(update={"defect": "another"}), "words-patch")
    assert draft.key({}) != other.key({})
    assert draft.key({}) == patch_draft(words(), "words-patch").key({})


# --- Patches of a stack ---------------------------------------------------------------------------------------------


def project(folder: Path, **patches: str) -> Project:
    """Return a stack with the packages "one" and "two" and these patch files."""
    (folder / "patches").mkdir()
    for name, text in patches.items():
        (folder / f"patches/{name}.toml").write_text(text)
    (folder / "stack.toml").write_text(STACK_HEAD + PACKAGE + PACKAGES)
    return open_project(folder / "stack.toml")


def test_patches_are_read_in_the_stacks_order(tmp_path: Path) -> None:
    found = stack_patches(project(tmp_path, one=WORDS, two=WORDS.replace("words/__init__", "words/more")))
    assert [(one.package.name, one.patch.file) for one in found] == [
        ("one", "words/__init__.py"),
        ("two", "words/more.py"),
    ]


def test_two_packages_that_patch_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two\.toml: file: packages 'one' and 'two' both patch words/__init__\.py"):
        stack_patches(project(tmp_path, one=WORDS, two=WORDS))


def test_a_missing_patch_file_is_told_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two\.toml: cannot be read: .*; fix: name an existing file in package 'two'"):
        stack_patches(project(tmp_path, one=WORDS))


def test_a_patch_that_is_not_filled_in_is_refused() -> None:
    patch = words()
    edit = patch.edits[1].model_copy(update={"test": f"{{0}} == '{FILL_IN}'"})
    unfilled = patch.model_copy(update={"defect": FILL_IN, "edits": (patch.edits[0], edit)})
    with pytest.raises(InputError) as caught:
        refuse_unfilled(unfilled, Path("words.toml"))
    assert [issue.field for issue in caught.value.issues] == ["defect", "edits[2].test"]
    refuse_unfilled(patch, Path("words.toml"))


def test_only_services_of_the_stack_are_restarted() -> None:
    with pytest.raises(InputError, match="package 'one' restarts 'runtime', which is no tree with a service"):
        stack(PACKAGE + PACKAGES.replace('patch = "patches/one.toml"', 'patch = "a"\nrestart = ["runtime"]'))


def test_where_everything_is() -> None:
    draft = patch_draft(gradio(), "gradio-patch")
    assert isinstance(draft.paths, PatchPaths)
    assert draft.paths.state == "/var/lib/acme/gradio-patch"
    assert draft.paths.bytecode == f"{SITE}/gradio_client/__pycache__/utils.cpython-311.pyc"
