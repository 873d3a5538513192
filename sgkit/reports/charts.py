"""Line charts as SVG inside HTML: a few small functions, so that a report needs no plotting package and no server."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sgkit.text import printable

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 520, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 24
MAX_POINTS = 300


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A named line."""

    name: str
    points: Points
    """(x, y), by rising x; y finite."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A place on the x axis at which something happened."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over one pair of axes."""

    title: str
    curves: Sequence[Curve]
    note: str = ""
    """What to look for, in half a sentence."""
    log: bool = False
    """Whether the y axis is logarithmic; values of 0 or less are left out then."""
    from_zero: bool = False
    """Whether the y axis begins at 0."""
    marks: Sequence[Mark] = ()
    x_unit: str = "kimg"


@dataclass(frozen=True)
class _Frame:
    """Where values lie in the picture."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool

    def x(self, value: float) -> float:
        first, last = self.x_range
        return round(_LEFT + (value - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (*self.y_range, value))
        return round(_HEIGHT - _BOTTOM - (at - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)


def chart_html(chart: Chart) -> str:
    """A figure with title, legend, and curves that tell their values where the pointer is (with CHART_SCRIPT)."""
    curves = [_drawable(curve, log=chart.log) for curve in chart.curves]
    curves = [curve for curve in curves if curve.points]
    if not curves:
        return ""
    frame = _frame(curves, log=chart.log, from_zero=chart.from_zero)
    legend = "".join(
        f'<span class="key k{index}"><i></i>{_text(curve.name)} <b>{_number(curve.points[-1][1])}</b></span>'
        for index, curve in enumerate(curves)
    )
    note = f'<span class="note">{_text(chart.note)}</span>' if chart.note else ""
    data = {
        "unit": chart.x_unit,
        "curves": [
            {"name": curve.name, "at": [[frame.x(x), frame.y(y), _number(x), _number(y)] for x, y in curve.points]}
            for curve in curves
        ],
    }
    return (
        f'<figure class="chart" data-chart="{_text(json.dumps(data))}">'
        f'<figcaption><strong>{_text(chart.title)}</strong>{note}<span class="legend">{legend}</span></figcaption>'
        f"{_svg(chart, curves, frame)}<output></output></figure>"
    )


def thinned(points: Points, limit: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most ``limit`` points: means of neighbours, as many in each."""
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


def _drawable(curve: Curve, *, log: bool) -> Curve:
    points = [(x, y) for x, y in curve.points if math.isfinite(y) and (y > 0 or not log)]
    return Curve(name=curve.name, points=thinned(points))


def _frame(curves: Sequence[Curve], *, log: bool, from_zero: bool) -> _Frame:
    xs = [x for curve in curves for x, _ in curve.points]
    ys = sorted(y for curve in curves for _, y in curve.points)
    # A few wild values at the start must not flatten the rest: the frame holds 98 of 100, and what lies beyond is cut.
    low, high = (ys[round(share * (len(ys) - 1))] for share in ((0.01, 0.99) if len(ys) > 50 else (0, 1)))
    if log:
        low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
        return _Frame((min(xs), _above(max(xs), min(xs))), (low, high if high > low else low * 10), True)
    low = min(low, 0.0) if from_zero else low
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low = low if from_zero and low == 0 else low - pad
    return _Frame((min(xs), _above(max(xs), min(xs))), (low, high + pad), False)


def _above(value: float, floor: float) -> float:
    return value if value > floor else floor + 1.0


def _svg(chart: Chart, curves: Sequence[Curve], frame: _Frame) -> str:
    low, high = frame.y_range
    y_ticks = _decades(low, high) if chart.log else ticks(low, high)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{frame.y(tick)}" y2="{frame.y(tick)}"/>'
        f'<text x="{_LEFT - 8}" y="{frame.y(tick) + 4}" text-anchor="end">{_number(tick)}</text>'
        for tick in y_ticks
    ]
    x_ticks = ticks(*frame.x_range, count=5)
    parts += [
        f'<text x="{frame.x(tick)}" y="{bottom + 17}" text-anchor="middle">{_number(tick)}</text>' for tick in x_ticks
    ]
    parts.append(f'<text x="{_LEFT - 8}" y="{bottom + 17}" text-anchor="end">{_text(chart.x_unit)}</text>')
    first, last = frame.x_range
    parts += [
        f'<g class="mark"><title>{_text(mark.text)}</title>'
        f'<line x1="{frame.x(mark.x)}" x2="{frame.x(mark.x)}" y1="{_TOP}" y2="{bottom}"/></g>'
        for mark in chart.marks
        if first <= mark.x <= last
    ]
    parts += [_line(index, curve, frame) for index, curve in enumerate(curves)]
    parts.append(f'<line class="cursor" x1="0" x2="0" y1="{_TOP}" y2="{bottom}"/>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_text(chart.title)}">'
        f'<svg x="0" y="0" width="{_WIDTH}" height="{_HEIGHT}">{"".join(parts)}</svg></svg>'
    )


