"""pillow-avif-plugin: AV1 and its many kernels."""

from __future__ import annotations

import io
from typing import Any

import pillow_avif  # noqa: F401 -- it registers itself
from PIL import Image

WITH = ("pillow",)


def round_trip() -> Any:
    """Encoding and decoding, with losses and without."""
    picture = Image.frombytes("RGB", (64, 48), bytes((i * 7919 // 13) % 256 for i in range(64 * 48 * 3)))
    found = []
    for quality in (50, 100):
        file = io.BytesIO()
        picture.save(file, "AVIF", quality=quality, speed=8)
        back = Image.open(io.BytesIO(file.getvalue())).convert("RGB").tobytes()
        found.append([len(back), round(sum(back) / len(back))])
    return found


TOLERANCE = 0.02
