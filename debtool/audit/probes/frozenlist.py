"""frozenlist: a list that freezes."""

from __future__ import annotations

from typing import Any

from frozenlist import FrozenList


def freezing() -> Any:
    """A list, frozen."""
    values = FrozenList([1, 2, 3])
    values.freeze()
    return [list(values), values.frozen, hash(values) == hash(values)]
