"""Noise as a function of (layer, canvas position, seed), so that square, wide, tiled and resumed runs agree.

The noise maps stored in a checkpoint are the values of that function on the model's own picture; beyond it, and for
seeded noise, values come from hashing the position. A source is called by each layer that takes noise.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sgkit.errors import UsageError, did_you_mean
from sgkit.model.canvas import Canvas
from sgkit.model.spec import LayerSpec


class NoiseSource(Protocol):
    """Gives a layer its noise."""

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """Noise [1 or ``batch``, 1, height, width] for ``canvas``; ``stored`` [h, w]: the file's map."""


@dataclass(frozen=True)
class NoNoise:
    """Adds nothing."""

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """``None``."""
        return None


@dataclass(frozen=True)
class StoredNoise:
    """The checkpoint's maps, the same for every image; where a canvas reaches beyond them, hashed noise continues."""

    seed: int = 0

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """Noise [1, 1, height, width]."""
        return _continued(spec, stored[None, None], canvas, self.seed)


@dataclass(frozen=True)
class SeededNoise:
    """``random`` noise: different for each seed. One seed for all images, or one for each."""

    seeds: Sequence[int] = (0,)

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """Noise [len(seeds), 1, height, width].

        Raises:
            UsageError: there are several seeds and another number of images.
        """
        if len(self.seeds) not in (1, batch):
            raise UsageError(f"{len(self.seeds)} noise seeds were given for {batch} images; give one, or one for each.")
        return hashed_normal(spec, self.seeds, canvas).to(stored)


@dataclass(frozen=True)
class MapNoise:
    """Given maps in place of the stored ones: layer name -> [N or 1, 1, h, w], as a projection finds them."""

    maps: Mapping[str, Tensor]
    seed: int = 0

    def __call__(self, spec: LayerSpec, stored: Tensor, canvas: Canvas, batch: int) -> Tensor | None:
        """The layer's map; where a canvas reaches beyond it, hashed noise continues.

        Raises:
            UsageError: there is none for the layer, or it has another size than the stored one.
        """
        noise, size = self.maps.get(spec.name), stored.shape
        if noise is None or noise.shape[-2:] != size:
            held = "they have none" if noise is None else f"theirs is {noise.shape[-1]}x{noise.shape[-2]}"
            raise UsageError(
                f"The noise maps belong to another model or size: layer {spec.name} needs one of {size[1]}x{size[0]} "
                f"(WxH), {held}. Use the model that they were made with, or leave them out: --noise none or random."
            )
        return _continued(spec, noise, canvas, self.seed)


NOISE_NAMES = ("const", "random", "none")


def noise_source(noise: str | NoiseSource, seeds: int | Sequence[int] = 0) -> NoiseSource:
    """The source called ``const`` (stored maps), ``random`` or ``none``; a source is returned as it is.

    Args:
        noise: a name or a source.
        seeds: of ``random``: one for all images, or one for each.

    Raises:
        UsageError: no such name.
    """
    if not isinstance(noise, str):
        return noise
    if noise not in NOISE_NAMES:
        raise UsageError(f"Unknown noise {noise!r}. {did_you_mean(noise, NOISE_NAMES)}")
    if noise == "random":
        return SeededNoise((seeds,) if isinstance(seeds, int) else tuple(seeds))
    return StoredNoise() if noise == "const" else NoNoise()


def hashed_normal(spec: LayerSpec, seeds: Sequence[int], canvas: Canvas) -> Tensor:
    """Standard normal values [len(seeds), 1, height, width], each a hash of (layer, seed, row, column).

    Computed on the CPU in integers and float64, so that a position has one value on every device and in every tiling.
    """
    rows, columns = canvas.pixels("y")[None, :, None], canvas.pixels("x")[None, None, :]
    keys = torch.tensor([_wrap(seed * _GOLDEN + zlib.crc32(spec.name.encode())) for seed in seeds])[:, None, None]
    position = scrambled(scrambled(scrambled(keys) ^ rows) ^ columns)
    uniform = [(scrambled(position ^ salt) & _LOW_32).double() for salt in (1, 2)]
    radius = (-2 * ((uniform[0] + 1) / 2**32).log()).sqrt()  # Box-Muller; the shift keeps log off zero
    return (radius * (2 * math.pi / 2**32 * uniform[1]).cos()).float()[:, None]


def _continued(spec: LayerSpec, maps: Tensor, canvas: Canvas, seed: int) -> Tensor:
    """``maps`` [N, 1, h, w], which are at [0, h) x [0, w), on ``canvas``: hashed noise where it reaches beyond them."""
    height, width = maps.shape[-2:]
    if (canvas.y.start, canvas.x.start, canvas.margin, *canvas.size) == (0, 0, 0, height, width):
        return maps
    rows, columns = canvas.pixels("y"), canvas.pixels("x")
    noise = hashed_normal(spec, (seed,), canvas).to(maps).repeat(len(maps), 1, 1, 1)
    to_rows, to_columns = (((p >= 0) & (p < n)).nonzero()[:, 0] for p, n in ((rows, height), (columns, width)))
    noise[:, :, to_rows[:, None], to_columns] = maps[:, :, rows[to_rows][:, None], columns[to_columns]]
    return noise


_LOW_32 = 0xFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15


def _wrap(value: int) -> int:
    """``value`` as a signed 64-bit integer."""
    return ((value + 2**63) % 2**64) - 2**63


def scrambled(x: Tensor) -> Tensor:
    """``x``, 64-bit integers, each replaced by another one (the finaliser of splitmix64, a bijection)."""
    x = x + _wrap(_GOLDEN)
    x = (x ^ _shift_right(x, 30)) * _wrap(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _wrap(0x94D049BB133111EB)
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)
