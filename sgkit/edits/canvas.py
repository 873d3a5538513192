"""Edits that change the canvas. They move ``x``, ``rgb`` and shortcut together, or the image would tear.

Lengths are pixels of the canvas on which the edit fires, so say where: ``at_kind("input")`` or ``closing(8)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.edits.select import Selection, when
from sgkit.edits.shapes import Axis
from sgkit.errors import EditError
from sgkit.model import FeatureEdit, State

PadMode = Literal["constant", "reflect", "replicate", "circular"]

_DIMENSION = {"y": 2, "x": 3}


def move(function: Callable[[Tensor], Tensor], *, where: Selection, branch: int | None = None) -> FeatureEdit:
    """``function`` applied to every tensor [N, C, H, W] of every branch, or of ``branch`` only.

    Branches that share one state share the moved one.
    """

    def change(states: list[State]) -> list[State]:
        moved: dict[int, State] = {}
        for index, state in enumerate(states):
            if branch in (None, index) and id(state) not in moved:
                moved[id(state)] = state.map(function)
        return [moved[id(state)] if branch in (None, i) else state for i, state in enumerate(states)]

    return when(where, change)


def tile(length: int, *, where: Selection, axis: Axis = "x") -> FeatureEdit:
    """The canvas repeated along ``axis`` until it is ``length`` long; shorter lengths crop."""

    def repeat(tensor: Tensor) -> Tensor:
        dimension = _DIMENSION[axis]
        return _take(tensor, torch.arange(length) % tensor.shape[dimension], dimension)

    return move(repeat, where=where)


def pad(
    left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, *, where: Selection, mode: PadMode = "reflect"
) -> FeatureEdit:
    """The canvas made larger at its edges; ``constant`` fills with zeros."""
    return move(lambda tensor: _padded(tensor, (left, right, top, bottom), mode), where=where)


def crop(left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, *, where: Selection) -> FeatureEdit:
    """The canvas made smaller at its edges."""
    return move(lambda tensor: _cropped(tensor, left, right, top, bottom), where=where)


def shift(x: int = 0, y: int = 0, *, where: Selection, mode: PadMode = "circular") -> FeatureEdit:
    """The content moved right by ``x`` and down by ``y`` on an equal canvas; ``mode``: what comes in at the edges."""

    def moved(tensor: Tensor) -> Tensor:
        if mode == "circular":
            return tensor.roll((y, x), dims=(2, 3))
        grown = _padded(tensor, (max(x, 0), max(-x, 0), max(y, 0), max(-y, 0)), mode)
        return _cropped(grown, max(-x, 0), max(x, 0), max(-y, 0), max(y, 0))

    return move(moved, where=where)


def resize(
    height_factor: float = 1.0, width_factor: float = 1.0, *, where: Selection, mode: str = "nearest-exact"
) -> FeatureEdit:
    """The canvas stretched by the factors; ``mode`` as in :func:`torch.nn.functional.interpolate`."""

    def stretched(tensor: Tensor) -> Tensor:
        size = (max(round(tensor.shape[2] * height_factor), 1), max(round(tensor.shape[3] * width_factor), 1))
        return F.interpolate(tensor, size=size, mode=mode)

    return move(stretched, where=where)


def ring(period: int, halo: int, *, where: Selection, axis: Axis = "x") -> FeatureEdit:
    """Closes a canvas upon itself: both its halos are filled again from the opposite end.

    Behind every layer that gives convolution on a ring, exact as long as no layer reaches further than the halo.

    Args:
        period: length of the ring, and
        halo: length of what lies beyond either end, both in units of the first layers' canvas: the canvas of every
            layer is some multiple of ``period + 2 * halo`` long.
        where: the layers.
        axis: along what the canvas closes.
    """

    def closed(tensor: Tensor) -> Tensor:
        dimension = _DIMENSION[axis]
        length = tensor.shape[dimension]
        scale, rest = divmod(length, period + 2 * halo)
        if rest:
            raise EditError(f"A ring of {period} with halos of {halo} does not fit a canvas {length} long.")
        edge = halo * scale
        inside = [tensor.narrow(dimension, start, edge) for start in (length - 2 * edge, edge)]
        return torch.cat([inside[0], tensor.narrow(dimension, edge, length - 2 * edge), inside[1]], dim=dimension)

    return move(closed, where=where)


def _take(tensor: Tensor, index: Tensor, dimension: int) -> Tensor:
    layout = torch.channels_last if tensor.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    return tensor.index_select(dimension, index.to(tensor.device)).contiguous(memory_format=layout)


def _padded(tensor: Tensor, amounts: tuple[int, int, int, int], mode: PadMode) -> Tensor:
    height, width = tensor.shape[2:]
    room = {"reflect": -1, "circular": 0}.get(mode)
    if room is not None and (max(amounts[:2]) > width + room or max(amounts[2:]) > height + room):
        raise EditError(
            f"Padding {mode!r} by {amounts} (left, right, top, bottom) needs a larger canvas than {width}x{height}; "
            "pad less, at a finer resolution, or by 'replicate'."
        )
    return F.pad(tensor, amounts, mode=mode)


def _cropped(tensor: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    height, width = tensor.shape[2:]
    if left + right >= width or top + bottom >= height:
        raise EditError(
            f"Cropping {left}, {right}, {top}, {bottom} (left, right, top, bottom) leaves nothing of {width}x{height}."
        )
    return tensor[:, :, top : height - bottom, left : width - right]
