"""kiwisolver: a small system of constraints."""

from __future__ import annotations

from typing import Any

from kiwisolver import Solver, Variable


def constraints() -> Any:
    """Two variables."""
    x, y, solver = Variable("x"), Variable("y"), Solver()
    for constraint in (x + y == 10, x >= 2, (y == 3 * x) | "weak"):
        solver.addConstraint(constraint)
    solver.updateVariables()
    return [x.value(), y.value()]
