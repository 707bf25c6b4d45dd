"""propcache: a cached property."""

from __future__ import annotations

from typing import Any

from propcache import cached_property


def caching() -> Any:
    """A property that is computed once."""

    class One:
        count = 0

        @cached_property
        def value(self) -> int:
            One.count += 1
            return One.count

    one = One()
    return [one.value, one.value]
