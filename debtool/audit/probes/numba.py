"""numba: what it compiles for the CPU that it finds."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

TOLERANCE = 1e-6


def loops() -> Any:
    """A loop over doubles, one over singles with fast mathematics, one over integers."""

    @numba.njit
    def total(x: Any) -> Any:
        s = 0.0
        for value in x:
            s += np.sin(value) * value + np.exp(-value)
        return s

    @numba.njit(fastmath=True)
    def dot(x: Any, y: Any) -> Any:
        s = np.float32(0)
        for i in range(x.size):
            s += x[i] * y[i]
        return s

    @numba.njit
    def bits(n: int) -> int:
        s = 0
        for i in range(n):
            s ^= (i * 2654435761) & 0xFFFF
        return s

    x = np.arange(257) / 257
    return [total(x), round(float(dot(x.astype(np.float32), x.astype(np.float32))), 3), bits(9999)]


def vectorised() -> Any:
    """A ufunc."""

    @numba.vectorize(["float64(float64, float64)"])
    def f(x: Any, y: Any) -> Any:
        return x * y + np.sqrt(x)

    return f(np.arange(50.0), np.arange(50.0))
