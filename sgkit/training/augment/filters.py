"""Amplification of frequency bands (Karras et al. 2020, appendix B.4)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from sgkit.runtime.device import to_device
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.random import AugmentRandom
from sgkit.training.augment.wavelets import SYM2

BANDS = 4
NATURAL_POWER = (10.0 / 13.0, 1.0 / 13.0, 1.0 / 13.0, 1.0 / 13.0)
"""Share of each band, the lowest first, in the power of natural images, whose spectrum falls with frequency."""


def amplify_bands(images: Tensor, random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """``images`` [N, C, H, W] with four bands of frequency, an octave each, amplified or damped; alpha stays.

    The filter of an image is separable; it is applied as one matrix per axis, the reflection at the borders folded in,
    so images smaller than the filter pass too.
    """
    if not pipe.filter:
        return images
    gains = band_gains(random, p=p, pipe=pipe)
    rows = (gains != 1.0).any(dim=1).nonzero()[:, 0]
    if not len(rows):
        return images
    gains, rows = to_device(gains[rows].to(images.dtype), images.device), to_device(rows, images.device)
    chosen, (height, width) = images.index_select(0, rows), images.shape[-2:]
    vertical, horizontal = _filter_matrices(gains, height), _filter_matrices(gains, width)
    filtered = vertical[:, None] @ chosen[:, :3] @ horizontal[:, None].mT
    filtered = torch.cat([filtered, chosen[:, 3:]], dim=1)
    return images.index_copy(0, rows, filtered)


def band_gains(random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """Gains [N, 4] of the bands, the lowest first.

    Each band in turn is amplified, and all of them scaled so that a natural image keeps its expected power.
    """
    power = torch.tensor(NATURAL_POWER, device=random.normals.device)
    total = torch.ones(len(random.normals), BANDS, device=random.normals.device)
    for band, likelihood in enumerate(pipe.filter_bands):
        amplified = torch.exp2(random.normal(f"filter{band}") * pipe.filter_std)
        happens = random.happens(f"filter{band}", pipe.filter * likelihood * p)
        # The power of (1, ..., gain, ..., 1), as its difference to the 1 of no change: 1 then stays exactly 1.
        norm = torch.sqrt(1.0 + power[band] * (amplified.square() - 1.0))
        gains = torch.ones_like(total)
        gains[:, band] = amplified
        total = total * torch.where(happens[:, None], gains / norm[:, None], 1.0)
    return total


@functools.cache
def band_filters() -> tuple[tuple[float, ...], ...]:
    """Four symmetric filters of 43 taps each that sum to a unit impulse, the lowest band first.

    With the half-band low-pass L(z) = H(z) H(1/z) / 2 of the sym2 wavelet and the high-pass G(z) = L(-z), they are
    L(z) L(z^2) L(z^4), L(z) L(z^2) G(z^4), L(z) G(z^2) and G(z).
    """
    taps = torch.tensor(SYM2, dtype=torch.float64)
    low = _convolve(taps, taps.flip(0)) / 2.0
    high = -low * (-1.0) ** torch.arange(len(low))
    lows, filters = torch.ones(1, dtype=torch.float64), []
    for octave in range(BANDS - 1):
        filters.append(_convolve(lows, _dilate(high, 2**octave)))
        lows = _convolve(lows, _dilate(low, 2**octave))
    size = len(lows)
    padded = [torch.nn.functional.pad(x, [(size - len(x)) // 2] * 2) for x in (lows, *reversed(filters))]
    return tuple(tuple(x.tolist()) for x in padded)


def _filter_matrices(gains: Tensor, side: int) -> Tensor:
    """Matrices [N, side, side] that filter an axis of ``side`` pixels, continued by reflection."""
    return (gains @ _band_matrices(side, gains.dtype, gains.device)).reshape(-1, side, side)


@functools.lru_cache(maxsize=16)
def _band_matrices(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix of each band, flat: [BANDS, side * side]."""
    filters = torch.tensor(band_filters(), dtype=torch.float64)
    places = torch.arange(side)[:, None] + torch.arange(filters.shape[1]) - filters.shape[1] // 2
    index = _reflected(places, side).expand(BANDS, -1, -1)
    bands = torch.zeros(BANDS, side, side, dtype=torch.float64).scatter_add(
        2, index, filters[:, None].expand(-1, side, -1)
    )
    return bands.flatten(1).to(device=device, dtype=dtype)


def _reflected(places: Tensor, side: int) -> Tensor:
    """Places of the image that an axis reflected at its first and last pixel shows."""
    period = max(2 * (side - 1), 1)
    places = places.remainder(period)
    return torch.minimum(places, period - places) if side > 1 else torch.zeros_like(places)


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    outer = a[:, None] * b
    index = torch.arange(len(a))[:, None] + torch.arange(len(b))
    return a.new_zeros(len(a) + len(b) - 1).scatter_add(0, index.flatten(), outer.flatten())


def _dilate(taps: Tensor, factor: int) -> Tensor:
    """Zeros inserted between taps: the filter of a signal ``factor`` times as large."""
    dilated = taps.new_zeros((len(taps) - 1) * factor + 1)
    dilated[::factor] = taps
    return dilated
