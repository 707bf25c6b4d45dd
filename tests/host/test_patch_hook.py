"""The import hook: for read-only and foreign trees, used only where it is on PYTHONPATH."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patches import TINY_TEXT, Machine, gradio, tiny, write_patch

ASK = """
from gradio_client import utils
print(utils.json_schema_to_python_type({'type': 'object', 'additionalProperties': True}))
"""


@pytest.fixture
def machine(tmp_path: Path, importable: bytes) -> Machine:
    machine = Machine(tmp_path, importable)
    machine.importable(tmp_path)
    return machine


def hook(machine: Machine) -> str:
    done = machine.plain("hook", "path")
    assert done.returncode == 0
    return done.stdout.strip()


def python(
    machine: Machine, code: str, *folders: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    path = ":".join([*folders, str(machine.site)])
    return subprocess.run(
        [sys.executable, *options, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def test_the_module_is_patched_in_memory(machine: Machine, importable: bytes) -> None:
    assert "TypeError" in python(machine, ASK).stderr, "off unless asked for"
    shutil.rmtree(machine.file.parent / "__pycache__")
    done = python(machine, ASK, hook(machine))
    assert (done.returncode, done.stdout, done.stderr) == (0, "Dict(str, Any)\n", "")
    assert machine.file.read_bytes() == importable
    assert not list(machine.file.parent.glob("__pycache__/utils.*")), "no bytecode of the patched text"


def test_bytecode_of_the_pristine_text_is_not_used(machine: Machine) -> None:
    assert "TypeError" in python(machine, ASK).stderr
    assert list(machine.file.parent.glob("__pycache__/utils.*"))
    assert python(machine, ASK, hook(machine)).stdout == "Dict(str, Any)\n"


def test_tracebacks_name_the_file(machine: Machine) -> None:
    done = python(
        machine, "from gradio_client import utils; utils.json_schema_to_python_type({'type': ['x']})", hook(machine)
    )
    assert f'File "{machine.file}"' in done.stderr
    assert "APIInfoParseError" in done.stderr


def test_a_version_that_needs_no_patch_is_left_alone(machine: Machine) -> None:
    next(machine.site.glob("*.dist-info")).rename(machine.site / "gradio_client-1.8.0.dist-info")
    assert "TypeError" in python(machine, ASK, hook(machine)).stderr


@pytest.mark.parametrize("text", [b"def get_type(x):\n    return x\n", b"x = 1\n"])
def test_what_cannot_be_patched_is_imported_as_it_is(machine: Machine, text: bytes) -> None:
    machine.file.write_bytes(text)
    done = python(machine, "from gradio_client import utils; print(utils.__file__)", hook(machine))
    assert (done.stdout, done.stderr) == (f"{machine.file}\n", "")


def test_a_module_that_is_not_there_is_not_there(machine: Machine) -> None:
    machine.file.unlink()
    assert "ImportError: cannot import name 'utils'" in python(machine, ASK, hook(machine)).stderr


def test_a_damaged_package_stops_no_interpreter(machine: Machine) -> None:
    folder = hook(machine)
    (machine.share / "patch.json").write_text("{")
    done = python(machine, "print('alive')", folder)
    assert (done.returncode, done.stdout) == (0, "alive\n")
    assert "no module is patched at import" in done.stderr
    write_patch(machine.share, gradio(levels=["x"]))
    assert "TypeError" in python(machine, ASK, folder).stderr


def test_the_next_sitecustomize_is_loaded_too(machine: Machine, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nsys.mine = __name__\n")
    done = python(
        machine, f"import sys; print(sys.mine, sys.modules['sitecustomize'].__file__){ASK}", hook(machine), str(own)
    )
    assert done.stdout == f"sitecustomize {own}/sitecustomize.py\nDict(str, Any)\n"


def test_two_patches_at_once(machine: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path / "other", TINY_TEXT.encode(), tiny(), version="0.5")
    code = f"import tinywords; print(tinywords.count(None)){ASK}"
    done = python(machine, code, hook(machine), hook(other), str(other.site))
    assert (done.stdout, done.stderr) == ("0\nDict(str, Any)\n", "")


def test_an_isolated_interpreter_does_without(machine: Machine) -> None:
    done = python(machine, "import sys; print(len(sys.meta_path))", hook(machine), options=("-I",))
    assert done.stdout == python(machine, "import sys; print(len(sys.meta_path))").stdout


def test_json(machine: Machine) -> None:
    report = json.loads(machine.plain("hook", "--json").stdout)
    assert report["command"] == "hook"
    assert (Path(report["path"]) / "sitecustomize.py").is_file()
