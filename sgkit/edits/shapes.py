"""Shapes of weights over a canvas, as pure functions of its size: no shape is tied to a resolution.

Positions are fractions of the canvas, 0 at its left or top edge and 1 at the other; a pixel counts by its centre.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.errors import UsageError

Axis = Literal["x", "y"]
"""``x``: along the width; ``y``: along the height."""

Mask = Callable[[tuple[int, int]], Tensor]
"""(height, width) of a canvas -> weights from 0 to 1 that broadcast to [height, width]."""


def centers(count: int) -> Tensor:
    """The positions [count] of pixel centres, float64."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


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

    def mask(size: tuple[int, int]) -> Tensor:  # noqa: ARG001
        return torch.full((1, 1), value)

    return mask


def ramp(start: float = 0.0, stop: float = 1.0, *, axis: Axis = "x", smooth: bool = False) -> Mask:
    """0 before ``start``, 1 behind ``stop``, rising between: linear, or by :func:`smoothstep`.

    Raises:
        UsageError: ``stop`` lies before ``start``.
    """
    if stop < start:
        raise UsageError(f"A ramp from {start} to {stop} runs backwards; exchange the two, or the branches.")

    def mask(size: tuple[int, int]) -> Tensor:
        rising = _rise(centers(size[_DIMENSION[axis]]), start, stop, smooth=smooth)
        return _along(axis, rising)

    return mask


def box(left: float, top: float, right: float, bottom: float, *, softness: float = 0.0, smooth: bool = True) -> Mask:
    """1 inside the box, 0 outside; each edge is a ramp ``softness`` wide whose middle lies on the edge.

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

    def mask(size: tuple[int, int]) -> Tensor:
        rows, columns = bump(centers(size[0]), top, bottom), bump(centers(size[1]), left, right)
        return (rows[:, None] * columns[None, :]).float()

    return mask


def picture(weights: Tensor) -> Mask:
    """``weights`` [h, w] from 0 to 1, resampled to each canvas with an antialiasing bilinear filter.

    Raises:
        UsageError: ``weights`` has another shape or other values.
    """
    if weights.ndim != 2 or not weights.is_floating_point():
        raise UsageError(f"A mask must be a float tensor [h, w]; got {weights.dtype} {list(weights.shape)}.")
    low, high = weights.min().item(), weights.max().item()
    if low < 0 or high > 1:
        raise UsageError(f"A mask's values must lie between 0 and 1; these lie between {low:g} and {high:g}.")

    def mask(size: tuple[int, int]) -> Tensor:
        if weights.shape == size:
            return weights
        return F.interpolate(weights[None, None], size=size, mode="bilinear", antialias=True)[0, 0].clamp(0, 1)

    return mask


class Joins(NamedTuple):
    """Which two of a row of things a position lies between: weight ``1 - mix`` for ``left``, ``mix`` for ``right``."""

    left: Tensor
    right: Tensor
    mix: Tensor


def joins(positions: Tensor, count: int, *, overlap: float, is_ring: bool = False) -> Joins:
    """The partition of unity in which ``count`` things share a canvas in equal parts, in order.

    Around each join of two parts there is a smooth ramp, ``overlap`` parts wide; outside the ramps one thing has weight
    1. On a ring the last part joins the first.

    Args:
        positions: fractions of the canvas [n].
        count: how many things.
        overlap: width of the ramps as a fraction of a part, 0 to 1.
        is_ring: whether the canvas closes upon itself.

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


_DIMENSION = {"y": 0, "x": 1}


def _rise(positions: Tensor, start: float | Tensor, stop: float | Tensor, *, smooth: bool) -> Tensor:
    """0 up to ``start``, 1 from ``stop`` on; a step where the two are one."""
    width = torch.as_tensor(stop, dtype=torch.float64) - start
    t = torch.where(
        width > 0, (positions - start) / width.clamp(min=torch.finfo(torch.float64).tiny), positions - start
    )
    t = torch.where(width > 0, t.clamp(0, 1), (t >= 0).double())
    return smoothstep(t) if smooth else t


def _along(axis: Axis, values: Tensor) -> Tensor:
    """``values`` [n] as a mask that varies along ``axis`` only: [1, n] or [n, 1]."""
    return (values[None, :] if axis == "x" else values[:, None]).float()
