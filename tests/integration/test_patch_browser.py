"""What a user sees of Gradio's defect and of its patch: the same page, in a real browser, before and after."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests
import uv
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from debtool.stack.service import free_port
from debtool.wheel.bytecode import find_interpreter
from debtool.wheel.lock import parse_lock
from debtool.wheel.pipconfig import pip_indexes
from tests.support.browsers import patient
from tests.support.patches import gradio, install_program
from tests.support.stacks import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webdriver import WebDriver

pytestmark = [pytest.mark.root, pytest.mark.slow]

PYTHON = "3.12"
LOCK = REPOSITORY / "repo/locks/demo.noble.txt"
"""gradio 4.40.0 and all that it needs, as Forge pins it; with the pydantic that Forge's users get without pins."""
PYDANTIC = ("pydantic==2.11.10", "pydantic-core==2.33.2", "typing-inspection==0.4.2")
APPLICATION = """\
import sys

import fastapi
import gradio
import uvicorn

with gradio.Blocks(title="A small application") as demo:
    said = gradio.Textbox(label="Text", elem_id="said")
    shouted = gradio.Textbox(label="Louder", elem_id="shouted")
    picture = gradio.Image(label="Picture")
    gradio.Button("Shout", elem_id="shout").click(str.upper, said, shouted)
    gradio.Button("Look").click(lambda picture: None, picture, shouted)
application = gradio.mount_gradio_app(fastapi.FastAPI(), demo, path="/")
uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment as pip makes it where pydantic is not held back."""
    folder = tmp_path_factory.mktemp("gradio")
    entries = parse_lock(LOCK.read_text(), LOCK).files
    wanted = [f"{one.name}=={one.version}" for one in entries if not one.name.startswith("pydantic")]
    assert "gradio==4.40.0" in wanted
    assert "gradio-client==1.2.0" in wanted
    program = uv.find_uv_bin()
    venv = ["venv", "--quiet", "--python", str(find_interpreter(PYTHON)), str(folder / "venv")]
    subprocess.run([program, *venv], check=True)
    command = [program, "pip", "install", "--quiet", "--no-config", "--no-deps", "--python", str(folder / "venv")]
    subprocess.run([*command, *pip_indexes().uv_options(), *wanted, *PYDANTIC], check=True)
    return folder / "venv"


@contextmanager
def served(environment: Path, folder: Path) -> Iterator[str]:
    """Run the application; yield its address when it answers, however it does."""
    script, port = folder / "application.py", free_port()
    script.write_text(APPLICATION)
    own = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    command = [str(environment / "bin/python"), str(script), str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=own, stdout=log, stderr=log) as server:
        try:
            with patient(60) as session:
                session.get(f"http://127.0.0.1:{port}/config", timeout=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def keep_picture(browser: WebDriver, name: str) -> None:
    file = REPOSITORY / ".work/artefacts" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(file))


def test_the_page_fails_and_works_after_the_patch(environment: Path, browser: WebDriver, tmp_path: Path) -> None:
    with served(environment, tmp_path) as url:
        assert [requests.get(f"{url}{path}", timeout=60).status_code for path in ("/", "/info")] == [500, 500]
        browser.get(url)
        assert "Internal Server Error" in browser.find_element(By.TAG_NAME, "body").text
        keep_picture(browser, "gradio-before.png")

    launcher = install_program(tmp_path / "share", gradio())
    copy = environment / f"lib/python{PYTHON}/site-packages/gradio_client/utils.py"
    program = [str(environment / "bin/python"), "-IS", str(launcher), "--state", str(tmp_path / "state")]
    done = subprocess.run([*program, "apply", "--json", str(copy)], capture_output=True, text=True, check=False)
    [told] = json.loads(done.stdout)["copies"]
    assert (done.returncode, told["state"], told["level"]) == (0, "patched", "full"), done.stdout
    assert (told["version"], told["needed"]) == ("1.2.0", True)
    assert told["verified"]

    with served(environment, tmp_path) as url:
        assert [requests.get(f"{url}{path}", timeout=60).status_code for path in ("/", "/info")] == [200, 200]
        browser.get(url)
        wait = WebDriverWait(browser, 60)
        said = wait.until(lambda page: page.find_element(By.CSS_SELECTOR, "#said textarea"))
        said.send_keys("a lighthouse")
        browser.find_element(By.ID, "shout").click()
        shouted = browser.find_element(By.CSS_SELECTOR, "#shouted textarea")
        wait.until(lambda _: shouted.get_property("value") == "A LIGHTHOUSE")
        keep_picture(browser, "gradio-after.png")
