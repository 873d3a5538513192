from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from sgkit.edits import Joins, Mask, box, constant, ellipse, joins, picture, polygon, quarters, radial, ramp
from sgkit.edits.shapes import smoothstep
from sgkit.errors import UsageError
from sgkit.model import Canvas, Side

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
FRACTIONS = st.floats(-0.5, 1.5, allow_nan=False)


def centers(count: int) -> torch.Tensor:
    return Canvas.of_size((1, count)).positions("x")


def dense(weights: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return weights.expand(size)


@given(SIZES, FRACTIONS, st.floats(0, 1), st.sampled_from(["x", "y"]), st.booleans())
def test_a_ramp_rises_from_0_to_1_and_stays_there(
    size: tuple[int, int], start: float, width: float, axis: str, smooth: bool
) -> None:
    weights = dense(ramp(start, start + width, axis=axis, smooth=smooth)(Canvas.of_size(size)), size)  # type: ignore[arg-type]
    along = weights[0] if axis == "x" else weights[:, 0]
    positions = centers(len(along))
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert (along.diff() >= 0).all()
    assert (along[positions < start] == 0).all()
    assert (along[positions > start + width] == 1).all()


def test_a_linear_ramp_is_the_position_between_its_ends() -> None:
    torch.testing.assert_close(
        ramp(0.25, 0.75)(Canvas.of_size((3, 8)))[0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
    )


@given(st.integers(1, 6), st.integers(1, 6))
def test_a_finer_canvas_shows_the_same_ramp(count: int, doublings: int) -> None:
    """The mean over the pixels that replace one pixel is its value, wherever the ramp is straight."""
    coarse, fine = (ramp()(Canvas.of_size((1, n)))[0] for n in (count, count << doublings))
    torch.testing.assert_close(fine.reshape(count, -1).mean(dim=1), coarse)


def test_smoothstep_is_flat_at_both_ends_and_symmetric() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(smoothstep(t) + smoothstep(1 - t), torch.ones(11, dtype=torch.float64))
    assert smoothstep(torch.tensor([1e-4, -3.0, 7.0])).tolist() == pytest.approx([0, 0, 1], abs=1e-7)


@given(SIZES, st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 0.5))
def test_a_box_is_1_deep_inside_and_0_far_outside(size: tuple[int, int], left: float, top: float, soft: float) -> None:
    right, bottom = left + 0.5, top + 0.4
    weights = box(left, top, right, bottom, softness=soft)(Canvas.of_size(size))
    assert weights.shape == size
    assert weights.min() >= 0
    assert weights.max() <= 1
    rows, columns = centers(size[0])[:, None], centers(size[1])[None, :]
    half = soft / 2
    inside = (rows > top + half) & (rows < bottom - half) & (columns > left + half) & (columns < right - half)
    outside = (rows < top - half) | (rows > bottom + half) | (columns < left - half) | (columns > right + half)
    assert (weights[inside] == 1).all()
    assert (weights[outside] == 0).all()


def test_a_hard_box_counts_pixels_by_their_centres() -> None:
    weights = box(0.25, 0.0, 0.75, 0.5)(Canvas.of_size((4, 4)))
    assert weights.tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


WIDE = Canvas.of_size((24, 40))
ROWS, COLUMNS = WIDE.positions("y").tolist(), WIDE.positions("x").tolist()


def test_an_ellipse_by_its_equation() -> None:
    weights = ellipse(0.1, 0.2, 0.7, 0.8)(WIDE)
    for i, y in enumerate(ROWS):
        for j, x in enumerate(COLUMNS):
            assert weights[i, j] == (((x - 0.4) / 0.3) ** 2 + ((y - 0.5) / 0.3) ** 2 <= 1)


def test_a_radial_shape_is_round_on_a_wide_picture() -> None:
    weights = radial(0.5, 0.5, 0.25, 0.5)(WIDE)
    for i, y in enumerate(ROWS):
        for j, x in enumerate(COLUMNS):
            away = math.hypot((x - 0.5) * 40 / 24, y - 0.5)
            t = min(max((away - 0.25) / 0.25, 0), 1)
            assert weights[i, j].item() == pytest.approx(1 - t * t * (3 - 2 * t), abs=1e-6)


@pytest.mark.parametrize("softness", [0.0, 0.2])
def test_a_polygon_by_distances_and_crossings(softness: float) -> None:
    """A bow tie, which crosses itself, in units of the shorter side, by naive loops."""
    corners = [(0.1, 0.1), (0.9, 0.85), (0.9, 0.15), (0.1, 0.9)]
    weights = polygon(corners, softness=softness)(WIDE)
    points = [(x * 40 / 24, y) for x, y in corners]
    for i, y in enumerate(ROWS):
        for j, x in enumerate(column * 40 / 24 for column in COLUMNS):
            inside, nearest = False, math.inf
            for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
                if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
                    inside = not inside
                share = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
                share = min(max(share, 0), 1)
                nearest = min(nearest, math.hypot(x - ax - share * (bx - ax), y - ay - share * (by - ay)))
            expected = float(inside)
            if softness:
                t = min(max(((nearest if inside else -nearest) + softness / 2) / softness, 0), 1)
                expected = t * t * (3 - 2 * t)
            assert weights[i, j].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count", [4, 8, 64, 100])
def test_quarters_are_a_linspace_between_two_quarters(count: int) -> None:
    pad = count // 4
    expected = torch.cat([torch.zeros(pad), torch.linspace(0, 1, count - 2 * pad), torch.ones(pad)])
    torch.testing.assert_close(quarters()(Canvas.of_size((3, count)))[0], expected, rtol=0, atol=1e-6)


def test_a_soft_picture_is_blurred_by_a_gaussian() -> None:
    drawn = torch.rand(20, 30, generator=torch.Generator().manual_seed(1))
    sigma = 0.2 * 20 / 2
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in drawn.shape)
    i, j = 7, 11
    near = torch.exp(-0.5 * ((rows - i) / sigma) ** 2)[:, None] * torch.exp(-0.5 * ((columns - j) / sigma) ** 2)
    expected = (drawn * near).sum() / near.sum()
    assert picture(drawn, softness=0.2)(Canvas.of_size((20, 30)))[i, j].item() == pytest.approx(
        expected.item(), abs=1e-6
    )


