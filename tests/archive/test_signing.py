"""The archive's key, wherever its home is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from debtool.archive.signing import Signer


# gpg-agent's longest socket is 20 bytes; its path must fit into what the agent takes, or go by a shorter way.
@pytest.mark.parametrize("length", [85, 86, 87, 88, 120])
def test_a_key_is_made_and_signs_in_a_home_with_a_path_of_any_length(length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "h" * (length - len(folder) - 1))
        assert len(str(home)) == length
        signer = Signer(home)
        key = signer.ensure_key("Test <test@example.invalid>")
        assert b"BEGIN PGP SIGNATURE" in signer.sign(b"text\n", key.fingerprint).detached
