"""Daubechies' symlets, and resampling by 2 with them along one axis."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

# Least asymmetric orthonormal low-pass filters (I. Daubechies, Ten Lectures on Wavelets, 1992, section 6.4).
SYM2 = tuple((a + b * math.sqrt(3.0)) / (4.0 * math.sqrt(2.0)) for a, b in ((1, -1), (3, -1), (3, 1), (1, 1)))
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
TAPS = len(SYM6)
BLOCK = 16
"""Pixels that one product of matrices makes: short blocks waste overlap, long ones multiply by zeros."""


def enlarge(images: Tensor, first: int, last: int, *, dim: int) -> Tensor:
    """Pixels ``first`` to before ``last`` of ``images`` [N, C, H, W] along ``dim`` (-1 or -2), enlarged by 2.

    Place ``2 * i - 2 * first`` of the result shows pixel i. The axis is continued by reflection once to either side,
    and by 0 beyond.
    """
    side = images.shape[dim]
    reach = TAPS // 4
    blocks = -(-(last - first) // BLOCK)
    start = torch.arange(blocks, device=images.device)[:, None] * BLOCK + first - reach
    pixels = start + torch.arange(BLOCK + 2 * reach, device=images.device)
    if first - reach < 1 - side or first + blocks * BLOCK + reach > 2 * side - 1:
        outside = (pixels < 1 - side) | (pixels > 2 * side - 2)
        images = torch.cat([images, torch.zeros_like(images.narrow(dim, 0, 1))], dim=dim)
    else:
        outside = torch.zeros_like(pixels, dtype=torch.bool)
    reflected = (side - 1) - ((side - 1) - pixels.abs()).abs()
    matrix = _enlarging(images.dtype, images.device)
    large = _by_blocks(images, torch.where(outside, side, reflected), matrix, dim)
    return large.narrow(dim, 0, 2 * (last - first))


def reduce(images: Tensor, size: int, *, dim: int) -> Tensor:
    """``size`` pixels of ``images`` [N, C, H, W] that was enlarged along ``dim`` (-1 or -2), the adjoint of enlarging.

    ``images`` begins ``TAPS // 2 - 1`` places before the first pixel and has ``2 * size + TAPS - 2`` places.
    """
    blocks = -(-size // BLOCK)
    start = torch.arange(blocks, device=images.device)[:, None] * (2 * BLOCK)
    places = start + torch.arange(2 * BLOCK + TAPS - 2, device=images.device)
    matrix = _reducing(images.dtype, images.device)
    return _by_blocks(images, places.clamp(max=images.shape[dim] - 1), matrix, dim).narrow(dim, 0, size)


def _by_blocks(images: Tensor, places: Tensor, matrix: Tensor, dim: int) -> Tensor:
    """``matrix`` [m, k] times the values at ``places`` [blocks, k] of the axis: blocks * m values.

    Gathering and multiplying is faster than a convolution with one channel, by an order of magnitude on the CPU.
    """
    values = images.index_select(dim, places.flatten())
    if dim == -1:
        return (values.reshape(*images.shape[:-1], *places.shape) @ matrix.T).flatten(-2)
    values = values.reshape(*images.shape[:-2], *places.shape, images.shape[-1])
    return (matrix @ values).flatten(-3, -2)


@functools.lru_cache(maxsize=8)
def _enlarging(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Rows: 2 * BLOCK places; columns: the pixels around, from TAPS // 4 before the first."""
    places, pixels = torch.arange(2 * BLOCK)[:, None], torch.arange(BLOCK + TAPS // 2)
    return (math.sqrt(2.0) * _taps_at(TAPS - 1 + places - 2 * pixels)).to(device=device, dtype=dtype)


@functools.lru_cache(maxsize=8)
def _reducing(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Rows: BLOCK pixels; columns: the places that they are made of."""
    pixels, places = torch.arange(BLOCK)[:, None], torch.arange(2 * BLOCK + TAPS - 2)
    return (_taps_at(places - 2 * pixels) / math.sqrt(2.0)).to(device=device, dtype=dtype)


def _taps_at(index: Tensor) -> Tensor:
    taps = torch.tensor(SYM6, dtype=torch.float64)
    inside = (index >= 0) & (index < TAPS)
    return torch.where(inside, taps[index.clamp(0, TAPS - 1)], 0.0)
