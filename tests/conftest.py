"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from debtool.build.image import RootImage
from tests.support.wheels import TinyWheels


def pytest_configure() -> None:
    """Let Control-C count in what the tests start: a shell's background jobs ignore it, and so do their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where tests keep what is worth keeping between runs: images of roots, downloaded wheels."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("DEBTOOL_CACHE") or home / "debtool")


@pytest.fixture(scope="session")
def bookworm(cache: Path) -> RootImage:
    """Debian 12 as its installer leaves it, with what one needs to add an archive."""
    return RootImage.ensure("bookworm", cache / "roots")


@pytest.fixture
def tiny_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyWheels:
    """A folder of tiny wheels as the only place that pip, and so uv, looks for packages in."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    # A machine's own constraints (pip.conf below /etc) are read as well, unless a variable names others.
    (tmp_path / "constraints.txt").touch()
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    return TinyWheels(folder)
