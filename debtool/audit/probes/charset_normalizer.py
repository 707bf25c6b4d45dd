"""charset-normalizer: guessing."""

from __future__ import annotations

from typing import Any

from charset_normalizer import from_bytes


def guessing() -> Any:
    """Three encodings."""
    texts = [("Grüße aus München " * 20).encode(code) for code in ("utf-8", "cp1252", "utf_16")]
    return [str(from_bytes(text).best()) for text in texts]
