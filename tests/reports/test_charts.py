from __future__ import annotations

import json
import re
from html import unescape

import pytest

from sgkit.reports.charts import Chart, Curve, Mark, draw, thinned, ticks
from sgkit.reports.pages import Page, Section, render_page


def chart_html(chart: Chart) -> str:
    return render_page(Page(title="", lead="", sections=[Section(title="", charts=[chart])]))


def polylines(page: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in points.split())]
        for points in re.findall(r'<polyline class="k\d" points="([^"]+)"', page)
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 5, 10]), (0.21, 0.39, [0.25, 0.3, 0.35]), (-3, 5, [-2, 0, 2, 4]), (0, 1e6, [0, 5e5, 1e6])],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_long_curves_are_thinned_by_means() -> None:
    points = [(float(x), float(x % 2)) for x in range(1000)]
    few = thinned(points, 250)
    assert len(few) == 250
    assert {y for _, y in few} == {0.5}
    assert few[-1][0] == 999
    assert thinned(points[:5], 250) == points[:5]


def test_curves_lie_in_the_frame_and_tell_their_values() -> None:
    chart = Chart(title="A & B", curves=[Curve(name="<a>", points=[(0.0, 1.0), (5.0, 3.0), (10.0, 2.0)])], note="up")
    page = chart_html(chart)
    [line] = polylines(page)
    (x0, y0), (x1, y1), (x2, y2) = line
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 < y2 < y0  # up is less
    assert y2 - y1 == pytest.approx(y0 - y2, abs=0.2)
    assert "A &amp; B" in page
    assert "&lt;a&gt;" in page
    data = json.loads(unescape(re.search(r'data-values="([^"]+)"', page)[1]))
    assert [point[2:] for point in data["curves"][0]["at"]] == [["0", "1"], ["5", "3"], ["10", "2"]]


def test_wild_values_are_cut_and_do_not_flatten_the_rest() -> None:
    points = [(float(x), 1000.0 if x == 0 else float(x % 5)) for x in range(200)]
    [line] = polylines(chart_html(Chart(title="t", curves=[Curve(name="a", points=points)])))
    heights = [y for _, y in line]
    assert min(heights) == heights[0] >= 0
    assert max(heights[1:]) - min(heights[1:]) > 100


def test_logarithmic_axes_leave_out_what_they_cannot_show() -> None:
    points = [(0.0, 0.0), (1.0, 0.01), (2.0, 0.1), (3.0, 1.0), (4.0, float("nan"))]
    [line] = polylines(chart_html(Chart(title="t", curves=[Curve(name="a", points=points)], log=True)))
    assert len(line) == 3
    assert line[0][1] - line[1][1] == pytest.approx(line[1][1] - line[2][1], abs=0.2)


def test_marks_stand_where_they_are_and_only_inside() -> None:
    curve = Curve(name="a", points=[(0.0, 1.0), (10.0, 2.0)])
    page = chart_html(Chart(title="t", curves=[curve], marks=[Mark(x=5, text="at 5"), Mark(x=50, text="beyond")]))
    assert "<title>at 5</title>" in page
    assert "beyond" not in page


@pytest.mark.parametrize("points", [[(1.0, 2.0)], [(0.0, 3.0), (1.0, 3.0)], [(0.0, 0.0), (1.0, 0.0)]])
@pytest.mark.parametrize("from_zero", [False, True])
def test_curves_without_extent_have_a_frame(points: list[tuple[float, float]], from_zero: bool) -> None:
    page = chart_html(Chart(title="t", curves=[Curve(name="a", points=points)], from_zero=from_zero))
    assert "<svg" in page
    assert "nan" not in page[page.index("<svg") : page.index("</svg>")]


def test_nothing_to_show_is_nothing() -> None:
    chart = Chart(title="t", curves=[Curve(name="a", points=[])])
    assert draw(chart) is None
    assert "<figure" not in chart_html(chart)
