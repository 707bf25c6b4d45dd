"""Plots over the time of a build as figures of SVG: where lines, bars, bands and ticks are; a template draws them.

What lies between two runs, however long, is drawn as a narrow gap.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH, HEIGHT = 1000, 190
LEFT, RIGHT, TOP, BOTTOM = 78, 990, 12, 160
"""The plot's rectangle in the drawing; the space left of it and below it is for labels."""

_GAP = 0.02
_GAPS = 0.25
"""Part of the width that a gap between runs takes, and that all of them take at most."""
_COLUMNS = 400
"""Points of a line at most: more than a screen tells apart only makes the page large."""
_TICKS = 8
_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
"""Seconds between two ticks that people can count with."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the width from ``left`` on; both figures are in units of the drawing."""

    left: float
    width: float


class Timeline:
    """Places moments in the width of a plot.

    Args:
        spans: Beginning and end of every run, in order.
    """

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        if not spans:
            raise ValueError("a timeline of no run")
        self._spans = spans
        self.seconds = sum(end - begin for begin, end in spans)
        """Working seconds in all."""
        gaps = len(spans) - 1
        self._gap = min(_GAP, _GAPS / gaps) if gaps else 0.0
        self._part = (1 - gaps * self._gap) / max(self.seconds, 1.0)
        self._begins = [begin for begin, _ in spans]
        self._lefts = [0.0]
        for begin, end in spans[:-1]:
            self._lefts.append(self._lefts[-1] + (end - begin) * self._part + self._gap)

    def x(self, time: float) -> float:
        """Return where ``time`` is; one between two runs is at the end of the first."""
        run = self.run_of(time)
        begin, end = self._spans[run]
        part = self._lefts[run] + (min(max(time, begin), end) - begin) * self._part
        return round(LEFT + part * (RIGHT - LEFT), 1)

    def run_of(self, time: float) -> int:
        """Return the index of the run that ``time`` is in, or after."""
        return max(0, bisect_right(self._begins, time) - 1)

    def span(self, begin: float, end: float) -> Span:
        """Return the stretch from ``begin`` to ``end``."""
        left = self.x(begin)
        return Span(left, round(max(0.0, self.x(end) - left), 1))

    @property
    def gaps(self) -> list[tuple[Span, float]]:
        """The gaps between runs, each with the seconds that it stands for."""
        width = round(self._gap * (RIGHT - LEFT), 1)
        return [(Span(self.x(end), width), begin - end) for (_, end), (begin, _) in pairwise(self._spans)]

    @property
    def ticks(self) -> list[tuple[float, float]]:
        """Where labels belong, each with the working seconds that had passed."""
        step = next((step for step in _STEPS if self.seconds / step <= _TICKS), None)
        if step is None:
            step = _STEPS[-1] * (1 + int(self.seconds / _STEPS[-1] / _TICKS))
        return [(self.x(self._time(second)), float(second)) for second in range(0, int(self.seconds) + 1, step)]

    def _time(self, worked: float) -> float:
        """Return the moment at which so many seconds had been worked."""
        for begin, end in self._spans:
            if worked <= end - begin:
                return begin + worked
            worked -= end - begin
        return self._spans[-1][1]


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity over time.

    Attributes:
        name: What the legend calls it.
        style: The class that it is drawn in.
        kind: ``area`` and ``line`` go from point to point, ``step`` keeps a value until the next.
        points: Moments, in order, and values.
        most: Whether points that fall together are told by their greatest value; otherwise by their mean.
    """

    name: str
    style: str
    kind: Literal["area", "line", "step"]
    points: Sequence[tuple[float, float]]
    most: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series as a path of SVG."""

    name: str
    style: str
    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, ready to be drawn.

    Attributes:
        key: Part of the identifiers of its elements, unique in the page.
        title: What it shows.
        description: The same in a sentence with figures, for whoever cannot see it.
        levels: Heights with their labels.
        series: What is drawn.
    """

    key: str
    title: str
    description: str
    levels: tuple[tuple[float, str], ...]
    series: tuple[Drawn, ...]


def make_plot(
    key: str, title: str, description: str, timeline: Timeline, series: Iterable[Series], label: Callable[[float], str]
) -> Plot:
    """Return a plot of ``series``, from nothing to the greatest value; ``label`` tells a value in words."""
    shown = [one for one in series if one.points]
    top = max((value for one in shown for _, value in one.points), default=0.0) or 1.0
    levels = tuple((_y(top * part, top), label(top * part)) for part in (0.0, 0.5, 1.0))
    drawn = tuple(Drawn(one.name, one.style, one.kind, _path(one, timeline, top)) for one in shown)
    return Plot(key, title, description, levels, drawn)


def _path(series: Series, timeline: Timeline, top: float) -> str:
    """Return the path: one stroke for each run."""
    strokes: dict[int, list[tuple[float, float]]] = {}
    for time, value in series.points:
        strokes.setdefault(timeline.run_of(time), []).append((timeline.x(time), value))
    parts = []
    for points in strokes.values():
        thin = _thinned(points, most=series.most)
        if len(thin) == 1:
            thin.append((thin[0][0] + 1.5, thin[0][1]))  # a single point is a dot
        stroke = f"M{thin[0][0]:g} {_y(thin[0][1], top):g}"
        for (_, before), (x, value) in pairwise(thin):
            if series.kind == "step" and value != before:
                stroke += f"H{x:g}"
            stroke += f"L{x:g} {_y(value, top):g}"
        if series.kind == "area":
            stroke += f"V{BOTTOM}H{thin[0][0]:g}Z"
        parts.append(stroke)
    return "".join(parts)


def _thinned(points: Sequence[tuple[float, float]], *, most: bool) -> list[tuple[float, float]]:
    """Return at most one point for each column of the plot."""
    column = (RIGHT - LEFT) / _COLUMNS
    columns: dict[int, list[tuple[float, float]]] = {}
    for x, value in points:
        columns.setdefault(int((x - LEFT) / column), []).append((x, value))
    told = []
    for together in columns.values():
        values = [value for _, value in together]
        told.append((together[0][0], max(values) if most else sum(values) / len(values)))
    return told


def _y(value: float, top: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, value / top)), 1)
