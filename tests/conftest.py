"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from debtool.build.image import RootImage


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where tests keep what is worth keeping between runs: images of roots, downloaded wheels."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "debtool"


@pytest.fixture(scope="session")
def bookworm(cache: Path) -> RootImage:
    """Debian 12 as its installer leaves it, with what one needs to add an archive."""
    return RootImage.ensure("bookworm", cache / "roots")
