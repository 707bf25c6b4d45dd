"""yarl: parsing and quoting."""

from __future__ import annotations

from typing import Any

from yarl import URL


def quoting() -> Any:
    """Addresses with everything in them."""
    address = URL("http://exämple.org:81/ä b/%20?q=ß&x=1#f" + "é" * 90) / "x y"
    return [str(address), URL("http://a/?b=c%20d").query_string]
