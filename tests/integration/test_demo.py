"""The demo as a user sees it: released, proved by `debtool prove`, and used with a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from debtool.stack.service import start_service
from tests.integration.conftest import install
from tests.support.stacks import REPOSITORY, ServedStack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webdriver import WebDriver

    from debtool.build.image import RootImage

pytestmark = pytest.mark.root

SCREENSHOT = REPOSITORY / ".work/artefacts/demo.png"
PROMPT = "a lighthouse in the fog"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[ServedStack]:
    public = tmp_path_factory.mktemp("demo") / "public"
    with ServedStack(REPOSITORY / "repo/demo.toml", public, cache) as stack:
        stack.release()
        yield stack


@pytest.fixture(scope="module")
def url(demo: ServedStack, bookworm: RootImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the installed demo answers."""
    with bookworm.instance() as root:
        install(root, demo)
        service = start_service(root, demo.claim().package, tmp_path_factory.mktemp("log") / "demo.log")
        service.wait_for(["/", "/info"], timeout=300)
        yield service.url


def test_the_demo_is_proved(demo: ServedStack) -> None:
    proof = json.loads(demo.debtool("prove", "--target=bookworm", f"--archive={demo.public}", "--json"))
    assert proof["ok"]
    assert [step["ok"] for step in proof["steps"]] == [True] * 7
    assert proof["sizes"]["packages"] == len(demo.archive.published(demo.suite))
    assert proof["client_lines"][-1] == "apt-get install -y cheesegrater-forge"


def test_a_release_that_changes_nothing_writes_nothing(demo: ServedStack) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.public.rglob("*")}
    report = demo.release()
    assert not report["publication"]["switched"]
    assert {package["action"] for package in report["packages"]} == {"keep"}
    assert {path: path.stat().st_mtime_ns for path in demo.public.rglob("*")} == before


def test_a_browser_gets_a_picture(url: str, browser: WebDriver) -> None:
    browser.get(url)
    wait = WebDriverWait(browser, 120)
    prompt = wait.until(lambda page: page.find_element(By.CSS_SELECTOR, "#txt2img_prompt textarea"))
    prompt.clear()
    prompt.send_keys(PROMPT)
    browser.find_element(By.ID, "txt2img_generate").click()
    picture = wait.until(lambda page: page.find_element(By.CSS_SELECTOR, "#txt2img_image img"))
    wait.until(lambda page: page.execute_script("return arguments[0].naturalWidth", picture) > 0)
    SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(SCREENSHOT))

    image = requests.get(str(picture.get_attribute("src")), timeout=60)
    assert image.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(image.content) > 10_000
    infotext = browser.find_element(By.CSS_SELECTOR, "#txt2img_infotext textarea")
    assert PROMPT in str(infotext.get_property("value"))
