"""A browser that tests drive: Debian's Chromium in a root of its own (W3C WebDriver)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter
from selenium import webdriver
from urllib3.util import Retry

from debtool.build.image import USUAL_PACKAGES, RootImage
from debtool.stack.service import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webdriver import WebDriver

_PACKAGES = (*USUAL_PACKAGES, "chromium", "chromium-driver", "fonts-dejavu-core")
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--user-data-dir=/tmp/chromium"),
    *("--window-size=1280,1000", "--remote-debugging-pipe"),
)


@contextmanager
def chromium(cache: Path, log: Path) -> Iterator[WebDriver]:
    """Start a browser that sees this machine's network; it ends with the context.

    Args:
        cache: debtool's cache, which keeps the root's image.
        log: Where the driver's messages go.
    """
    with RootImage.ensure("bookworm", cache / "roots", packages=_PACKAGES).instance() as root:
        port = free_port()
        driver = root.start(["chromedriver", f"--port={port}"], log=log)
        service = f"http://127.0.0.1:{port}"
        _wait_for_driver(service)
        assert driver.status is None, driver.log_tail()
        options = webdriver.ChromeOptions()
        for argument in _QUIET:
            options.add_argument(argument)
        with webdriver.Remote(command_executor=service, options=options) as remote:
            yield remote


def patient(tries: int) -> requests.Session:
    """Return a session that waits, up to two seconds between its tries, for a server that has just been started."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(tries, backoff_factor=0.05, backoff_max=2)))
    return session


def _wait_for_driver(service: str) -> None:
    with patient(30) as session:
        assert session.get(f"{service}/status", timeout=10).json()["value"]["ready"]
