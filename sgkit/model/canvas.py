"""Where a tensor's pixels are in the picture: all that masks, noise, rings, tiles and geometry edits read.

Coordinates are absolute: the model's own picture starts at (0, 0) at every layer, so stored noise is at [0, h) x
[0, w). They count pixels of the current layer; a layer that enlarges multiplies them, so what is whole stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sgkit.errors import EditError
from sgkit.model.spec import LayerSpec

Axis = Literal["x", "y"]
"""``x``: along the width; ``y``: along the height."""
DIMENSION: dict[Axis, int] = {"y": 2, "x": 3}
"""Axis -> dimension of a tensor [N, C, H, W]."""


class Side(NamedTuple):
    """One axis of a canvas: the window that is computed, and the frame of the whole picture that it belongs to."""

    start: int
    """First pixel of the window."""
    length: int
    frame_start: int
    """First pixel of the whole picture."""
    frame_length: int
    is_periodic: bool = False
    """Whether the frame's end meets its start."""

    @classmethod
    def whole(cls, length: int, *, is_periodic: bool = False) -> Side:
        """A window that is the whole frame, from 0 on."""
        return cls(0, length, 0, length, is_periodic)

    @property
    def is_whole(self) -> bool:
        """Whether the window is exactly the frame."""
        return (self.start, self.length) == (self.frame_start, self.frame_length)

    @property
    def covers_frame(self) -> bool:
        """Whether all of the frame is in the window."""
        before = self.frame_start - self.start
        return 0 <= before <= self.length - self.frame_length

    def scaled(self, numerator: int, denominator: int = 1) -> Side:
        """Every length times ``numerator / denominator``.

        Raises:
            EditError: a length would not be whole.
        """
        n, d = numerator, denominator
        lengths = (self.start * n, self.length * n, self.frame_start * n, self.frame_length * n)
        if d == 1:
            return Side(*lengths, self.is_periodic)
        if any(value % d for value in lengths):
            raise EditError(
                f"A canvas from {self.start} to {self.start + self.length} (pixels) does not divide by {denominator}. "
                "Change the geometry where a resolution closes: where=closing(...)."
            )
        start, length, frame_start, frame_length = (value // d for value in lengths)
        return Side(start, length, frame_start, frame_length, self.is_periodic)

    def extended(self, before: int, after: int) -> Side:
        """Window and frame longer by ``before`` and ``after`` (negative: shorter); content keeps its coordinates."""
        return Side(
            self.start - before,
            self.length + before + after,
            self.frame_start - before,
            self.frame_length + before + after,
            self.is_periodic,
        )

    def shifted(self, amount: int) -> Side:
        """Window and frame ``amount`` further on."""
        return self._replace(start=self.start + amount, frame_start=self.frame_start + amount)

    def part(self, start: int, length: int) -> Side:
        """Another window of the same frame."""
        return self._replace(start=start, length=length)

    def grown(self, halo: int) -> Side:
        """The window with ``halo`` pixels more at both ends: only as far as the frame goes, unless it is periodic."""
        if self.is_periodic:
            return self.part(self.start - halo, self.length + 2 * halo)
        start = max(self.start - halo, min(self.start, self.frame_start))
        stop = self.start + self.length
        stop = min(stop + halo, max(stop, self.frame_start + self.frame_length))
        return self.part(start, stop - start)


class Canvas(NamedTuple):
    """A window of a picture, as a tensor [N, C, height + 2 margin, width + 2 margin] holds it."""

    y: Side
    x: Side
    margin: int = 0
    """Pixels that the tensor holds beyond the window at each edge (StyleGAN3)."""

    @classmethod
    def of_size(cls, size: tuple[int, int], *, periodic: tuple[bool, bool] = (False, False)) -> Canvas:
        """A whole picture of ``size`` (height, width) that starts at (0, 0); ``periodic``: (y, x)."""
        (height, width), (y, x) = size, periodic
        return cls(Side.whole(height, is_periodic=y), Side.whole(width, is_periodic=x))

    @classmethod
    def canonical(cls, plan: Sequence[LayerSpec]) -> Canvas | None:
        """The canvas before a generator's first layer for the model's own picture, in cells; ``None``: no generator."""
        first = plan[0]
        if first.kind != "input":
            return None
        height, width = ((side - 2 * first.margin) // first.scale for side in first.size)
        return cls.of_size((height, width))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the tensor."""
        return self.y.length + 2 * self.margin, self.x.length + 2 * self.margin

    def side(self, axis: Axis) -> Side:
        """The axis called ``axis``."""
        return self.x if axis == "x" else self.y

    def with_side(self, axis: Axis, side: Side) -> Canvas:
        """This canvas with another ``side`` along ``axis``."""
        return Canvas(self.y, side, self.margin) if axis == "x" else Canvas(side, self.x, self.margin)

    def after(self, spec: LayerSpec) -> Canvas:
        """The canvas of what the layer ``spec`` writes."""
        scale = spec.scale
        if scale == 1 and spec.margin == self.margin:
            return self
        return Canvas(self.y.scaled(scale), self.x.scaled(scale), spec.margin)

    def scaled(self, numerator: int, denominator: int = 1) -> Canvas:
        """The same window at another number of pixels.

        Raises:
            EditError: a length would not be whole.
        """
        return Canvas(self.y.scaled(numerator, denominator), self.x.scaled(numerator, denominator), self.margin)

    def of(self, tensor: Tensor) -> Canvas:
        """The canvas of another tensor of the same state: the image so far may have fewer pixels than the features.

        Raises:
            EditError: the tensor shows another window.
        """
        size = (tensor.shape[2], tensor.shape[3])
        if size == self.size:
            return self
        found = self.scaled(size[0], self.size[0])
        if found.size != size:
            raise EditError(
                f"A tensor of {size[1]}x{size[0]} (WxH) is on a canvas of {self.size[1]}x{self.size[0]}. "
                "An edit that changes sizes must change State.canvas, too: use sgkit.edits.move."
            )
        return found

    def grown(self, halo: int) -> Canvas:
        """The canvas with a window larger by ``halo``: as far as the frame goes, and beyond it on periodic axes."""
        return Canvas(self.y.grown(halo), self.x.grown(halo), self.margin)

    def cut(self, tensor: Tensor, window: Canvas) -> Tensor:
        """The part of ``tensor`` [N, C, H, W], which is on this canvas, that ``window`` shows.

        Raises:
            EditError: it shows more than this canvas.
        """
        canvas = self.of(tensor)
        for axis, dimension in DIMENSION.items():
            own, wanted = canvas.side(axis), window.side(axis)
            first = wanted.start - window.margin - own.start + canvas.margin
            length = wanted.length + 2 * window.margin
            if first < 0 or first + length > tensor.shape[dimension]:
                raise EditError(
                    f"A window from {wanted.start} to {wanted.start + wanted.length} along {axis} is not within the "
                    f"canvas, which is from {own.start} to {own.start + own.length}."
                )
            tensor = tensor.narrow(dimension, first, length)
        return tensor

    def pixels(self, axis: Axis) -> Tensor:
        """Absolute coordinates of the tensor's pixels along ``axis``, int64; around the frame on periodic axes."""
        side = self.side(axis)
        first = side.start - self.margin
        pixels = torch.arange(first, first + side.length + 2 * self.margin)
        return pixels % side.frame_length if side.is_periodic else pixels

    def positions(self, axis: Axis) -> Tensor:
        """Centres of the tensor's pixels along ``axis`` as fractions of the frame, float64.

        What is beyond the frame counts as the opposite end on periodic axes, and as the nearest pixel on others.
        """
        side = self.side(axis)
        first = side.start - self.margin - side.frame_start
        pixels = torch.arange(first, first + side.length + 2 * self.margin)
        inside = pixels % side.frame_length if side.is_periodic else pixels.clamp(0, side.frame_length - 1)
        return (inside.double() + 0.5) / side.frame_length
