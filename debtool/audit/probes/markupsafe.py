"""MarkupSafe: escaping."""

from __future__ import annotations

from typing import Any

import markupsafe


def escaping() -> Any:
    """Text of every kind."""
    return [str(markupsafe.escape(text)) for text in ("plain", "<a b='c'>&" * 30, "é<東", "🙂>")]
