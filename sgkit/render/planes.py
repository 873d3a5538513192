"""Pictures of any size in two dimensions, drawn window by window: a grid of styles that blend into each other.

At every layer the features and images of neighbouring styles are mixed by weights that are smooth over the picture
(feature interpolation: "StyleGAN of All Trades", section 3.2), and the next layer reads the mix. So a layer has to be
computed for a style only where the weight of that style is above 0, and of a window only what later layers read of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.model import Branch, Canvas, LayerSpec, Model, NoiseSource, Side, State, Synthesis, finite, walk
from sgkit.model.canvas import DIMENSION, Axis
from sgkit.model.layers import FourierInput
from sgkit.model.walk import Styles
from sgkit.render.strips import Share, Strip
from sgkit.render.weaving import PlainPictures, plain_pictures
from sgkit.runtime.precision import ResolvedPrecision, autocast

TILE = 512
"""Default side of a tile in pixels."""
MOST_ANCHORS = 256
"""Styles that are kept between windows."""

StylesAt = Callable[[int, int], dict[str, Tensor]]
"""Row and column of an anchor -> its styles [1, C] by layer."""


Draw = Callable[[int, int, Canvas], Sequence[Tensor]]
"""Row and column of a place, and a canvas -> tensors of its style there."""


class Needs(NamedTuple):
    """What has to be known between two layers: the canvases of the features, and of the image so far."""

    x: Canvas | None
    image: Canvas | None


class Plane:
    """A picture of ``height`` x ``width`` pixels of which any window can be drawn.

    A window depends on its own place and size only, not on what was drawn before. Memory depends on the window, not on
    the picture.

    Args:
        model: of any architecture.
        styles: what the anchors look like; asked for where an anchor is needed.
        rows: how anchors share the height; ``columns``: the width.
        noise: all styles see the same.
        size: height and width in pixels, where the last cell is not needed whole.
        precision: number format.
        tile: side of a tile in pixels.
    """

    def __init__(
        self,
        model: Model,
        styles: StylesAt,
        *,
        rows: Strip,
        columns: Strip,
        noise: NoiseSource,
        size: tuple[int, int] | None = None,
        precision: ResolvedPrecision = "fp32",
        tile: int | None = None,
    ) -> None:
        self.model, self.network = model, model.generator.synthesis
        self.rows, self.columns, self.noise, self.precision = rows, columns, noise, precision
        self.channels = model.config.image_channels
        self.tile = tile or TILE
        self.whole = Canvas(
            Side.whole(rows.length, is_periodic=rows.is_ring), Side.whole(columns.length, is_periodic=columns.is_ring)
        )
        cell = model.image_size[0] // model.config.base[0]
        self.height, self.width = size or (rows.length * cell, columns.length * cell)
        self.anchor = functools.lru_cache(maxsize=MOST_ANCHORS)(
            lambda row, column: plain_pictures(self.network, styles(row, column), noise)
        )

    def window(self, top: int, left: int, height: int, width: int) -> Tensor:
        """The image [1, C, height, width] of a window of the picture, about -1 to 1.

        Raises:
            UsageError: the window is empty, or not within the picture.
            NonFiniteImageError: the image holds NaN or infinity.
        """
        if min(top, left, height - 1, width - 1) < 0 or top + height > self.height or left + width > self.width:
            raise UsageError(
                f"A window of {width}x{height} pixels at ({left}, {top}) is not within the picture of "
                f"{self.width}x{self.height}."
            )
        with torch.inference_mode(), autocast(self.precision, self.model.device):
            return _Window(self, top, left, height, width).image()

    def tiles(self) -> Iterator[tuple[int, int, int, int]]:
        """Windows (top, left, height, width) of at most ``tile`` pixels a side that make up the picture, row by row."""
        for top in range(0, self.height, self.tile):
            for left in range(0, self.width, self.tile):
                yield top, left, min(self.tile, self.height - top), min(self.tile, self.width - left)

    def image(self) -> Tensor:
        """The whole picture [1, C, height, width], drawn in tiles."""
        found: Tensor | None = None
        for top, left, height, width in self.tiles():
            part = self.window(top, left, height, width)
            if found is None:
                found = part.new_empty((1, self.channels, self.height, self.width))
            found[:, :, top : top + height, left : left + width] = part
        assert found is not None
        return found


class _Window:
    """A network whose layers blend the styles of a plane, on the canvases that one window needs."""

    def __init__(self, plane: Plane, top: int, left: int, height: int, width: int) -> None:
        self.plane, self.network, self.plan = plane, plane.network, plane.network.plan
        self.frames = [plane.whole]
        for spec in self.plan:
            self.frames.append(self.frames[-1].after(spec))
        enlarge = self.plan[-1].enlarge
        frame, self.enlarge = self.frames[-1], enlarge
        y = frame.y.part(top // enlarge, -(-(top + height) // enlarge) - top // enlarge)
        x = frame.x.part(left // enlarge, -(-(left + width) // enlarge) - left // enlarge)
        self.inside = (top - y.start * enlarge, left - x.start * enlarge, height, width)
        self.first = first_layer(self.network)
        self.needs = self._needs(Canvas(y, x, frame.margin))
        self.anchors: dict[tuple[int, int], PlainPictures] = {}

    def image(self) -> Tensor:
        """The window's image [1, C, height, width]."""
        state = State(canvas=self.needs[self.first].x)
        if self.first:
            state = self._placed(state.place)
        branch = Branch(self, dict.fromkeys([spec.name for spec in self.plan], torch.zeros(())), self.plane.noise)
        [last] = walk([branch], states=[state], start=self.first)
        top, left, height, width = self.inside
        image = last.image[:, :, top : top + height, left : left + width]
        return finite(image, [Branch(self.network, one.styles) for one in self.anchors.values()])

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state after the layer ``spec``: that of every style where it counts, mixed by their weights."""
        given, out = self.needs[spec.index], self.needs[spec.index + 1]
        if spec.kind == "rgb":
            assert out.image is not None
            shares = [strip.shares(out.image) for strip in (self.plane.rows, self.plane.columns)]
            [image] = _mixed(out.image, shares, lambda *at: self._drawn(spec, state, given, noise, *at))
            if out.x is None:
                return State(rgb=image, canvas=out.image)
            assert given.x is not None
            return State(x=given.x.cut(state.features, out.x), rgb=image, canvas=out.x)
        assert out.x is not None
        by_turn = isinstance(self.network.layer(spec.name), FourierInput)
        shares = [strip.shares(out.x, by_turn=by_turn) for strip in (self.plane.rows, self.plane.columns)]
        x, *shortcut = _mixed(out.x, shares, lambda *at: self._drawn(spec, state, given, noise, *at))
        return State(x=x, rgb=state.rgb, shortcut=shortcut[0] if shortcut else None, canvas=out.x)

    def _needs(self, target: Canvas) -> dict[int, Needs]:
        """What has to be known before each layer, and after the last one."""
        needs = {len(self.plan): Needs(None, target)}
        x: Canvas | None = None
        image: Canvas | None = target
        for spec in reversed(self.plan[self.first :]):
            if spec.kind == "rgb":
                assert image is not None
                read = canvas_before(self.network, spec, image, self.frames[spec.index])
                x = read if x is None else _around_both(x, read)
                image = read.scaled(1, 2) if spec.merge != "replace" else None
            else:
                assert x is not None
                x = canvas_before(self.network, spec, x, self.frames[spec.index])
            needs[spec.index] = Needs(x, image)
        return needs

    def _drawn(
        self, spec: LayerSpec, state: State, given: Needs, noise: NoiseSource, ys: int, xs: int, canvas: Canvas
    ) -> Sequence[Tensor]:
        """What the layer writes on ``canvas``, a part of the window, with the style at (ys, xs)."""
        read = canvas_before(self.network, spec, canvas, self.frames[spec.index])
        x, rgb, shortcut = state.x, None, state.shortcut
        if given.x is not None:
            x, shortcut = (None if t is None else given.x.cut(t, read) for t in (x, shortcut))
        if spec.kind == "rgb" and given.image is not None:
            rgb = given.image.cut(state.image, read.scaled(1, 2))
        styles = self._styles(spec, ys, xs)
        new = self.network.step(spec, styles, State(x=x, rgb=rgb, shortcut=shortcut, canvas=read), noise)
        if spec.kind == "rgb":
            return [_cut(new.place, new.image, canvas, spec.enlarge)]
        tensors = [new.features] if new.shortcut is None else [new.features, new.shortcut]
        return [new.place.cut(tensor, canvas) for tensor in tensors]

    def _styles(self, spec: LayerSpec, row: int, column: int) -> dict[str, Tensor]:
        styles = dict(self._anchor(row, column).styles)
        layer = self.network.layer(spec.name)
        if isinstance(layer, FourierInput):  # its picture continues around the middle of the anchor's part
            plane, base = self.plane, self.network.config.base
            away = [
                (strip.middle(place) - side / 2) / 4
                for strip, place, side in zip((plane.columns, plane.rows), (column, row), base[::-1], strict=True)
            ]
            if any(away):
                right, down = (torch.tensor([value]).to(styles[spec.name]) for value in away)
                styles[spec.name] = layer.moved(styles[spec.name], right, down)
        return styles

    def _anchor(self, row: int, column: int) -> PlainPictures:
        key = (row % self.plane.rows.count, column % self.plane.columns.count)
        if key not in self.anchors:
            self.anchors[key] = self.plane.anchor(*key)
        return self.anchors[key]

    def _placed(self, canvas: Canvas) -> State:
        """The features before the first layer: those of the styles' own pictures, repeated, each where it counts."""

        def draw(row: int, column: int, part: Canvas) -> Sequence[Tensor]:
            features = self._anchor(row, column).features
            assert features is not None
            for axis, dimension in DIMENSION.items():
                along = part.pixels(axis) % features.shape[dimension]
                features = features.index_select(dimension, along.to(features.device))
            return [features]

        shares = [strip.first_features.shares(canvas) for strip in (self.plane.rows, self.plane.columns)]
        [x] = _mixed(canvas, shares, draw)
        return State(x=x.contiguous(memory_format=torch.channels_last), canvas=canvas)


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


def _around_both(one: Canvas, other: Canvas) -> Canvas:
    sides = []
    for axis in DIMENSION:
        a, b = one.side(axis), other.side(axis)
        start, stop = min(a.start, b.start), max(a.start + a.length, b.start + b.length)
        sides.append(a.part(start, stop - start))
    return Canvas(sides[0], sides[1], one.margin)


def _mixed(canvas: Canvas, shares: Sequence[list[Share]], draw: Draw) -> list[Tensor]:
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


def _cut(canvas: Canvas, image: Tensor, window: Canvas, enlarge: int) -> Tensor:
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
