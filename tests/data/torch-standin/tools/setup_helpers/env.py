"""What variables mean. Importing this changes some of them, as it does in PyTorch."""

from __future__ import annotations

import os

BUILD_DIR = "build"


def is_on(name: str) -> bool:
    """Return whether the variable says yes."""
    return os.environ.get(name, "").upper() in {"ON", "1", "YES", "TRUE", "Y"}


def is_off(name: str) -> bool:
    """Return whether the variable says no; one that is not there says neither."""
    return os.environ.get(name, "").upper() in {"OFF", "0", "NO", "FALSE", "N"}


if "CFLAGS" in os.environ:
    os.environ.setdefault("CXXFLAGS", os.environ["CFLAGS"])
if "CMAKE_BUILD_TYPE" not in os.environ:
    kind = "Debug" if is_on("DEBUG") else "RelWithDebInfo" if is_on("REL_WITH_DEB_INFO") else "Release"
    os.environ["CMAKE_BUILD_TYPE"] = kind
