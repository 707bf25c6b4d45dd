"""regex: its own engine."""

from __future__ import annotations

from typing import Any

import regex


def matching() -> Any:
    """Unicode, fuzzy, recursive, overlapping, case-insensitive."""
    text = "Grüße aus Tōkyō, 東京 - the quick brown fox 1234 (a(b)c) " * 20
    patterns = (r"\p{Lu}\p{Ll}+", r"(?:quikc){e<=2}", r"\((?:[^()]|(?R))*\)", r"(?i)THE\s+\w+", r"\d{2,3}")
    return [[m.group() for m in regex.finditer(pattern, text)][:10] for pattern in patterns] + [
        len(regex.findall(r"\w\w", text, overlapped=True))
    ]