@given(SIZES, SIZES)
def test_a_picture_keeps_its_range_and_constants_on_every_canvas(size: tuple[int, int], given: tuple[int, int]) -> None:
    drawn = torch.rand(given, generator=torch.Generator().manual_seed(1))
    weights = picture(drawn)(Canvas.of_size(size))
    assert weights.shape == size
    assert weights.min() >= drawn.min() - 1e-6
    assert weights.max() <= drawn.max() + 1e-6
    torch.testing.assert_close(picture(torch.full(given, 0.25))(Canvas.of_size(size)), torch.full(size, 0.25))


def test_a_picture_is_resampled_with_an_antialiasing_filter() -> None:
    drawn = torch.rand(12, 7, generator=torch.Generator().manual_seed(1))
    for size in ((12, 7), (24, 21), (5, 3), (4, 40)):
        expected = F.interpolate(drawn[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
        torch.testing.assert_close(picture(drawn)(Canvas.of_size(size)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", [ramp(0.2, 0.9), box(0.1, 0, 0.6, 0.5, softness=0.1), picture(torch.rand(5, 6))])
def test_a_window_of_a_mask_is_cut_from_the_whole(mask: Mask) -> None:
    whole = dense(mask(Canvas.of_size((12, 20))), (12, 20))
    part = mask(Canvas(Side(3, 4, 0, 12), Side(-2, 9, 0, 20), margin=1)).expand(6, 11)
    assert torch.equal(part[:, 3:], whole[2:8, :8])
    assert torch.equal(part[:, :3], whole[2:8, :1].expand(6, 3))  # what is beyond the picture is as its edge


def total(found: Joins, count: int) -> torch.Tensor:
    """Weight of each thing at each position."""
    weights = torch.zeros(count, len(found.mix), dtype=torch.float64)
    weights.scatter_add_(0, found.left[None], 1 - found.mix[None])
    return weights.scatter_add_(0, found.right[None], found.mix[None])


@given(st.integers(1, 9), st.integers(1, 200), st.floats(0, 1), st.booleans())
def test_joins_are_a_partition_of_unity(count: int, pixels: int, overlap: float, is_ring: bool) -> None:
    weights = total(joins(centers(pixels), count, overlap=overlap, is_ring=is_ring), count)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(pixels, dtype=torch.float64))
    assert weights.min() >= 0


@given(st.integers(2, 6), st.floats(0, 0.9))
def test_each_has_weight_1_in_the_middle_of_its_part(count: int, overlap: float) -> None:
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    for is_ring in (False, True):
        weights = total(joins(middles, count, overlap=overlap, is_ring=is_ring), count)
        torch.testing.assert_close(weights, torch.eye(count, dtype=torch.float64))


@given(st.integers(2, 6), st.floats(0.05, 1))
def test_joins_are_smooth(count: int, overlap: float) -> None:
    """No pixel's weight differs from its neighbour's by more than smoothstep's steepest slope, 3/2, allows."""
    weights = total(joins(centers(4000), count, overlap=overlap, is_ring=True), count)
    around = torch.cat([weights, weights[:, :1]], dim=1)
    assert around.diff(dim=1).abs().max() <= 1.5 * count / overlap / 4000 + 1e-9


def test_a_row_ends_with_its_first_and_last_and_a_ring_joins_them() -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert total(joins(ends, 3, overlap=1), 3).t().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert total(joins(ends, 3, overlap=1, is_ring=True), 3).t().tolist() == [[0.5, 0, 0.5], [0.5, 0, 0.5]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(1.5), "between 0 and 1"),
        (lambda: ramp(0.7, 0.2), "runs backwards"),
        (lambda: box(0.5, 0, 0.5, 1), "is empty"),
        (lambda: box(0, 0, 1, 1, softness=-1), "must be 0 or more"),
        (lambda: polygon([(0, 0), (1, 1)]), "3 corners or more"),
        (lambda: radial(0, 0, 2, 1), "the first one not larger"),
        (lambda: ellipse(0, 0, 0, 1), "is empty"),
        (lambda: picture(torch.zeros(1, 2, 2)), r"float tensor \[h, w\]"),
        (lambda: picture(torch.full((2, 2), 3.0)), "between 3 and 3"),
        (lambda: joins(centers(3), 2, overlap=1.5), "between 0 .hard joins. and 1"),
    ],
)
def test_wrong_shapes_say_what_is_allowed(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]
