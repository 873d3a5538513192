"""Edits that change the canvas. They move features, image and shortcut together, or the image would tear.

Lengths are pixels of the layer at which the edit acts, so say where: ``at_kind("input")`` or ``closing(8)``. Content
keeps its coordinates, so its noise moves with it: after ``pad(left=4)`` the picture starts at -4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.edits.select import Where, when
from sgkit.edits.shapes import box
from sgkit.errors import EditError, UsageError
from sgkit.model import Axis, Canvas, Edit, LayerSpec, Side, State
from sgkit.model.canvas import DIMENSION

PadMode = Literal["constant", "reflect", "replicate", "circular"]

Move = Callable[[Tensor, Canvas], Tensor]
"""A tensor [N, C, H, W] and its canvas -> the tensor moved."""


def move(
    function: Move,
    *,
    where: Where,
    canvas: Callable[[Canvas], Canvas] = lambda canvas: canvas,
    branch: int | None = None,
) -> Edit:
    """``function`` applied to every tensor of every branch, or of ``branch`` only; ``canvas``: where they are then.

    Branches that share one state share the moved one.
    """

    def change(spec: LayerSpec, states: list[State]) -> list[State]:  # noqa: ARG001
        moved: dict[int, State] = {}
        for index, state in enumerate(states):
            if branch in (None, index) and id(state) not in moved:
                moved[id(state)] = _moved(state, function, canvas)
        return [moved[id(state)] if branch in (None, i) else state for i, state in enumerate(states)]

    return when(where, change)


def tile(length: int, *, where: Where, axis: Axis = "x") -> Edit:
    """The picture repeated along ``axis`` until it is ``length`` long; shorter lengths crop."""

    def repeat(tensor: Tensor, canvas: Canvas) -> Tensor:
        return _around(tensor, canvas, axis, stop=length)

    def longer(canvas: Canvas) -> Canvas:
        side = _whole(canvas, axis)
        return canvas.with_side(axis, side.extended(0, length - side.length))

    return move(repeat, where=where, canvas=longer)


def pad(
    left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, *, where: Where, mode: PadMode = "reflect"
) -> Edit:
    """The picture made larger at its edges, by any length; ``constant`` fills with zeros."""
    return move(
        lambda tensor, canvas: _padded(tensor, (left, right, top, bottom), mode),  # noqa: ARG005
        where=where,
        canvas=lambda canvas: _extended(canvas, left, right, top, bottom),
    )


def repeat(
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    times: int,
    where: Where,
    axis: Axis = "x",
    softness: float = 0.0,
    mirror: bool = True,
) -> Edit:
    """The picture made longer along ``axis`` inside a box: what is in the box is there ``times`` times.

    Beside the box, above and below it for ``x``, the picture is stretched by as much. So one hedge becomes a long one.

    Args:
        left: of the box, which is in fractions of the picture.
        top: its upper edge.
        right: its right edge.
        bottom: its lower edge.
        times: how often, 1 or more.
        where: at which layers.
        axis: ``x``: the picture becomes wider; ``y``: taller.
        softness: width of the blend between what is repeated and what is stretched.
        mirror: every second copy is mirrored, so that neighbours fit; an odd number also fits what follows.

    Raises:
        UsageError: the box is empty, or ``times`` is less than 1.
    """
    if times < 1:
        raise UsageError(f"A box is to be repeated {times} times; it must be 1 or more.")
    ends, edge = ((left, right), box(0, top, 1, bottom, softness=softness))
    if axis == "y":
        ends, edge = ((top, bottom), box(left, 0, right, 1, softness=softness))
    box(left, top, right, bottom)  # refuses empty ones

    def places(canvas: Canvas) -> tuple[int, int]:
        """First and last (exclusive) pixel of the frame that are repeated."""
        length = _whole(canvas, axis).length
        start = min(max(round(ends[0] * length), 0), length - 1)
        return start, min(max(round(ends[1] * length), start + 1), length)

    def widened(tensor: Tensor, canvas: Canvas) -> Tensor:
        start, stop = (place + canvas.margin for place in places(canvas))
        inside = torch.arange(start, stop)
        copies = [inside.flip(0) if mirror and copy % 2 else inside for copy in range(times)]
        around = torch.arange(start), torch.arange(stop, tensor.shape[DIMENSION[axis]])
        repeated = _picked(tensor, axis, torch.cat([around[0], *copies, around[1]]))
        stretched = _picked(tensor, axis, torch.cat([around[0], inside.repeat_interleave(times), around[1]]))
        share = edge(longer(canvas)).to(repeated)
        return stretched * (1 - share) + repeated * share

    def longer(canvas: Canvas) -> Canvas:
        start, stop = places(canvas)
        return canvas.with_side(axis, _whole(canvas, axis).extended(0, (times - 1) * (stop - start)))

    return move(widened, where=where, canvas=longer)


def crop(left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, *, where: Where) -> Edit:
    """The picture made smaller at its edges."""

    def cropped(tensor: Tensor, canvas: Canvas) -> Tensor:
        height, width = canvas.y.length, canvas.x.length
        if left + right >= width or top + bottom >= height:
            raise EditError(
                f"Cropping {left}, {right}, {top}, {bottom} (left, right, top, bottom) leaves nothing of "
                f"{width}x{height}."
            )
        return _padded(tensor, (-left, -right, -top, -bottom), "constant")

    return move(cropped, where=where, canvas=lambda canvas: _extended(canvas, -left, -right, -top, -bottom))


def shift(x: int = 0, y: int = 0, *, where: Where, mode: PadMode = "circular") -> Edit:
    """The content moved right by ``x`` and down by ``y`` on an equal canvas; ``mode``: what comes in at the edges."""

    def moved(tensor: Tensor, canvas: Canvas) -> Tensor:
        if mode == "circular" and canvas.margin == 0:
            return tensor.roll((y, x), dims=(2, 3))
        if mode == "circular":
            return _around(_around(tensor, canvas, "y", start=-y), canvas, "x", start=-x)
        grown = _padded(tensor, (max(x, 0), max(-x, 0), max(y, 0), max(-y, 0)), mode)
        return _padded(grown, (-max(-x, 0), -max(x, 0), -max(-y, 0), -max(y, 0)), "constant")

    def placed(canvas: Canvas) -> Canvas:
        return Canvas(_whole(canvas, "y").shifted(-y), _whole(canvas, "x").shifted(-x), canvas.margin)

    return move(moved, where=where, canvas=placed)


def resize(height_factor: float = 1.0, width_factor: float = 1.0, *, where: Where, mode: str = "nearest-exact") -> Edit:
    """The picture stretched by the factors; ``mode`` as in :func:`torch.nn.functional.interpolate`."""

    def stretched(tensor: Tensor, canvas: Canvas) -> Tensor:
        after = placed(canvas)
        # A margin is stretched with the picture it continues, then cut or continued to the size that layers expect.
        rows, columns = (max(round(canvas.margin * factor), 0) for factor in (height_factor, width_factor))
        size = (after.y.length + 2 * rows, after.x.length + 2 * columns)
        tensor = F.interpolate(tensor, size=size, mode=mode)
        top, left = canvas.margin - rows, canvas.margin - columns
        tensor = _padded(tensor, (max(left, 0),) * 2 + (max(top, 0),) * 2, "replicate")
        return _padded(tensor, (min(left, 0),) * 2 + (min(top, 0),) * 2, "constant")

    def placed(canvas: Canvas) -> Canvas:
        y, x = (
            _stretched(_whole(canvas, axis), f)
            for axis, f in zip(DIMENSION, (height_factor, width_factor), strict=True)
        )
        return Canvas(y, x, canvas.margin)

    return move(stretched, where=where, canvas=placed)


def ring(*, where: Where) -> Edit:
    """Closes the periodic axes: what a tensor holds beyond the frame is filled again from the opposite end.

    After every layer that gives convolution on a ring, exact as long as no layer reaches further than what is beyond.
    """

    def closed(tensor: Tensor, canvas: Canvas) -> Tensor:
        for axis in DIMENSION:
            side = canvas.side(axis)
            if side.is_periodic and not side.covers_frame:
                raise EditError(
                    f"A ring of {side.frame_length} pixels cannot close on a window of {side.length} of them. "
                    "Draw the whole length, or leave the ring open and draw a halo around each window."
                )
            if side.is_periodic and side.length + 2 * canvas.margin > side.frame_length:
                tensor = _closed(tensor, canvas, axis)
        return tensor

    return move(closed, where=where)


def _moved(state: State, function: Move, placed: Callable[[Canvas], Canvas]) -> State:
    canvas = state.place
    after = placed(canvas)
    if after is not canvas and any(t is not None and canvas.of(t) != canvas for t in (state.rgb, state.shortcut)):
        raise EditError(
            "Here the image so far has fewer pixels than the features, so it would tear. Change the geometry where a "
            "resolution closes: where=closing(...)."
        )
    moved = state.map(lambda tensor: function(tensor, canvas.of(tensor)))
    for tensor in (moved.x, moved.rgb, moved.shortcut):
        if tensor is not None:
            after.of(tensor)
    return State(x=moved.x, rgb=moved.rgb, shortcut=moved.shortcut, canvas=after)


def _stretched(side: Side, factor: float) -> Side:
    start, length = round(side.start * factor), max(round(side.length * factor), 1)
    return Side(start, length, start, length, side.is_periodic)


def _whole(canvas: Canvas, axis: Axis) -> Side:
    """The side, of a canvas that shows the whole picture along it."""
    side = canvas.side(axis)
    if not side.is_whole:
        raise EditError("Geometry edits change the edges of the whole picture; this canvas is only a window of it.")
    return side


def _extended(canvas: Canvas, left: int, right: int, top: int, bottom: int) -> Canvas:
    y, x = _whole(canvas, "y").extended(top, bottom), _whole(canvas, "x").extended(left, right)
    return Canvas(y, x, canvas.margin)


def _closed(tensor: Tensor, canvas: Canvas, axis: Axis) -> Tensor:
    side, dimension = canvas.side(axis), DIMENSION[axis]
    period, before = side.frame_length, side.frame_start - side.start + canvas.margin
    after = tensor.shape[dimension] - before - period
    if max(before, after) > period:
        return _around(tensor, canvas, axis)
    parts = ((period, before), (before, period), (before, after))
    return torch.cat([tensor.narrow(dimension, start, length) for start, length in parts], dim=dimension)


def _around(tensor: Tensor, canvas: Canvas, axis: Axis, *, start: int = 0, stop: int | None = None) -> Tensor:
    """The frame's pixels from ``start`` to ``stop`` along ``axis``, margins around, taken modulo its length.

    Left out, they are those of the window.
    """
    side, margin = canvas.side(axis), canvas.margin
    before = side.frame_start - side.start + margin  # where the frame starts in the tensor
    first = start - before if stop is None else start - margin
    stop = first + tensor.shape[DIMENSION[axis]] if stop is None else stop + margin
    index = torch.arange(first, stop) % side.frame_length + before
    return _picked(tensor, axis, index)


def _padded(tensor: Tensor, amounts: tuple[int, int, int, int], mode: PadMode) -> Tensor:
    if not any(amounts):
        return tensor
    height, width = tensor.shape[2:]
    room = {"reflect": -1, "circular": 0}.get(mode)
    if room is None or (max(amounts[:2]) <= width + room and max(amounts[2:]) <= height + room):
        return F.pad(tensor, amounts, mode=mode)
    axes: tuple[Axis, Axis] = ("x", "y")
    for axis, (before, after) in zip(axes, (amounts[:2], amounts[2:]), strict=True):  # further than the picture is long
        length = tensor.shape[DIMENSION[axis]]
        index = torch.arange(-before, length + after)
        if mode == "circular":
            index = index % length
        else:
            period = max(2 * (length - 1), 1)
            index = index % period
            index = torch.where(index < length, index, period - index)
        tensor = _picked(tensor, axis, index)
    return tensor


def _picked(tensor: Tensor, axis: Axis, index: Tensor) -> Tensor:
    """The rows or columns ``index`` of a tensor, in its memory layout."""
    layout = torch.channels_last if tensor.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    return tensor.index_select(DIMENSION[axis], index.to(tensor.device)).contiguous(memory_format=layout)
