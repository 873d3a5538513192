"""Which canvas a layer needs for a window of a larger picture, and tensors summed where each of many styles counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.model import Canvas, LayerSpec, Side, Synthesis
from sgkit.model.canvas import DIMENSION, Axis
from sgkit.render.strips import Share

Draw = Callable[[int, int, Canvas], Sequence[Tensor]]
"""Row and column of a place, and a canvas -> tensors of its style there."""


class Needs(NamedTuple):
    """What has to be known between two layers: the canvases of the features, and of the image so far."""

    x: Canvas | None
    image: Canvas | None


def first_layer(network: Synthesis) -> int:
    """The first layer that runs on the canvas of a plane: those before it run on each style's own picture."""
    if network.config.synthesis.input == "fourier":
        return 0
    return next(spec.index for spec in network.plan if spec.kind == "conv") + 1


def canvas_before(network: Synthesis, spec: LayerSpec, out: Canvas, frame: Canvas) -> Canvas:
    """What the layer ``spec`` has to be given so that all that it writes on ``out`` is exact.

    Args:
        network: whose layer it is.
        spec: the layer.
        out: what it shall write.
        frame: the whole picture before the layer.
    """
    layer, scale = network.layer(spec.name), spec.scale
    joins_image = spec.kind == "rgb" and spec.merge != "replace"
    reach = layer.reach
    if joins_image and spec.merge == "sum":
        reach = 2 * -(-len(layer.taps) // 4)  # type: ignore[arg-type]
    sides: list[Side] = []
    for axis in DIMENSION:
        side, whole = out.side(axis), frame.side(axis)
        start, stop = side.start // scale, -(-(side.start + side.length) // scale)
        if spec.kind != "input":
            start = min((side.start - out.margin) // scale - reach + frame.margin, start)
            stop = max(-(-(side.start + side.length + out.margin) // scale) + reach - frame.margin, stop)
        if joins_image:  # the image so far has half as many pixels
            start, stop = start // 2 * 2, -(-stop // 2) * 2
        if not whole.is_periodic:
            start, stop = max(start, whole.frame_start), min(stop, whole.frame_start + whole.frame_length)
        sides.append(whole.part(start, stop - start))
    return Canvas(sides[0], sides[1], frame.margin)


def cut_around(canvas: Canvas, tensor: Tensor, window: Canvas) -> Tensor:
    """The part of ``tensor``, which is on ``canvas``, that ``window`` shows; a whole ring repeats without end."""
    for axis, dimension in DIMENSION.items():
        side, wanted = canvas.side(axis), window.side(axis)
        if not (side.is_periodic and side.covers_frame):
            continue
        first = wanted.start - window.margin - side.frame_start
        inside = torch.arange(first, first + wanted.length + 2 * window.margin) % side.frame_length
        index = inside + side.frame_start - side.start + canvas.margin
        tensor = tensor.index_select(dimension, index.to(tensor.device))
        canvas = canvas.with_side(axis, wanted)
    return canvas.cut(tensor, window)


def around_both(one: Canvas, other: Canvas) -> Canvas:
    """The smallest window of the same frame that shows both."""
    sides = []
    for axis in DIMENSION:
        a, b = one.side(axis), other.side(axis)
        start, stop = min(a.start, b.start), max(a.start + a.length, b.start + b.length)
        sides.append(a.part(start, stop - start))
    return Canvas(sides[0], sides[1], one.margin)


def mixed(canvas: Canvas, shares: Sequence[list[Share]], draw: Draw) -> list[Tensor]:
    """What ``draw`` gives for each style on the part of ``canvas`` where it counts, summed by weight."""
    rows, columns = shares
    totals: list[Tensor] = []
    for row in rows:
        y = _part(canvas, "y", row)
        for column in columns:
            part = Canvas(y, _part(canvas, "x", column), canvas.margin)
            found = draw(row.place, column.place, part)
            if len(rows) == len(columns) == 1:
                return list(found)
            totals = totals or [_zeros(tensor, canvas, part) for tensor in found]
            _add(totals, found, canvas, part, row, column)
    return totals


def _zeros(tensor: Tensor, canvas: Canvas, part: Canvas) -> Tensor:
    """Zeros on ``canvas``, of the kind of ``tensor`` on ``part``."""
    scale = tensor.shape[3] // part.size[1]
    shape = (1, tensor.shape[1], *(side * scale for side in canvas.size))
    return torch.zeros(shape, dtype=tensor.dtype, device=tensor.device).to(memory_format=torch.channels_last)


def _part(canvas: Canvas, axis: Axis, share: Share) -> Side:
    """A window whose tensor, margin included, holds all of a share."""
    side, margin = canvas.side(axis), canvas.margin
    start = min(side.start + share.first, side.start + side.length - 1)
    stop = max(side.start + share.stop - 2 * margin, start + 1)
    return side.part(start, stop - start)


def cut_enlarged(canvas: Canvas, image: Tensor, window: Canvas, enlarge: int) -> Tensor:
    """The part of ``image`` that ``window`` shows, where each pixel of the canvas was repeated ``enlarge`` times."""
    return canvas.scaled(enlarge).cut(image, window.scaled(enlarge)) if enlarge > 1 else canvas.cut(image, window)


def _add(
    totals: list[Tensor], found: Sequence[Tensor], canvas: Canvas, part: Canvas, row: Share, column: Share
) -> None:
    scale = found[0].shape[3] // part.size[1]
    weights = (row.weights[:, None] * column.weights[None, :]).float()
    if scale > 1:
        weights = weights.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    height, width = (len(share.weights) * scale for share in (row, column))
    top, left = (share.first * scale for share in (row, column))
    below = (canvas.y.start - canvas.margin + row.first - part.y.start + part.margin) * scale
    right = (canvas.x.start - canvas.margin + column.first - part.x.start + part.margin) * scale
    for total, tensor in zip(totals, found, strict=True):
        target = total[:, :, top : top + height, left : left + width]
        target.addcmul_(tensor[:, :, below : below + height, right : right + width], weights.to(tensor))
