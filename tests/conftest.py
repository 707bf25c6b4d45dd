"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from debtool.build.image import RootImage


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where tests keep what is worth keeping between runs: images of roots, downloaded wheels."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("DEBTOOL_CACHE") or home / "debtool")


@pytest.fixture(scope="session")
def bookworm(cache: Path) -> RootImage:
    """Debian 12 as its installer leaves it, with what one needs to add an archive."""
    return RootImage.ensure("bookworm", cache / "roots")
