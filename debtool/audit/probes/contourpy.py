"""contourpy: each algorithm."""

from __future__ import annotations

from typing import Any

import contourpy
import numpy as np

TOLERANCE = 1e-9


def lines() -> Any:
    """Contour lines and filled contours of one surface."""
    z = np.sin(np.arange(30) / 4)[:, None] * np.cos(np.arange(40) / 5)
    generators = [contourpy.contour_generator(z=z, name=name) for name in ("serial", "threaded", "mpl2014", "mpl2005")]
    found = [one.create_contour(0.3) for one in generators] + [generators[0].create_filled_contour(0.1, 0.5)]
    return [[sum(float(np.abs(line).sum()) for line in lines) for lines in one[:1]] for one in found]
