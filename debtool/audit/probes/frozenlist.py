"""frozenlist: a list that freezes."""
# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

from __future__ import annotations

from typing import Any

from frozenlist import FrozenList


def freezing() -> Any:
    """A list, frozen."""
    values = FrozenList([1, 2, 3])
    values.freeze()
    return [list(values), values.frozen, hash(values) == hash(values)]
