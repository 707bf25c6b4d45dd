"""fontTools: its compiled parts."""

from __future__ import annotations

from typing import Any

from fontTools.cu2qu import curve_to_quadratic
from fontTools.misc import bezierTools
from fontTools.pens.momentsPen import MomentsPen

TOLERANCE = 1e-9


def curves() -> Any:
    """Curves: approximated, split, measured."""
    cubic = ((0, 0), (10, 90), (60, 110), (100, 20))
    pen = MomentsPen()
    pen.moveTo((0, 0))
    pen.curveTo(*cubic[1:])
    pen.closePath()
    return [
        curve_to_quadratic(cubic, 0.5),
        bezierTools.splitCubicAtT(*cubic, 0.3),
        bezierTools.calcCubicArcLength(*cubic),
        pen.area,
    ]
