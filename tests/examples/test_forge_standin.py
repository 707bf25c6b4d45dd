"""The stand-in keeps Forge's launch contract: without its libraries, and with them from a read-only tree."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from debtool.host import patcher
from debtool.model.shipped import shipped
from tests.support.patch_packages import gradio, patch_draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STANDIN = shipped("examples/forge-standin")


def bare(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The launcher on a Python without any library."""
    command = [sys.executable, "-S", "-B", str(STANDIN / "launch.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def evaluate(data: Path, code: str) -> Any:
    """What an expression about the stand-in's modules gives, on a Python without any library."""
    script = f"import json, sys; sys.path.insert(0, {str(STANDIN)!r}); {code}"
    command = [sys.executable, "-S", "-B", "-c", script, "--data-dir", str(data)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class TestWithoutLibraries:
    def test_missing_libraries_are_named_and_nothing_is_installed(self, tmp_path: Path) -> None:
        done = bare("--data-dir", str(tmp_path), "--always-cpu")
        assert done.returncode == 1
        assert "Not importable: gradio, fastapi, numpy, PIL, torch" in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_arguments_of_the_environment_are_appended_as_a_shell_splits_them(self, tmp_path: Path) -> None:
        done = bare(COMMANDLINE_ARGS=f"--data-dir '{tmp_path}/my data' --fly")
        assert done.returncode == 2
        assert "unrecognized arguments: --fly" in done.stderr

    def test_flags_of_forge_that_a_unit_may_carry_are_known(self, tmp_path: Path) -> None:
        done = bare("--data-dir", str(tmp_path), "--skip-version-check", "--no-half", "--attention-quad", "--listen")
        assert "Not importable" in done.stderr

    def test_state_lives_below_the_data_directory(self, tmp_path: Path) -> None:
        names = ["data_path", "models_path", "output_path", "cache_path", "saved_images_path", "params_file"]
        code = f"from modules import paths; print(json.dumps([str(getattr(paths, n)) for n in {names}]))"
        assert all(Path(path).is_relative_to(tmp_path) for path in evaluate(tmp_path, code))

    def test_fields_of_the_page_come_from_ui_config(self, tmp_path: Path) -> None:
        (tmp_path / "ui-config.json").write_text('{"txt2img/Seed/value": 7, "txt2img/Width/value": "wide"}')
        code = (
            "from modules import ui_config as u, paths; print(json.dumps(u.load(paths.data_path / 'ui-config.json')))"
        )
        values = evaluate(tmp_path, code)
        assert (values["txt2img/Seed/value"], values["txt2img/Width/value"]) == (7, 512)

    def test_styles_are_written_once_and_read(self, tmp_path: Path) -> None:
        code = (
            "from modules import styles as s, paths; print(json.dumps(s.load_styles(paths.data_path / 'styles.csv')))"
        )
        assert evaluate(tmp_path, code)["Ink"] == "ink on paper, {prompt}, monochrome"
        (tmp_path / "styles.csv").write_text("name,prompt\nMine,oil on canvas\n")
        assert evaluate(tmp_path, code) == {"Mine": "oil on canvas"}


def pip(python: Path, *arguments: str) -> None:
    subprocess.run([str(python), "-m", "pip", "--quiet", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture(scope="session")
def python(cache: Path) -> Path:
    """An interpreter with the stand-in's closure, kept between runs."""
    requirements = STANDIN / "requirements.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache / f"standin-{key}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip(python, "install", "--requirement", str(requirements))
        (folder / "complete").touch()
    return python


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The tree as a package ships it: two folders are symbolic links into the state."""
    tree = tmp_path / "tree"
    shutil.copytree(STANDIN, tree, ignore=shutil.ignore_patterns("__pycache__", "config_states", "tmp"))
    for name in ("config_states", "tmp"):
        (tmp_path / "state" / name).mkdir(parents=True)
        (tree / name).symlink_to(tmp_path / "state" / name)
    return tree


class Running:
    """The stand-in, serving."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, state: Path) -> None:
        self.process, self.port, self.state = process, port, state

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def get(self, path: str) -> int:
        return self.ask("GET", path)[0]

    def paint(self, **request: object) -> bytes:
        status, answer = self.ask("POST", "/sdapi/v1/txt2img", request)
        assert status == 200, answer
        return base64.b64decode(json.loads(answer)["images"][0])


@contextmanager
def serving(
    python: Path,
    tree: Path,
    *arguments: str,
    until: str = "Startup time",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Start from a tree on a read-only mount, as the service does; wait for a line in the log."""
    state = tree.parent / "state"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; shift; exec "$@"'
    launch = [str(python), "-u", str(tree / "launch.py"), "--skip-prepare-environment", "--always-cpu"]
    launch += ["--data-dir", str(state), "--port", str(port), *arguments]
    clean = {"PATH": os.environ["PATH"], "HOME": str(state), "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    log = tree.parent / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mount, "sh", str(tree), *launch],
            stdout=stream, stderr=subprocess.STDOUT, cwd=state, env=clean,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while until not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Running(process, port, state)
    finally:
        process.kill()
        process.wait()


@pytest.mark.root
class TestWithItsClosure:
    def test_serves_from_a_read_only_tree(self, python: Path, tree: Path) -> None:
        with serving(python, tree, "--api") as running:
            for path in ("/", "/info", "/config", "/sdapi/v1/options", "/sdapi/v1/progress", "/sdapi/v1/sd-models"):
                assert running.get(path) == 200, path
            page = running.ask("GET", "/")[1].decode()
            assert "googleapis" not in page
            assert 'src="http' not in page

            first = running.paint(prompt="a lighthouse in the fog", seed=7, width=256, height=192)
            assert first.startswith(b"\x89PNG")
            assert b"a lighthouse in the fog\nSteps: 12" in first
            assert running.paint(prompt="a lighthouse in the fog", seed=7, width=256, height=192) == first
            assert running.paint(prompt="a lighthouse in the fog", seed=8, width=256, height=192) != first
            assert running.paint(prompt="two cats", seed=7, width=256, height=192) != first
            assert running.ask("POST", "/sdapi/v1/txt2img", {"width": 65})[0] == 422

            assert running.ask("POST", "/sdapi/v1/options", {"samples_save": False})[0] == 200
            assert running.ask("POST", "/sdapi/v1/options", {"samples_save": "no"})[0] == 422
            assert json.loads(running.ask("GET", "/sdapi/v1/options")[1])["samples_save"] is False
            running.process.terminate()
            assert running.process.wait(10) == 0
            written = {str(file.relative_to(running.state)) for file in running.state.rglob("*") if file.is_file()}
        expected = {"config.json", "ui-config.json", "styles.csv", "params.txt", "cache/hashes.json"}
        assert written >= {*expected, "models/Stable-diffusion/standin-v1.pt"}
        assert sum(name.startswith("outputs/txt2img-images/") for name in written) == 4
        assert sum(name.startswith("config_states/") for name in written) == 1

    def test_the_api_alone(self, python: Path, tree: Path) -> None:
        with serving(python, tree, "--nowebui", "--api-server-stop", until="Uvicorn running") as running:
            assert running.get("/sdapi/v1/options") == 200
            assert running.get("/info") == 404
            assert running.ask("POST", "/sdapi/v1/server-restart")[0] == 200
            assert running.process.wait(10) == 0
            assert (running.state / "tmp/restart").exists()

    def test_a_failed_worker_leaves_the_process_without_a_port(self, python: Path, tree: Path) -> None:
        (tree / "tmp").unlink()
        with serving(python, tree, until="Error") as running:
            time.sleep(1)
            assert running.process.poll() is None
            with pytest.raises(ConnectionRefusedError):
                running.get("/")

    def test_a_gpu_is_asked_for_unless_told_otherwise(self, python: Path, tmp_path: Path) -> None:
        command = [str(python), "-B", str(STANDIN / "launch.py"), "--data-dir", str(tmp_path), "--exit"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "torch sees no GPU" in done.stderr
        assert subprocess.run([*command, "--always-cpu"], capture_output=True, check=False).returncode == 0

    def test_newer_pydantic_breaks_the_page_and_the_patch_mends_it(
        self, python: Path, tree: Path, tmp_path: Path
    ) -> None:
        newer = tmp_path / "newer"
        pip(python, "install", "--target", str(newer), "pydantic==2.11.10")
        original = next(python.parent.parent.glob("lib/python3*/site-packages/gradio_client"))
        shutil.copytree(original, newer / "gradio_client")
        with serving(python, tree, until="TypeError", environment={"PYTHONPATH": str(newer)}) as running:
            assert (running.get("/"), running.get("/info"), running.get("/config")) == (500, 500, 200)
        (tmp_path / "patch.json").write_text(patch_draft(gradio(), "gradio-patch").document)
        program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from patcher.main import run; run(sys.argv.pop(1))"
        engine = [str(Path(patcher.__file__).parents[1]), str(tmp_path / "patch.json")]
        arguments = ["--state", str(tmp_path / "patches"), "apply", str(newer / "gradio_client/utils.py")]
        subprocess.run([sys.executable, "-IS", "-c", program, *engine, *arguments], check=True, capture_output=True)
        with serving(python, tree, environment={"PYTHONPATH": str(newer)}) as running:
            assert (running.get("/"), running.get("/info")) == (200, 200)
