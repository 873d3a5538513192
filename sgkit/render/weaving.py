"""Many styles side by side in one picture and a single walk: how lines are drawn whole."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.edits import compose, everywhere, ring, weave
from sgkit.errors import UsageError
from sgkit.model import (
    Axis,
    Branch,
    Canvas,
    Edit,
    Model,
    NoiseSource,
    Side,
    State,
    Synthesis,
    bound,
    finite,
    walk,
)
from sgkit.model.canvas import DIMENSION
from sgkit.model.layers import FourierInput, repeated
from sgkit.render.strips import Strip

_MEASURED = 4
"""Plain pictures that are computed at a time."""


def layout(
    model: Model,
    count: int,
    *,
    pixels: int | None = None,
    overlap: float = 0.5,
    is_ring: bool = False,
    axis: Axis = "x",
) -> Strip:
    """The strip for ``count`` styles of ``model``, ``pixels`` long; by default a picture's side for each.

    Raises:
        UsageError: ``overlap`` is out of range, or a ring does not close at that length.
    """
    side, cell = model.image_size[DIMENSION[axis] - 2], _cell(model)
    pixels = side * count if pixels is None else pixels
    if pixels < 1:
        raise UsageError(f"The length is {pixels} pixels; it must be 1 or more.")
    if is_ring and pixels % cell:
        below = max(pixels // cell, 1) * cell
        raise UsageError(
            f"With --wrap, the length must be a multiple of {cell} pixels for this model; {pixels} is not. "
            f"Nearest: {below} or {below + cell}."
        )
    network = model.generator.synthesis
    # Weights change between the cells that styles change at, by a quarter of a cell where pixels are so small.
    furthest = max(network.reach(spec) + 0.25 * (spec.resolution > 8) for spec in network.plan if spec.kind == "conv")
    return Strip(
        length=-(-pixels // cell),
        count=count,
        overlap=overlap,
        is_ring=is_ring,
        axis=axis,
        reach=math.ceil(furthest),
    )


@dataclass(frozen=True, kw_only=True)
class PlainPictures:
    """What a strip takes from the plain pictures of its styles."""

    styles: Mapping[str, Tensor]
    """Layer name -> [N, C], with what layers would otherwise compute from the whole canvas."""
    start: int
    """The first layer that runs on the strip."""
    features: Tensor | None
    """Those before that layer [N, C, h, w]; ``None``: it is the first of all."""


def plain_pictures(network: Synthesis, styles: Mapping[str, Tensor], noise: NoiseSource) -> PlainPictures:
    """What a strip takes from the plain pictures of ``styles``.

    A Fourier input continues beyond its own picture. After a constant, the first convolution runs on the canvas that
    it was trained for: two constants side by side are like nothing it has seen, and it paints bright spots where they
    meet. So "StyleGAN of All Trades" joins canvases after it, too.
    """
    count = len(next(iter(styles.values())))
    parts = [
        network.measured({name: style[i : i + _MEASURED] for name, style in styles.items()}, noise)
        for i in range(0, count, _MEASURED)
    ]
    styles = {name: torch.cat([part[name] for part in parts]) for name in styles}
    if network.config.synthesis.input == "fourier":
        return PlainPictures(styles=styles, start=0, features=None)
    start = next(spec.index for spec in network.plan if spec.kind == "conv") + 1
    [state] = walk([Branch(network, styles, noise)], stop=start)
    return PlainPictures(styles=styles, start=start, features=state.features)


class StripWalk(NamedTuple):
    """A walk that draws a strip, or a window of it: ``walk(branches, edit=edit, states=states, start=start)``."""

    branches: list[Branch]
    edit: Edit
    states: list[State]
    start: int
    canvas: Canvas
    """What is drawn, in cells: the window with its halo."""


def strip_canvas(network: Synthesis, strip: Strip) -> Canvas:
    """The whole picture of a strip, in cells."""
    canvas = Canvas.canonical(network.plan)
    assert canvas is not None
    return canvas.with_side(strip.axis, Side.whole(strip.length, is_periodic=strip.is_ring))


def strip_walk(
    network: Synthesis, plain: PlainPictures, strip: Strip, noise: NoiseSource, *, canvas: Canvas | None = None
) -> StripWalk:
    """The walk that draws ``canvas``, a window of the strip; by default all of it, a ring closed after every layer.

    A window is exact where it is :meth:`sgkit.model.Synthesis.halo` cells or more from its edges: cut it there.
    """
    whole = strip_canvas(network, strip)
    if canvas is None:
        canvas = whole.grown(_ring_halo(network, plain.start))
    branches = [
        Branch(network, {name: _PlacedStyles(network, name, s, strip, i) for name, s in plain.styles.items()}, noise)
        for i in range(strip.num_branches)
    ]
    edit: Edit = weave(strip.weight_maps)
    if strip.is_ring and canvas.side(strip.axis).covers_frame:
        edit = compose(edit, ring(where=everywhere))
    states = [State(canvas=canvas)] * len(branches)
    if plain.features is not None:
        after = functools.reduce(Canvas.after, network.plan[: plain.start], canvas)
        states = _side_by_side(plain.features, strip, after)
        states = bound(edit, network.plan)(network.plan[plain.start - 1], states)
    return StripWalk(branches, edit, states, plain.start, canvas)


def draw_strip(
    model: Model,
    styles: Mapping[str, Tensor],
    strip: Strip,
    noise: NoiseSource,
    *,
    pixels: int | None = None,
) -> Tensor:
    """One image [1, C, H, W], about -1 to 1, in which the N styles are side by side and blend into each other.

    At every layer the branches' features and images are mixed by weights that are smooth along the strip (feature
    interpolation: "StyleGAN of All Trades", section 3.2), and every branch continues with the mix, so there is nothing
    to join afterwards. Memory grows with the length of the strip, not with the number of styles.

    Args:
        model: of any architecture.
        styles: layer name -> [N, C], from :meth:`sgkit.Model.styles`.
        strip: where they are.
        noise: all branches see the same.
        pixels: length of the image, where the last cell is not needed whole.

    Raises:
        NonFiniteImageError: the image holds NaN or infinity.
    """
    network = model.generator.synthesis
    plain, whole = plain_pictures(network, styles, noise), strip_canvas(network, strip)
    found = strip_walk(network, plain, strip, noise)
    [last, *_] = walk(found.branches, edit=found.edit, states=found.states, start=found.start)
    image = finite(last.image, [Branch(network, styles)])
    image = last.place.of(image).cut(image, whole.scaled(_cell(model)))
    return image if pixels is None else image.narrow(DIMENSION[strip.axis], 0, pixels)


def _cell(model: Model) -> int:
    """Pixels of the image along one cell."""
    return model.image_size[0] // model.config.base[0]


def _ring_halo(network: Synthesis, start: int) -> int:
    """Cells beyond the ends of a ring that the next layer reads, where margins are not enough."""
    plan = network.plan
    needed = [
        network.reach(spec) - plan[spec.index - 1].margin * 4 / plan[spec.index - 1].resolution
        for spec in plan[max(start, 1) :]
    ]
    return max(math.ceil(max(needed)), 0)


def _side_by_side(features: Tensor, strip: Strip, canvas: Canvas) -> list[State]:
    """What each branch starts with: the features [N, C, h, w] of its styles, repeated, each where it is."""
    axis, dimension = strip.axis, DIMENSION[strip.axis]
    along = (canvas.pixels(axis) % features.shape[dimension]).to(features.device)
    features = repeated(features, canvas.with_side(axis, Side.whole(features.shape[dimension])))
    states = []
    for styles in _standing(strip, canvas)[0].to(features.device):
        if axis == "x":
            x = features[styles, :, :, along].permute(1, 2, 0)[None]
        else:
            x = features[styles, :, along, :].permute(1, 0, 2)[None]
        states.append(State(x=x.contiguous(memory_format=torch.channels_last), canvas=canvas))
    return states


@dataclass(frozen=True)
class _PlacedStyles:
    """One layer's styles in one branch: which one a place has."""

    network: Synthesis
    name: str
    styles: Tensor
    """[N, C]."""
    strip: Strip
    branch: int

    def __call__(self, canvas: Canvas) -> Tensor:
        """Maps [1, C, 1, n] or [1, C, n, 1]; [1, C] where one style is everywhere and its place does not matter."""
        styles, middles = (rows[self.branch] for rows in _standing(self.strip, canvas))
        layer, is_one = self.network.layer(self.name), bool((styles == styles[0]).all())
        found = self.styles[styles.to(self.styles.device)]
        if isinstance(layer, FourierInput):
            base = self.network.config.base[DIMENSION[self.strip.axis] - 2]
            away = (middles - base / 2) / 4  # in the input's units
            is_one = is_one and not bool(away.any())
            if not is_one:
                away, still = away.to(found), torch.zeros_like(away).to(found)
                found = layer.moved(found, *((away, still) if self.strip.axis == "x" else (still, away)))
        if is_one:
            return found[:1]
        rows = found.t()[None]
        return rows[:, :, None, :] if self.strip.axis == "x" else rows[:, :, :, None]


@functools.lru_cache(maxsize=8)
def _standing(strip: Strip, canvas: Canvas) -> tuple[Tensor, Tensor]:
    """:meth:`Strip.styles` of a canvas: the same for many layers and all branches."""
    return strip.styles(strip.cells(canvas))
