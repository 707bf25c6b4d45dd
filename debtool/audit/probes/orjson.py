"""orjson: there and back."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson


def round_trip() -> Any:
    """Long strings of all kinds (its SIMD), numbers, nesting, dates, sorting."""
    value = {
        "text": "plain " * 40 + 'quote" \\ \n\t' + "é東京🙂" * 30,
        "numbers": [1, -2.5, 1e300, 2**53, 0.1],
        "deep": [[{"a": None}]] * 20,
    }
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    return [
        data,
        orjson.loads(data) == value,
        orjson.dumps(dt.datetime(2020, 1, 2, tzinfo=dt.UTC)),
    ]


def numbers() -> Any:
    """NumPy's arrays."""
    import numpy as np

    return orjson.dumps(np.arange(100.0), option=orjson.OPT_SERIALIZE_NUMPY)


WITH = ("numpy",)
