"""Networks that draw a plane: every layer of each style where it counts, mixed by weight."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgkit.model import Branch, Canvas, Edit, LayerSpec, NoiseSource, State, bound, finite, walk
from sgkit.model.canvas import DIMENSION
from sgkit.model.layers import FourierInput
from sgkit.model.walk import Styles
from sgkit.render.strips import Share
from sgkit.render.weaving import PlainPictures
from sgkit.render.windows import (
    Needs,
    around_both,
    canvas_before,
    cut_around,
    cut_enlarged,
    first_layer,
    mixed,
)

if TYPE_CHECKING:
    from sgkit.render.planes import Plane


class Blend:
    """A network whose layers blend the styles of a plane."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.network, self.plan = plane, plane.network, plane.network.plan
        self.first = first_layer(self.network)
        self.anchors: dict[tuple[int, int], PlainPictures] = {}

    def branch(self) -> Branch:
        """What a walk takes."""
        return Branch(self, dict.fromkeys([spec.name for spec in self.plan], torch.zeros(())), self.plane.noise)

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state after the layer ``spec``."""
        raise NotImplementedError

    def blended(
        self, spec: LayerSpec, state: State, noise: NoiseSource, *, given: Needs, out: Needs, frame: Canvas
    ) -> State:
        """The state after the layer ``spec``: that of every style where it counts, mixed by their weights.

        Args:
            spec: the layer.
            state: what is known.
            noise: its noise.
            given: where the tensors of ``state`` are.
            out: where those after the layer are needed.
            frame: the whole picture before the layer.
        """
        noise = SharedNoise(noise, frame if given.x is None else given.x.after(spec))

        def draw(row: int, column: int, canvas: Canvas) -> Sequence[Tensor]:
            read = canvas_before(self.network, spec, canvas, frame)
            x, rgb, shortcut = state.x, None, state.shortcut
            if given.x is not None:
                x, shortcut = (None if t is None else cut_around(given.x, t, read) for t in (x, shortcut))
            if spec.kind == "rgb" and given.image is not None:
                rgb = cut_around(given.image, state.image, read.scaled(1, 2))
            before = State(x=x, rgb=rgb, shortcut=shortcut, canvas=read)
            new = self.network.step(spec, self._styles(spec, row, column), before, noise)
            if spec.kind == "rgb":
                return [cut_enlarged(new.place, new.image, canvas, spec.enlarge)]
            tensors = [new.features] if new.shortcut is None else [new.features, new.shortcut]
            return [new.place.cut(tensor, canvas) for tensor in tensors]

        if spec.kind == "rgb":
            assert out.image is not None
            [image] = mixed(out.image, self._shares(out.image), draw)
            if out.x is None:
                return State(rgb=image, canvas=out.image)
            assert given.x is not None
            return State(x=given.x.cut(state.features, out.x), rgb=image, canvas=out.x)
        assert out.x is not None
        by_turn = isinstance(self.network.layer(spec.name), FourierInput)
        x, *shortcut = mixed(out.x, self._shares(out.x, by_turn=by_turn), draw)
        return State(x=x, rgb=state.rgb, shortcut=shortcut[0] if shortcut else None, canvas=out.x)

    def placed(self, canvas: Canvas) -> State:
        """The features before the first layer: those of the styles' own pictures, repeated, each where it counts."""

        def draw(row: int, column: int, part: Canvas) -> Sequence[Tensor]:
            features = self._anchor(row, column).features
            assert features is not None
            for axis, dimension in DIMENSION.items():
                along = part.pixels(axis) % features.shape[dimension]
                features = features.index_select(dimension, along.to(features.device))
            return [features]

        shares = [strip.first_features.shares(canvas) for strip in (self.plane.rows, self.plane.columns)]
        [x] = mixed(canvas, shares, draw)
        return State(x=x.contiguous(memory_format=torch.channels_last), canvas=canvas)

    def _shares(self, canvas: Canvas, *, by_turn: bool = False) -> list[list[Share]]:
        return [strip.shares(canvas, by_turn=by_turn) for strip in (self.plane.rows, self.plane.columns)]

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


