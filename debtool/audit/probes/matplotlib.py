"""Matplotlib: drawing a picture."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("agg")


def picture() -> Any:
    """Lines, text, a mesh, contours: Agg, FreeType, Qhull."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(3, 2), dpi=50)
    x = np.arange(50.0)
    axes[0].plot(x, np.sin(x / 5))
    axes[0].set_title("Westmere")
    axes[1].contourf(np.outer(x, x))
    axes[1].triplot(np.cos(x), np.sin(2 * x))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    return [list(pixels.shape), round(float(pixels.mean()))]
