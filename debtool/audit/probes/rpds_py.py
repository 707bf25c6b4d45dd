"""rpds: its persistent collections."""

from __future__ import annotations

from typing import Any

from rpds import HashTrieMap, HashTrieSet, List


def collections() -> Any:
    """A map, a set and a list."""
    table = HashTrieMap({str(i): i for i in range(200)}).insert("x", 1).remove("3")
    return [sorted(table.items()), sorted(HashTrieSet(range(50)).insert(99)), list(List(range(20)).push_front(7))]
