from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgkit.errors import UsageError
from sgkit.model import Canvas, Side
from sgkit.render.strips import Strip

STRIPS = st.builds(
    Strip,
    length=st.integers(2, 60),
    count=st.integers(1, 12),
    overlap=st.floats(0, 1),
    is_ring=st.booleans(),
    reach=st.integers(1, 2),
)


def canvas_of(strip: Strip, scale: int = 1) -> Canvas:
    """The whole strip, with as much beyond the ends of a ring as a layer reads."""
    along = Side.whole(strip.length, is_periodic=strip.is_ring)
    return Canvas(Side.whole(2), along.grown(strip.reach if strip.is_ring else 0)).scaled(scale)


@given(STRIPS, st.integers(0, 3))
def test_weights_are_a_partition_of_unity_on_every_canvas(strip: Strip, doublings: int) -> None:
    canvas = canvas_of(strip, 1 << doublings)
    weights, pixels = strip.weights(canvas.positions("x")), canvas.x.length
    assert weights.shape == (strip.num_branches, pixels)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(pixels, dtype=torch.float64))


@given(STRIPS, st.integers(0, 4))
def test_a_branch_never_changes_its_style_within_reach_of_where_it_counts(strip: Strip, doublings: int) -> None:
    """All that a layer reads for a pixel to which a branch contributes has the one style that it stands for."""
    scale = 1 << doublings
    canvas = canvas_of(strip)
    weights, owners = strip.weights(canvas.scaled(scale).positions("x")), strip.styles(strip.cells(canvas))[0]
    for branch in range(strip.num_branches):
        for pixel in torch.nonzero(weights[branch] > 1e-9).flatten().tolist():
            position = (pixel + 0.5) / scale + canvas.x.start
            if strip.is_ring and not 0 <= position < strip.length:
                continue  # what is beyond the ends is filled again after every layer
            standing = [style for style in range(strip.count) if _stands(strip, style, position)]
            ours = [style for style in standing if strip.branch_of[style] == branch]
            assert len(ours) == 1
            for size in (1, 2) if doublings else (1,):  # layers that keep the canvas, and those that double it
                read = range(pixel // size - strip.reach, pixel // size + strip.reach + 1)
                cells = {index * size // scale for index in read if 0 <= index * size < len(weights[branch])}
                assert {int(owners[branch, cell]) for cell in cells} == set(ours)


@given(STRIPS, st.integers(-9, 9), st.integers(1, 9), st.integers(0, 2))
def test_a_window_has_the_styles_of_the_whole(strip: Strip, start: int, length: int, margin: int) -> None:
    """Also far beyond the ends of a ring, and pixel by pixel where there is a margin."""
    if not strip.is_ring:
        start = start % strip.length
    cells = torch.arange(-20, 90)
    styles, middles = strip.styles(cells)
    window = Canvas(Side.whole(2), Side(start, length, 0, strip.length, strip.is_ring), margin).scaled(4)
    found = strip.cells(window)
    assert torch.equal(strip.styles(found)[0], styles[:, found + 20])
    assert torch.equal(strip.styles(found)[1], middles[:, found + 20])
    if strip.is_ring:
        again, moved = strip.styles(cells + strip.length)
        assert torch.equal(again, styles)
        needed = strip.weights((cells.double() + 0.5) / strip.length % 1) > 0
        torch.testing.assert_close(moved[needed], middles[needed] + strip.length)


def _stands(strip: Strip, style: int, position: float) -> bool:
    """Whether a style's part with its ramps covers a position (in cells), on a ring or a row."""
    part, half = strip.length / strip.count, strip.overlap / 2
    for turn in (-1, 0, 1) if strip.is_ring else (0,):
        low = float("-inf") if style == 0 and not strip.is_ring else (style - half) * part + turn * strip.length
        last = style == strip.count - 1 and not strip.is_ring
        high = float("inf") if last else (style + 1 + half) * part + turn * strip.length
        if low - 1e-9 < position < high + 1e-9:
            return True
    return False


@pytest.mark.parametrize(
    ("strip", "branches"),
    [
        (Strip(length=4, count=1), 1),
        (Strip(length=400, count=100), 2),
        (Strip(length=400, count=100, overlap=0), 2),
        (Strip(length=400, count=100, overlap=1), 3),
        (Strip(length=16, count=4, is_ring=True), 2),
        (Strip(length=20, count=5, is_ring=True), 3),
        (Strip(length=8, count=2, is_ring=True), 2),
        (Strip(length=4, count=1, is_ring=True), 1),
    ],
)
def test_two_branches_serve_any_number_of_styles(strip: Strip, branches: int) -> None:
    assert strip.num_branches == branches


def test_joins_lie_between_the_parts_and_where_a_ring_closes() -> None:
    assert Strip(length=12, count=3).joins == (4, 8)
    assert Strip(length=12, count=3, is_ring=True).joins == (4, 8, 12)
    assert Strip(length=4, count=1, is_ring=True).joins == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 4, "count": 0}, "needs at least one image"),
        ({"length": 4, "count": 2, "overlap": 1.2}, "overlap is 1.2"),
        ({"length": 1, "count": 1, "is_ring": True, "reach": 2}, "ring of 1 cells is too short"),
    ],
)
def test_impossible_strips_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Strip(**arguments)  # type: ignore[arg-type]
