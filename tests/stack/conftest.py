from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.workshops import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.wheels import TinyWheels


@pytest.fixture
def workshop(tiny_index: TinyWheels) -> Iterator[Workshop]:
    """A locked stack of two wheels, a runtime, a keyring, a meta package, a doctor and a tree with a service."""
    # A short path: GnuPG's agent has its socket beside the key, and a socket's path ends at 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="dt-") as folder:
        made = Workshop(Path(folder, "acme"), tiny_index)
        made.wheel("alpha", "1.2.0", requires=["beta<2,>=0.5"], body="ANSWER = 42\n")
        made.wheel("beta", "0.5", body="NAME = 'beta'\n")
        made.lock()
        yield made
