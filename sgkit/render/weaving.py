"""Many styles woven into one picture in a single walk, and how to see whether it has seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.edits import Axis, compose, everywhere, ring, weave
from sgkit.errors import UsageError
from sgkit.model import (
    Branch,
    LayerSpec,
    Model,
    NoiseSource,
    SeededNoise,
    State,
    Styles,
    finite,
    noise_source,
    walk,
)
from sgkit.render.strips import Strip, reach


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
        UsageError: the model cannot be woven, ``overlap`` is out of range, or a ring does not close at that length.
    """
    if model.config.synthesis.layer == "alias_free":
        raise UsageError(
            "Panoramas are not possible with StyleGAN3: its layers crop their canvas to a fixed size. "
            "Use a model of StyleGAN2, StyleGAN1 or ProGAN."
        )
    side = model.image_size[1 if axis == "x" else 0]
    cell = _cell(model)
    pixels = side * count if pixels is None else pixels
    if pixels < 1:
        raise UsageError(f"The length is {pixels} pixels; it must be 1 or more.")
    if is_ring and pixels % cell:
        below = max(pixels // cell, 1) * cell
        raise UsageError(
            f"With --wrap, the length must be a multiple of {cell} pixels for this model; {pixels} is not. "
            f"Nearest: {below} or {below + cell}."
        )
    return Strip(length=-(-pixels // cell), count=count, overlap=overlap, is_ring=is_ring, margin=reach(model.config))


def weave_styles(
    model: Model,
    styles: Styles,
    *,
    pixels: int | None = None,
    overlap: float = 0.5,
    is_ring: bool = False,
    axis: Axis = "x",
    noise: str | NoiseSource = "const",
    noise_seed: int = 0,
) -> Tensor:
    """One image [1, C, H, W], about -1 to 1, in which the N styles stand side by side and melt into each other.

    One walk over the whole canvas. At every layer the branches' features and images are mixed by weights that are
    smooth along the strip (feature interpolation: "StyleGAN of All Trades", section 3.2), and every branch goes on with
    the mix, so there is nothing to join afterwards. Memory grows with the length of the strip, not with the number of
    styles.

    Args:
        model: any but StyleGAN3.
        styles: layer name -> [N, C], from :meth:`sgkit.Model.styles`.
        pixels: length of the strip; by default N times the model's side.
        overlap: width of the ramps around the joins, as a fraction of a style's part: 0 to 1.
        is_ring: let the far edge meet the near one: a panorama of 360 degrees.
        axis: ``x``: styles stand from left to right; ``y``: from top to bottom.
        noise: a source, or ``const``, ``random`` or ``none``. All branches see the same noise.
        noise_seed: draws ``random`` noise.

    Raises:
        UsageError: as :func:`layout`.
        NonFiniteImageError: the image holds NaN or infinity.
    """
    strip = layout(model, len(next(iter(styles.values()))), pixels=pixels, overlap=overlap, is_ring=is_ring, axis=axis)
    source: NoiseSource = SeededNoise((noise_seed,)) if noise == "random" else noise_source(noise)
    network = model.generator.synthesis
    # The first convolution runs on the canvas it was trained for: two constants side by side are like nothing it has
    # ever seen, and it paints bright spots where they meet. So SOAT joins canvases behind it, too.
    start = next(spec.index for spec in network.plan if spec.kind == "conv") + 1
    states = _entry(Branch(network, styles, source), strip, axis, start)
    if is_ring:
        source = RingNoise(source, strip, axis)
    branches = [Branch(network, _style_maps(styles, owners, axis), source) for owners in strip.owners()]
    edit = compose(
        weave(strip.weight_maps(axis), where=everywhere),
        *([ring(strip.length, strip.halo, where=everywhere, axis=axis)] if is_ring else []),
    )
    image = walk(branches, edit=edit, states=edit(network.plan[start - 1], states), start=start)[0].image
    cell, dimension = _cell(model), 3 if axis == "x" else 2
    length = strip.length * cell if pixels is None else pixels
    finite(image, [Branch(network, styles)])
    return image.narrow(dimension, strip.halo * cell, length)


@dataclass(frozen=True)
class RingNoise:
    """``source`` on a ring: the noise of its own length, with halos taken from the opposite ends."""

    source: NoiseSource
    strip: Strip
    axis: Axis = "x"

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """Noise [1 or batch, 1, height, width]."""
        dimension = 1 if self.axis == "x" else 0
        scale = size[dimension] // self.strip.canvas
        period = self.strip.length * scale
        around = (size[0], period) if self.axis == "x" else (period, size[1])
        noise = self.source(spec, stored, batch=batch, size=around)
        if noise is None:
            return None
        cells = (torch.arange(size[dimension], device=noise.device) - self.strip.halo * scale) % period
        return noise.index_select(dimension + 2, cells)


@dataclass(frozen=True, kw_only=True)
class Seams:
    """How much an image changes from pixel to pixel at its joins, and elsewhere, in 8-bit levels along the strip."""

    at_joins: float
    elsewhere: float
    worst: float
    """The largest change at one join."""

    @property
    def ratio(self) -> float:
        """1: joins look like the rest; clearly above 1: they can be seen."""
        return self.at_joins / max(self.elsewhere, 1e-12)


def measure_seams(image: Tensor, positions: Sequence[int], *, axis: Axis = "x", is_ring: bool = False) -> Seams | None:
    """The mean absolute step between neighbouring pixels of ``image`` [C, H, W] at the joins and elsewhere.

    Args:
        image: about -1 to 1.
        positions: joins, as the index of the first pixel behind each; on a ring 0 or the full length is the closure.
        axis: along what the joins follow each other.
        is_ring: also take the step from the last pixel to the first.

    Returns:
        ``None`` where there are no joins, or nothing but joins.
    """
    pixels = (image.float().clamp(-1, 1) * 127.5).transpose(1, 2) if axis == "y" else image.float().clamp(-1, 1) * 127.5
    length = pixels.shape[2]
    change = (pixels.roll(-1, dims=2) - pixels).abs().mean(dim=(0, 1))  # [i]: from pixel i to pixel i + 1
    is_join = torch.zeros(length, dtype=torch.bool, device=change.device)
    is_join[[(position - 1) % length for position in positions]] = True
    is_there = torch.ones_like(is_join)
    is_there[-1] = is_ring
    joined, rest = change[is_join & is_there], change[~is_join & is_there]
    if not len(joined) or not len(rest):
        return None
    return Seams(at_joins=joined.mean().item(), elsewhere=rest.mean().item(), worst=joined.max().item())


def _cell(model: Model) -> int:
    """Pixels of the image that lie above one column of the first layers' canvas."""
    return model.image_size[0] // model.config.base[0]


def _entry(branch: Branch, strip: Strip, axis: Axis, stop: int) -> list[State]:
    """What each branch starts with: the features before layer ``stop`` of its style, side by side."""
    tiles = walk([branch], stop=stop)[0].features  # [N, C, h, w]
    side = tiles.shape[3 if axis == "x" else 2]
    where = (strip.cells % strip.length % side).to(tiles.device)
    states = []
    for owners in strip.owners().to(tiles.device):
        if axis == "x":
            x = tiles[owners, :, :, where].permute(1, 2, 0)[None]
        else:
            x = tiles[owners, :, where, :].permute(1, 0, 2)[None]
        states.append(State(x=x.contiguous(memory_format=torch.channels_last)))
    return states


def _style_maps(styles: Styles, owners: Tensor, axis: Axis) -> dict[str, Tensor]:
    """The style that stands in each cell: maps [1, C, 1, cells] or [1, C, cells, 1]; [1, C] where it is one for all."""
    if bool((owners == owners[0]).all()):
        return {name: style[owners[:1].to(style.device)] for name, style in styles.items()}
    maps = {name: style[owners.to(style.device)].t()[None] for name, style in styles.items()}
    return {name: rows[:, :, None, :] if axis == "x" else rows[:, :, :, None] for name, rows in maps.items()}
