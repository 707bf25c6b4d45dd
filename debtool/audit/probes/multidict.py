"""multidict: headers."""

from __future__ import annotations

from typing import Any

from multidict import CIMultiDict


def headers() -> Any:
    """Adding, getting, replacing."""
    table = CIMultiDict([("A", "1"), ("a", "2")])
    table.add("b" * 300, "3")
    return [table.getall("a"), list(table.items()), "B" * 300 in table]
