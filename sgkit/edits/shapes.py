"""Shapes of weights over the picture, as pure functions of a canvas: no shape is tied to a resolution or a window.

Positions are fractions of the whole picture, 0 at its left or top edge and 1 at the other, of the pixels' centres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import Axis, Canvas

Mask = Callable[[Canvas], Tensor]
"""A canvas -> weights from 0 to 1 that broadcast to its tensor's [height, width]."""


def smoothstep(t: Tensor) -> Tensor:
    """``3t^2 - 2t^3`` with t clamped to 0..1: from 0 to 1 without a kink at either end."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def constant(value: float) -> Mask:
    """The same weight everywhere.

    Raises:
        UsageError: ``value`` is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise UsageError(f"A weight of {value} was given; it must be between 0 and 1.")

    def mask(canvas: Canvas) -> Tensor:  # noqa: ARG001
        return torch.full((1, 1), value)

    return mask


def ramp(start: float = 0.0, stop: float = 1.0, *, axis: Axis = "x", smooth: bool = False) -> Mask:
    """0 before ``start``, 1 after ``stop``, rising between: linear, or by :func:`smoothstep`.

    Raises:
        UsageError: ``stop`` is before ``start``.
    """
    if stop < start:
        raise UsageError(f"A ramp from {start} to {stop} runs backwards; exchange the two, or the branches.")

    def mask(canvas: Canvas) -> Tensor:
        rising = _rise(canvas.positions(axis), start, stop, smooth=smooth).float()
        return rising[None, :] if axis == "x" else rising[:, None]

    return mask


def box(left: float, top: float, right: float, bottom: float, *, softness: float = 0.0, smooth: bool = True) -> Mask:
    """1 inside the box, 0 outside; each edge is a ramp ``softness`` wide whose middle is on the edge.

    Raises:
        UsageError: the box is empty, or the softness negative.
    """
    if right <= left or bottom <= top:
        raise UsageError(
            f"The box from ({left}, {top}) to ({right}, {bottom}) is empty; give left, top, right, bottom."
        )
    if softness < 0:
        raise UsageError(f"A softness of {softness} was given; it must be 0 or more.")
    half = softness / 2

    def bump(positions: Tensor, low: float, high: float) -> Tensor:
        rise = _rise(positions, low - half, low + half, smooth=smooth)
        return torch.minimum(rise, 1 - _rise(positions, high - half, high + half, smooth=smooth))

    def mask(canvas: Canvas) -> Tensor:
        rows, columns = bump(canvas.positions("y"), top, bottom), bump(canvas.positions("x"), left, right)
        return (rows[:, None] * columns[None, :]).float()

    return mask


def ellipse(left: float, top: float, right: float, bottom: float, *, softness: float = 0.0) -> Mask:
    """1 inside the ellipse that touches the four sides of the box, 0 outside; ``softness``: width of the edge's ramp.

    Raises:
        UsageError: the box is empty, or the softness negative.
    """
    box(left, top, right, bottom, softness=softness)  # the same demands
    half = softness / min(right - left, bottom - top)

    def mask(canvas: Canvas) -> Tensor:
        rows = (canvas.positions("y") - (top + bottom) / 2) / ((bottom - top) / 2)
        columns = (canvas.positions("x") - (left + right) / 2) / ((right - left) / 2)
        radius = (rows[:, None].square() + columns[None, :].square()).sqrt()
        return (1 - _rise(radius, 1 - half, 1 + half, smooth=True)).float()

    return mask


def radial(x: float, y: float, inner: float, outer: float) -> Mask:
    """1 up to the distance ``inner`` from (x, y), 0 from ``outer`` on; distances are fractions of the shorter side.

    Raises:
        UsageError: the distances are negative, or ``inner`` is the larger one.
    """
    if not 0 <= inner <= outer:
        raise UsageError(f"The radii {inner} and {outer} must be 0 or more, the first one not larger than the second.")

    def mask(canvas: Canvas) -> Tensor:
        rows, columns = _in_shorter_sides(canvas)
        high, wide = _lengths(canvas)
        distance = ((rows - y * high)[:, None].square() + (columns - x * wide)[None, :].square()).sqrt()
        return (1 - _rise(distance, inner, outer, smooth=True)).float()

    return mask


