"""Which files of a wheel have some bytes in them: a path of the machine that built it, say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from debtool.wheel.source import open_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.deb.payload import Readable

_CHUNK = 1 << 20


def files_with(wheel: Path, text: bytes) -> list[str]:
    """Return the paths of the files of ``wheel`` that contain ``text``, in the wheel's order.

    Raises:
        InputError: It is no wheel, or damaged.
    """
    with open_wheel(wheel) as opened:
        return [path for path in opened.sizes if _contains(opened.open(path), text)]


def _contains(stream: Readable, text: bytes) -> bool:
    end = b""
    while chunk := stream.read(_CHUNK):
        if text in (seen := end + chunk):
            return True
        end = seen[max(0, len(seen) - len(text) + 1) :]
    return False