class SharedNoise:
    """The noise of a layer, computed once for all styles on ``canvas`` and cut for each of its parts."""

    def __init__(self, source: NoiseSource, canvas: Canvas) -> None:
        self.source, self.canvas = source, canvas
        self.whole: Tensor | None = None

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """Noise [1 or ``batch``, 1, height, width]."""
        if not _contains(self.canvas, canvas):  # around a ring that is drawn whole
            return self.source(spec, stored, canvas, batch)
        if self.whole is None:
            self.whole = self.source(spec, stored, self.canvas, batch)
        return None if self.whole is None else self.canvas.cut(self.whole, canvas)


def _contains(whole: Canvas, part: Canvas) -> bool:
    """Whether all of ``part`` is on ``whole``."""
    pairs = ((whole.y, part.y), (whole.x, part.x))
    return all(a.start <= b.start and b.start + b.length <= a.start + a.length for a, b in pairs)


class WholePicture(Blend):
    """Draws the whole picture up to the last edit, so that edits may change the canvas."""

    def drawn(self, edit: Edit, last: int) -> State:
        """The state after the layer with the number ``last``, edited."""
        canvas = functools.reduce(Canvas.after, self.plan[: self.first], self.plane.whole)
        state = self.placed(canvas) if self.first else State(canvas=canvas)
        if self.first:
            [state] = bound(edit, self.plan)(self.plan[self.first - 1], [state])
        [state] = walk([self.branch()], edit=edit, states=[state], start=self.first, stop=last + 1)
        return state

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state after the layer ``spec``, on the whole canvas."""
        frame = state.place
        image = None if state.rgb is None else frame.of(state.rgb)
        after = frame.after(spec)
        out = Needs(after, after if spec.kind == "rgb" else image)
        return self.blended(spec, state, noise, given=Needs(frame if spec.index else None, image), out=out, frame=frame)


class Window(Blend):
    """Draws one window, every layer on the canvas that later ones need."""

    def __init__(self, plane: Plane, top: int, left: int, height: int, width: int) -> None:
        super().__init__(plane)
        self.begun = plane.begun
        if self.begun is not None:
            self.first = plane.last_edit + 1
        self.frames = plane.frames
        enlarge = self.plan[-1].enlarge
        frame = self.frames[len(self.plan)]
        y, x = (
            side.part(side.frame_start + first // enlarge, -(-(first + length) // enlarge) - first // enlarge)
            for side, first, length in ((frame.y, top, height), (frame.x, left, width))
        )
        self.inside = (top % enlarge, left % enlarge, height, width)
        self.needs = self._needs(Canvas(y, x, frame.margin))

    def image(self) -> Tensor:
        """The window's image [1, C, height, width]."""
        [last] = walk([self.branch()], states=[self._begin()], start=self.first)
        top, left, height, width = self.inside
        image = last.image[:, :, top : top + height, left : left + width]
        return finite(image, [Branch(self.network, one.styles) for one in self.anchors.values()])

    def step(self, spec: LayerSpec, styles: Styles, state: State, noise: NoiseSource) -> State:
        """The state after the layer ``spec``, where it is needed."""
        given, out = self.needs[spec.index], self.needs[spec.index + 1]
        return self.blended(spec, state, noise, given=given, out=out, frame=self.frames[spec.index])

    def _begin(self) -> State:
        """What is known before the first layer."""
        x, image = self.needs[self.first]
        if self.begun is None:
            assert x is not None
            return self.placed(x) if self.first else State(canvas=x)
        whole = self.begun.place
        features = None if x is None else cut_around(whole, self.begun.features, x)
        rgb = None if image is None else cut_around(whole.of(self.begun.image), self.begun.image, image)
        return State(x=features, rgb=rgb, canvas=x or image)

    def _needs(self, target: Canvas) -> dict[int, Needs]:
        """What has to be known before each layer, and after the last one."""
        needs = {len(self.plan): Needs(None, target)}
        x: Canvas | None = None
        image: Canvas | None = target
        for spec in reversed(self.plan[self.first :]):
            if spec.kind == "rgb":
                assert image is not None
                read = canvas_before(self.network, spec, image, self.frames[spec.index])
                x = read if x is None else around_both(x, read)
                image = read.scaled(1, 2) if spec.merge != "replace" else None
            else:
                assert x is not None
                x = canvas_before(self.network, spec, x, self.frames[spec.index])
            needs[spec.index] = Needs(x, image)
        return needs
