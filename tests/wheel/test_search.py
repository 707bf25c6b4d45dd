from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import InputError
from debtool.wheel.search import files_with
from tests.support.wheels import TinyWheels

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
NEEDLE = b"/where/it/was/built"


@pytest.mark.parametrize("at", [0, 1, CHUNK - len(NEEDLE), CHUNK - 5, CHUNK - 1, CHUNK, 2 * CHUNK - 1])
def test_bytes_are_found_across_what_is_read_at_once(tmp_path: Path, at: int) -> None:
    files = {"one/a.bin": bytes(at) + NEEDLE + bytes(3), "one/b.bin": bytes(at) + NEEDLE[:-1] + bytes(3)}
    wheel = TinyWheels(tmp_path).wheel("one", "1.0", files=files)
    assert files_with(wheel, NEEDLE) == ["one/a.bin"]


def test_one_byte_is_found_and_no_file_has_what_it_has_not(tmp_path: Path) -> None:
    wheel = TinyWheels(tmp_path).wheel("one", "1.0", body="", files={"one/a.bin": b"\xff", "one/b.bin": b""})
    assert files_with(wheel, b"\xff") == ["one/a.bin"]
    assert files_with(wheel, NEEDLE) == []


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one-1.0-py3-none-any.whl"
    path.write_bytes(NEEDLE)
    with pytest.raises(InputError):
        files_with(path, NEEDLE)