def _line(index: int, curve: Curve, frame: _Frame) -> str:
    if len(curve.points) == 1:
        x, y = curve.points[0]
        return f'<circle class="k{index}" cx="{frame.x(x)}" cy="{frame.y(y)}" r="3"/>'
    low, high = _TOP - 4, _HEIGHT - _BOTTOM + 4
    path = " ".join(f"{frame.x(x)},{min(max(frame.y(y), low), high)}" for x, y in curve.points)
    return f'<polyline class="k{index}" points="{path}"/>'


def _decades(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**power for power in range(first, last + 1, max((last - first) // 4, 1))]


def _number(value: float) -> str:
    """Four digits, without zeros that say nothing."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.4g}"


def _text(text: str) -> str:
    return html.escape(printable(text, limit=len(text)), quote=True)


CHART_STYLE = """
:root { --k0: #2f6f9f; --k1: #c8643c; --k2: #4f8f5b; --k3: #8a63b0; --k4: #b08a2e; --k5: #5f7a84; }
@media (prefers-color-scheme: dark) { :root { --k0: #6cb2e2; --k1: #ee9270; --k2: #7fc48c; --k3: #bd9be0; --k4: #d9b65c;
  --k5: #9db4bd; } }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1.6rem 2rem; }
.chart { position: relative; min-width: 0; }
.chart figcaption { width: auto; margin: 0 0 .3rem; display: flex; flex-wrap: wrap; gap: 0 .8rem;
  align-items: baseline; }
.chart strong { color: var(--ink); font-weight: 600; }
.chart .legend { flex-basis: 100%; display: flex; flex-wrap: wrap; gap: 0 1rem; }
.key i { display: inline-block; width: .8rem; height: .2rem; border-radius: .1rem; margin-right: .35rem;
  vertical-align: .25rem; background: var(--k); }
.key b { color: var(--ink); font-weight: 500; font-variant-numeric: tabular-nums; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart svg text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .mark { stroke: var(--k1); stroke-width: 1.5; stroke-dasharray: 3 3; }
.chart .cursor { stroke: var(--soft); stroke-width: 1; visibility: hidden; }
.chart polyline { fill: none; stroke: var(--k); stroke-width: 1.8; stroke-linejoin: round; }
.chart circle { fill: var(--k); }
.k0 { --k: var(--k0); } .k1 { --k: var(--k1); } .k2 { --k: var(--k2); } .k3 { --k: var(--k3); }
.k4 { --k: var(--k4); } .k5 { --k: var(--k5); }
.chart output { position: absolute; pointer-events: none; visibility: hidden; background: var(--ink);
  color: var(--card); border-radius: 6px; padding: .25rem .55rem; font-size: .78rem; line-height: 1.4; white-space: pre;
  z-index: 1; font-variant-numeric: tabular-nums; }
"""

CHART_SCRIPT = """
for (const chart of document.querySelectorAll(".chart")) {
  const { unit, curves } = JSON.parse(chart.dataset.chart);
  const svg = chart.querySelector("svg"), cursor = chart.querySelector(".cursor"), box = chart.querySelector("output");
  const show = (visible) => { cursor.style.visibility = box.style.visibility = visible ? "visible" : "hidden"; };
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / area.width;
    const x = (event.clientX - area.left) * scale;
    const nearest = (points) => points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
    const found = curves.map((curve) => [curve.name, nearest(curve.at)]);
    const at = found[0][1];
    cursor.setAttribute("x1", at[0]);
    cursor.setAttribute("x2", at[0]);
    box.textContent = [at[2] + " " + unit, ...found.map(([name, point]) => name + "  " + point[3])].join("\\n");
    const left = at[0] / scale + 12, room = area.width - box.offsetWidth;
    box.style.left = (left < room ? left : at[0] / scale - box.offsetWidth - 12) + "px";
    box.style.top = svg.offsetTop + event.clientY - area.top - box.offsetHeight / 2 + "px";
    show(true);
  });
  svg.addEventListener("pointerleave", () => show(false));
}
"""