def polygon(corners: Sequence[tuple[float, float]], *, softness: float = 0.0) -> Mask:
    """1 inside the polygon with these corners (x, y), 0 outside; where it crosses itself, by the even-odd rule.

    Args:
        corners: 3 or more, in fractions of the picture.
        softness: width of the edge's ramp, a fraction of the shorter side; its middle is on the edge.

    Raises:
        UsageError: there are fewer corners, or the softness is negative.
    """
    if len(corners) < 3 or softness < 0:
        raise UsageError(
            f"A polygon of {len(corners)} corners and softness {softness} was given; it needs 3 corners or more, and a "
            "softness of 0 or more."
        )

    def mask(canvas: Canvas) -> Tensor:
        high, wide = _lengths(canvas)
        rows, columns = _in_shorter_sides(canvas)
        points = [(x * wide, y * high) for x, y in corners]
        inside = torch.zeros(len(rows), len(columns), dtype=torch.bool)
        distance = torch.full(inside.shape, torch.inf, dtype=torch.float64)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            if y0 != y1:
                crossing = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
                spans = (rows < y0) != (rows < y1)
                inside ^= spans[:, None] & (columns[None, :] < crossing[:, None])
            if softness:
                distance = torch.minimum(distance, _to_segment(rows, columns, (x0, y0), (x1, y1)))
        if not softness:
            return inside.float()
        return _rise(torch.where(inside, distance, -distance), -softness / 2, softness / 2, smooth=True).float()

    return mask


