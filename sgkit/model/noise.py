"""Noise as a function of (layer, canvas position, seed), so that square, wide, tiled and resumed runs agree.

The noise maps stored in a checkpoint are the values of that function on the canonical canvas; beyond it, and for seeded
noise, values come from hashing the position. A source is called by each layer that takes noise.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sgkit.config import BASE_RESOLUTION
from sgkit.errors import UsageError, did_you_mean
from sgkit.model.spec import LayerSpec


class NoiseSource(Protocol):
    """Gives a layer its noise."""

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """Noise [1 or ``batch``, 1, height, width] for a canvas of ``size``; ``stored`` [h, w]: the file's map."""


@dataclass(frozen=True)
class NoNoise:
    """Adds nothing."""

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """``None``."""
        return None


@dataclass(frozen=True)
class StoredNoise:
    """The checkpoint's maps, the same for every sample; where a canvas reaches beyond them, hashed noise goes on.

    ``origin``: the canvas's top left corner, in pixels of the first layer's canvas, for drawing a large one in tiles.
    """

    seed: int = 0
    origin: tuple[int, int] = (0, 0)

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """Noise [1, 1, height, width]."""
        top, left = _layer_origin(self.origin, spec)
        height, width = stored.shape
        if (top, left) == (0, 0) and size == (height, width):
            return stored[None, None]
        noise = hashed_normal(spec, (self.seed,), size=size, origin=(top, left)).to(stored)
        rows, columns = slice(max(top, 0), min(top + size[0], height)), slice(max(left, 0), min(left + size[1], width))
        if rows.start < rows.stop and columns.start < columns.stop:
            inside = stored[rows, columns]
            row, column = rows.start - top, columns.start - left
            noise[0, 0, row : row + inside.shape[0], column : column + inside.shape[1]] = inside
        return noise


@dataclass(frozen=True)
class SeededNoise:
    """Noise of its own for each seed: one seed for all samples, or one for each."""

    seeds: Sequence[int] = (0,)
    origin: tuple[int, int] = (0, 0)

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """Noise [len(seeds), 1, height, width].

        Raises:
            UsageError: there are several seeds and another number of samples.
        """
        if len(self.seeds) not in (1, batch):
            raise UsageError(f"{len(self.seeds)} noise seeds were given for {batch} images; give one, or one for each.")
        return hashed_normal(spec, self.seeds, size=size, origin=_layer_origin(self.origin, spec)).to(stored)


@dataclass(frozen=True)
class RandomNoise:
    """Fresh noise for every sample and call, as in training."""

    generator: torch.Generator | None = None

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """Noise [batch, 1, height, width]."""
        shape = (batch, 1, *size)
        return torch.randn(shape, generator=self.generator, dtype=stored.dtype, device=stored.device)


@dataclass(frozen=True)
class MapNoise:
    """Given maps: layer name -> [N or 1, 1, height, width], as a projection finds them."""

    maps: Mapping[str, Tensor]

    def __call__(self, spec: LayerSpec, stored: Tensor, *, batch: int, size: tuple[int, int]) -> Tensor | None:
        """The layer's map.

        Raises:
            UsageError: there is none for the layer, or it has a size other than the canvas.
        """
        noise = self.maps.get(spec.name)
        if noise is None or tuple(noise.shape[-2:]) != size:
            held = "they have none" if noise is None else f"theirs is {noise.shape[-1]}x{noise.shape[-2]}"
            raise UsageError(
                f"The noise maps belong to another model or size: layer {spec.name} needs one of {size[1]}x{size[0]} "
                f"(WxH), {held}. Use the model that they were made with, or leave them out: --noise none or random."
            )
        return noise


_SOURCES: dict[str, NoiseSource] = {"const": StoredNoise(), "random": RandomNoise(), "none": NoNoise()}


def noise_source(noise: str | NoiseSource) -> NoiseSource:
    """The source called ``const`` (stored maps), ``random`` or ``none``; a source is passed through.

    Raises:
        UsageError: no such name.
    """
    if not isinstance(noise, str):
        return noise
    if noise not in _SOURCES:
        raise UsageError(f"Unknown noise {noise!r}. {did_you_mean(noise, _SOURCES)}")
    return _SOURCES[noise]


def hashed_normal(
    spec: LayerSpec, seeds: Sequence[int], *, size: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> Tensor:
    """Standard normal values [len(seeds), 1, height, width], each a hash of (layer, seed, row, column).

    Computed on the CPU in integers and float64, so that a position has one value on every device and in every tiling.
    """
    rows = torch.arange(origin[0], origin[0] + size[0], dtype=torch.int64)[None, :, None]
    columns = torch.arange(origin[1], origin[1] + size[1], dtype=torch.int64)[None, None, :]
    keys = torch.tensor([_wrap(seed * _GOLDEN + zlib.crc32(spec.name.encode())) for seed in seeds])[:, None, None]
    position = _mix(_mix(_mix(keys) ^ rows) ^ columns)
    uniform = [(_mix(position ^ salt) & _LOW_32).double() for salt in (1, 2)]
    radius = (-2 * ((uniform[0] + 1) / 2**32).log()).sqrt()  # Box-Muller; the shift keeps log off zero
    return (radius * (2 * math.pi / 2**32 * uniform[1]).cos()).float()[:, None]


_LOW_32 = 0xFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15


def _wrap(value: int) -> int:
    """``value`` as a signed 64-bit integer."""
    return ((value + 2**63) % 2**64) - 2**63


def _mix(x: Tensor) -> Tensor:
    """A bijective scrambling of 64-bit integers (the finaliser of splitmix64; arithmetic wraps around)."""
    x = x + _wrap(_GOLDEN)
    x = (x ^ _shift_right(x, 30)) * _wrap(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _wrap(0x94D049BB133111EB)
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _layer_origin(origin: tuple[int, int], spec: LayerSpec) -> tuple[int, int]:
    scale = spec.resolution // BASE_RESOLUTION
    return origin[0] * scale, origin[1] * scale
