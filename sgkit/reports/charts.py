"""Line charts as plain data, and their geometry; the template ``chart.html`` draws them as SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sgkit.text import printable

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 400, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 24
MAX_POINTS = 300


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A named line."""

    name: str
    points: Points
    """(x, y), by rising x; y finite."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line at an x where something happened."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over one pair of axes."""

    title: str
    curves: Sequence[Curve]
    note: str = ""
    """What to look for, in a few words."""
    log: bool = False
    """Whether the y axis is logarithmic; values of 0 or less are left out then."""
    from_zero: bool = False
    """Whether the y axis begins at 0."""
    marks: Sequence[Mark] = ()
    x_unit: str = "kimg"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart in the coordinates of its SVG."""

    chart: Chart
    legend: list[tuple[str, str]]
    """(name, last value) of each curve."""
    lines: list[list[tuple[float, float]]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    marks: list[tuple[float, str]]
    values: str
    """JSON for the script that shows values under the pointer."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class _Frame:
    """The ranges of values that the axes show."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool

    def x(self, value: float) -> float:
        first, last = self.x_range
        return round(LEFT + (value - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (*self.y_range, value))
        y = round(HEIGHT - BOTTOM - (at - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)
        return min(max(y, TOP - 4), HEIGHT - BOTTOM + 4)


def draw(chart: Chart) -> Drawing | None:
    """The geometry of ``chart``, or ``None`` if it has no point to show."""
    curves = [curve for curve in (_drawable(one, log=chart.log) for one in chart.curves) if curve.points]
    if not curves:
        return None
    frame = _frame(curves, log=chart.log, from_zero=chart.from_zero)
    y_ticks = _decades(*frame.y_range) if chart.log else ticks(*frame.y_range, count=8)
    values = [
        {"name": printable(curve.name), "at": [[frame.x(x), frame.y(y), number(x), number(y)] for x, y in curve.points]}
        for curve in curves
    ]
    first, last = frame.x_range
    return Drawing(
        chart=chart,
        legend=[(curve.name, number(curve.points[-1][1])) for curve in curves],
        lines=[[(frame.x(x), frame.y(y)) for x, y in curve.points] for curve in curves],
        x_ticks=[(frame.x(tick), number(tick)) for tick in ticks(*frame.x_range, count=5)],
        y_ticks=[(frame.y(tick), number(tick)) for tick in y_ticks],
        marks=[(frame.x(mark.x), mark.text) for mark in chart.marks if first <= mark.x <= last],
        values=json.dumps({"unit": chart.x_unit, "curves": values}),
    )


def thinned(points: Points, limit: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most ``limit`` points: means of equally many neighbours."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(len(points) / limit)
    groups = [points[first : first + size] for first in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """``value`` with four significant digits and no trailing zeros."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.4g}"


def _drawable(curve: Curve, *, log: bool) -> Curve:
    points = [(x, y) for x, y in curve.points if math.isfinite(y) and (y > 0 or not log)]
    return Curve(name=curve.name, points=thinned(points))


def _frame(curves: Sequence[Curve], *, log: bool, from_zero: bool) -> _Frame:
    xs = [x for curve in curves for x, _ in curve.points]
    x_range = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1.0
    ys = sorted(y for curve in curves for _, y in curve.points)
    # A few extreme values at the start must not flatten the rest: the axis covers 98 of 100 values.
    low, high = (ys[round(share * (len(ys) - 1))] for share in ((0.01, 0.99) if len(ys) > 50 else (0, 1)))
    if log:
        low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
        return _Frame(x_range, (low, high if high > low else low * 10), True)
    low = min(low, 0.0) if from_zero else low
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return _Frame(x_range, (low if from_zero and low == 0 else low - pad, high + pad), False)


def _decades(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**power for power in range(first, last + 1, max((last - first) // 4, 1))]
