"""Released stacks: a small one of one's own, as `debtool init` makes it, and the whole first stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from debtool.build.image import USUAL_PACKAGES, RootImage
from tests.support.browsers import chromium
from tests.support.stacks import REPOSITORY, ServedStack, copy_definitions, debtool
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webdriver import WebDriver

    from debtool.build.root import Root

APPLICATION = """\
import argparse, pathlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import sprocket


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"sprocket {sprocket.VERSION}\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


parser = argparse.ArgumentParser()
parser.add_argument("--state", type=pathlib.Path)
parser.add_argument("--port", type=int)
options = parser.parse_args()
(options.state / "started").write_text("yes")
HTTPServer(("127.0.0.1", options.port), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def browser(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(cache, tmp_path_factory.mktemp("log") / "chromedriver.log") as driver:
        yield driver


@pytest.fixture(scope="session")
def bookworm_with_python(cache: Path) -> RootImage:
    """Debian 12 with what the small stack needs of the distribution, so that installing it is quick."""
    return RootImage.ensure("bookworm", cache / "roots", packages=[*USUAL_PACKAGES, "adduser", "python3"])


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedStack]:
    """The stack ``acme`` in version 1, for tests that only read it."""
    with _acme(tmp_path_factory.mktemp("acme")) as stack:
        release_version(stack, 1)
        yield stack


@pytest.fixture
def own_acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedStack]:
    """As `acme`, for tests that publish or tamper."""
    with _acme(tmp_path_factory.mktemp("acme")) as stack:
        release_version(stack, 1)
        yield stack


def _acme(folder: Path) -> ServedStack:
    wheels = TinyWheels(folder / "wheels")
    for version in (1, 2):
        wheels.wheel("sprocket", f"{version}.0", requires=["gear>=2"], body=f"VERSION = {version}\n")
    wheels.wheel("gear", "2.5")
    stack = ServedStack(
        file=folder / "acme/stack.toml",
        public=folder / "acme/public",
        cache=folder / "cache",
        environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels.folder)},
    )
    maintainer = "A Tester <tester@example.org>"
    debtool("init", str(stack.file.parent), "--name=acme", f"--maintainer={maintainer}", "--target=bookworm")
    (stack.file.parent / "app/main.py").write_text(APPLICATION)
    return stack


def release_version(stack: ServedStack, version: int) -> None:
    """Release the stack with ``sprocket`` and the application in ``version``."""
    text = stack.file.read_text()
    text = re.sub(r"direct = \[.*\]", f'direct = ["sprocket=={version}.0"]', text)
    text = re.sub(r'^version = "0\.[0-9]\.0"', f'version = "0.{version}.0"', text, flags=re.MULTILINE)
    stack.file.write_text(text)
    (stack.file.parent / f"app/only_in_{version}.py").write_text("")
    (stack.file.parent / f"app/only_in_{version - 1}.py").unlink(missing_ok=True)
    stack.debtool("lock", "--target=bookworm")
    stack.release()


@pytest.fixture
def installed(acme: ServedStack, bookworm_with_python: RootImage) -> Iterator[Root]:
    """A fresh machine on which a user has installed ``acme-app``."""
    with bookworm_with_python.instance() as root:
        install(root, acme)
        yield root


def install(root: Root, stack: ServedStack) -> None:
    """Paste what a user pastes."""
    root.run(["sh", "-e"], stdin="\n".join(stack.claim().lines))


@pytest.fixture(scope="session")
def full_stack(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[ServedStack]:
    """The stack without Forge's own tree, which is no Python package and lies outside every index."""
    folder = tmp_path_factory.mktemp("full")
    copy_definitions(folder)
    text = (REPOSITORY / "repo/cheesegrater.toml").read_text()
    text, trees = re.subn(
        r'^\[\[package\]\]\nrecipe = "tree"\n.*?(?=^\[\[package\]\]|\Z)', "", text, flags=re.MULTILINE | re.DOTALL
    )
    assert trees == 1
    text, restarts = re.subn(r"^restart = .*\n", "", text, flags=re.MULTILINE)  # of a tree that is not there now
    assert restarts == 1
    (folder / "stack.toml").write_text(text)
    with ServedStack(folder / "stack.toml", folder / "public", cache) as stack:
        stack.release()
        yield stack