def quarters(axis: Axis = "x") -> Mask:
    """The ramp of the code of "StyleGAN of All Trades": 0 on the first quarter of the pixels, 1 on the last.

    Between them ``linspace(0, 1)`` over the pixels themselves, so that it depends on their number, as the code's does.
    """

    def mask(canvas: Canvas) -> Tensor:
        side = canvas.side(axis)
        quarter = max(side.frame_length // 4, 1)
        between = max(side.frame_length - 2 * quarter - 1, 1)
        places = (canvas.positions(axis) * side.frame_length - 0.5).round() - quarter
        rising = (places / between).clamp(0, 1).float()
        return rising[None, :] if axis == "x" else rising[:, None]

    return mask


SOAT_PIXELS = 256
"""Side of the masks in the code of "StyleGAN of All Trades"."""


def blurred_box(left: float, top: float, right: float, bottom: float) -> Mask:
    """The box of the code of "StyleGAN of All Trades": a mask of 256x256 pixels, blurred about as wide as half the box.

    The Gaussian has the standard deviation, and its kernel the odd length, that follow half the box's side; layers see
    the mask by bilinear interpolation.

    Raises:
        UsageError: the box has no pixels.
    """
    rows, columns = _blurred(top, bottom), _blurred(left, right)

    def mask(canvas: Canvas) -> Tensor:
        down, across = (_bilinear(canvas.positions(axis), SOAT_PIXELS) for axis in ("y", "x"))
        return ((down @ rows)[:, None] * (across @ columns)[None, :]).float()

    return mask


def _blurred(start: float, stop: float) -> Tensor:
    """One side of the box over the pixels, float64; mirrored at the edges."""
    first, last = (min(max(round(edge * SOAT_PIXELS), 0), SOAT_PIXELS) for edge in (start, stop))
    if last <= first:
        raise UsageError(f"The box from {start:g} to {stop:g} has no pixels; give left, top, right, bottom.")
    side = torch.zeros(SOAT_PIXELS, dtype=torch.float64)
    side[first:last] = 1
    size = (last - first) // 2
    size += size % 2 + 1
    taps = torch.arange(size, dtype=torch.float64) - size // 2
    kernel = (-0.5 * (taps / size).square()).exp()
    padded = torch.nn.functional.pad(side[None, None], (size // 2,) * 2, mode="reflect")
    return torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[0, 0]


def _bilinear(positions: Tensor, count: int) -> Tensor:
    """Weights [len(positions), count] of plain bilinear interpolation between the centres of ``count`` samples."""
    places = (positions.double() * count - 0.5).clamp(0, count - 1)
    return (1 - (places[:, None] - torch.arange(count, dtype=torch.float64)).abs()).clamp(min=0)


def inverse(mask: Mask) -> Mask:
    """1 where ``mask`` is 0, and 0 where it is 1."""
    return lambda canvas: 1 - mask(canvas)


def picture(weights: Tensor, *, softness: float = 0.0) -> Mask:
    """``weights`` [h, w] from 0 to 1 over the whole picture, resampled with an antialiasing bilinear filter.

    Args:
        weights: the picture.
        softness: blur it by a Gaussian whose standard deviation is half of this, a fraction of the shorter side.

    Raises:
        UsageError: ``weights`` has another shape or other values.
    """
    if weights.ndim != 2 or not weights.is_floating_point():
        raise UsageError(f"A mask must be a float tensor [h, w]; got {weights.dtype} {list(weights.shape)}.")
    low, high = weights.min().item(), weights.max().item()
    if low < 0 or high > 1:
        raise UsageError(f"A mask's values must lie between 0 and 1; these lie between {low:g} and {high:g}.")
    if softness:
        sigma = softness * min(weights.shape) / 2
        weights = _gaussian(weights.shape[0], sigma) @ weights.double() @ _gaussian(weights.shape[1], sigma).t()

    def mask(canvas: Canvas) -> Tensor:
        height, width = weights.shape
        rows = _resampling(canvas.positions("y"), height, canvas.y.frame_length)
        columns = _resampling(canvas.positions("x"), width, canvas.x.frame_length)
        return (rows @ weights.double() @ columns.t()).float().clamp(0, 1)

    return mask


class Joins(NamedTuple):
    """Which two of a row of things a position is between: weight ``1 - mix`` for ``left``, ``mix`` for ``right``."""

    left: Tensor
    right: Tensor
    mix: Tensor


def joins(positions: Tensor, count: int, *, overlap: float, is_ring: bool = False) -> Joins:
    """The partition of unity in which ``count`` things share a canvas in equal parts, in order.

    Around each join of two parts there is a smooth ramp, ``overlap`` parts wide; outside the ramps one thing has weight
    1. On a ring the last part joins the first.

    Args:
        positions: fractions of the picture [n].
        count: how many things.
        overlap: width of the ramps as a fraction of a part, 0 to 1.
        is_ring: whether its ends meet.

    Raises:
        UsageError: ``overlap`` is out of range.
    """
    if not 0 <= overlap <= 1:
        raise UsageError(f"An overlap of {overlap:g} was given; it must be between 0 (hard joins) and 1.")
    part = positions.double() * count
    nearest = part.round()
    mix = _rise(part, nearest - overlap / 2, nearest + overlap / 2, smooth=True)
    right = nearest.long()
    if is_ring:
        return Joins((right - 1) % count, right % count, mix)
    return Joins((right - 1).clamp(0, count - 1), right.clamp(0, count - 1), mix)


def _lengths(canvas: Canvas) -> tuple[float, float]:
    """Height and width of the picture in units of its shorter side."""
    height, width = canvas.y.frame_length, canvas.x.frame_length
    return height / min(height, width), width / min(height, width)


def _in_shorter_sides(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Positions of rows and columns in units of the picture's shorter side."""
    high, wide = _lengths(canvas)
    return canvas.positions("y") * high, canvas.positions("x") * wide


def _to_segment(rows: Tensor, columns: Tensor, start: tuple[float, float], end: tuple[float, float]) -> Tensor:
    """Distance [h, w] of every pixel from a straight edge."""
    along = (end[0] - start[0], end[1] - start[1])
    squared = along[0] ** 2 + along[1] ** 2
    x, y = (columns - start[0])[None, :], (rows - start[1])[:, None]
    t = ((x * along[0] + y * along[1]) / squared).clamp(0, 1) if squared else torch.zeros(len(rows), len(columns))
    return ((x - t * along[0]).square() + (y - t * along[1]).square()).sqrt()


def linear_mix(part: Tensor, *, overlap: float, pixels: float) -> Tensor:
    """The mix of :func:`joins` at positions ``part``, rising linearly from 0 at a ramp's first pixel to 1 at its last.

    As "StyleGAN of All Trades" blends: ``linspace(0, 1, n)`` over the ``n`` pixels of a ramp.

    Args:
        part: positions, in parts.
        overlap: width of the ramps in parts.
        pixels: how many pixels a part has.
    """
    nearest, ramp = part.round(), overlap * pixels
    if ramp <= 1:  # a ramp of one pixel is a step
        return (part >= nearest).double()
    return (((part - nearest) * pixels + ramp / 2 - 0.5) / (ramp - 1)).clamp(0, 1)


def _rise(positions: Tensor, start: float | Tensor, stop: float | Tensor, *, smooth: bool) -> Tensor:
    """0 up to ``start``, 1 from ``stop`` on; a step where the two are one."""
    width = torch.as_tensor(stop, dtype=torch.float64) - start
    t = torch.where(
        width > 0, (positions - start) / width.clamp(min=torch.finfo(torch.float64).tiny), positions - start
    )
    t = torch.where(width > 0, t.clamp(0, 1), (t >= 0).double())
    return smoothstep(t) if smooth else t


def _gaussian(count: int, sigma: float) -> Tensor:
    """Weights [count, count] that blur a row of ``count`` samples; each row sums to 1."""
    places = torch.arange(count, dtype=torch.float64)
    weights = (-0.5 * ((places[:, None] - places[None, :]) / sigma).square()).exp()
    return weights / weights.sum(dim=1, keepdim=True)


def _resampling(positions: Tensor, count: int, pixels: int) -> Tensor:
    """Weights [len(positions), count] of ``count`` samples at positions on ``pixels`` pixels; rows sum to 1."""
    width = max(count / pixels, 1.0)
    distance = positions[:, None] * count - 0.5 - torch.arange(count, dtype=torch.float64)
    weights = (1 - distance.abs() / width).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
