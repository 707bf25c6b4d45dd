"""wcwidth: how wide text is."""
# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

from __future__ import annotations

from typing import Any

import wcwidth


def widths() -> Any:
    """Text of every width."""
    return [wcwidth.wcswidth(text) for text in ("abc", "東京", "é", "🙂", "\u0301")]
