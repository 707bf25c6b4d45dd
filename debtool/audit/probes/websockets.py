"""websockets: its C code that masks a frame."""

from __future__ import annotations

from typing import Any

from websockets.speedups import apply_mask


def masking() -> Any:
    """Frames of lengths around those that SSE takes at once."""
    return [apply_mask(bytes(range(200))[:size], b"\x01\x80\xff\x3c") for size in (0, 1, 7, 8, 15, 16, 17, 33, 200)]
