"""wcwidth: how wide text is."""

from __future__ import annotations

from typing import Any

import wcwidth


def widths() -> Any:
    """Text of every width."""
    return [wcwidth.wcswidth(text) for text in ("abc", "東京", "é", "🙂", "\u0301")]
