"""PyWavelets: transforms, there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pywt

TOLERANCE = 1e-6


def transforms() -> Any:
    """Discrete, stationary, packet and continuous wavelets, in both precisions."""
    found = []
    for kind in (np.float32, np.float64):
        x = (((np.arange(128) * 7919) % 2003) / 1001.0 - 1.0).astype(kind)
        for name in ("haar", "db4", "sym5", "bior2.2"):
            found.append([np.round(one.astype(float), 4)[:9] for one in pywt.wavedec(x, name, level=2)])
        found.append(pywt.swt(x, "db2", level=1)[0][0][:9])
    return [*found, pywt.dwt2(np.outer(x, x), "db2")[0].mean(), np.abs(pywt.cwt(x, np.arange(1, 5), "morl")[0]).mean()]


TOLERANCES = {"transforms": 2e-4}
