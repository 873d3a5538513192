"""3x3 convolutions with 36 products for 16 pixels in place of 144: Winograd's F(4x4, 3x3) (Lavin and Gray 2015).

Input tiles of 6x6 pixels and kernels are evaluated as polynomials at the same points, multiplied there, and the product
is read off as a tile of 4x4 pixels: four matrix products in all, most of the work in one over the channels.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""Where polynomials are evaluated, besides infinity: the rounding is less than half of that with 0, 1, -1, 2, -2."""
_RECIPROCAL = [5, 3, 4, 1, 2, 0]
"""Index of a point's reciprocal. A kernel evaluated there is the flipped kernel, but for factors."""
_TILES = 1024
"""Tiles at a time: their values at the points stay in the processor's cache."""
_MIN_CHANNELS = 128
"""Channels below which moving tiles costs more than the products that are saved."""


class _Transforms(NamedTuple):
    kernel: Tensor
    """[6, 3]."""
    split: Tensor
    """[36, 36], of tiles of the input."""
    merge: Tensor
    """[16, 36], to tiles of the output."""


@functools.cache
def _transforms(is_flipped: bool) -> _Transforms:
    """The matrices, float64; for ``is_flipped`` those that use the kernel's values for the flipped kernel."""
    points = torch.tensor(_POINTS, dtype=torch.float64)
    infinity = torch.eye(6, dtype=torch.float64)[-1:]
    split = torch.stack([*(_polynomial(points[points != point]) for point in points), _polynomial(points)])
    values_at_own = (split[:5] * torch.linalg.vander(points, N=6)).sum(dim=1, keepdim=True)
    kernel = torch.cat([torch.linalg.vander(points, N=3) / values_at_own, infinity[:, 3:]])
    merge = torch.cat([torch.linalg.vander(points, N=4), infinity[:, 2:]]).t()
    if is_flipped:
        known = kernel[_RECIPROCAL]
        factors = (kernel.flip(1) * known).sum(dim=1) / known.square().sum(dim=1)
        split, merge = split[_RECIPROCAL], (merge * factors)[:, _RECIPROCAL]
    return _Transforms(kernel, torch.kron(split, split), torch.kron(merge, merge))


def _polynomial(roots: Tensor) -> Tensor:
    """Six coefficients, the constant first, of the polynomial with these roots and the leading coefficient 1."""
    coefficients = torch.zeros(6, dtype=torch.float64)
    coefficients[0] = 1.0
    for root in roots:
        coefficients = coefficients.roll(1) - root * coefficients
    return coefficients


def pays_winograd(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether a convolution of features of ``dtype`` with ``weight`` [O, I, k, k] is faster this way."""
    wide = weight.shape[2:] == (3, 3) and min(weight.shape[:2]) >= _MIN_CHANNELS
    return wide and dtype == torch.float32 and weight.device.type == "cpu"


def winograd_weight(weight: Tensor) -> Tensor:
    """``weight`` [O, I, 3, 3] as :func:`winograd_conv2d` multiplies with it, [36, I, O]: worth keeping."""
    kernel = _transforms(False).kernel
    values = torch.einsum("ak,oikl,bl->abio", kernel, weight.double(), kernel)
    return values.reshape(36, weight.shape[1], weight.shape[0]).to(weight.dtype)


def winograd_conv2d(x: Tensor, transformed: Tensor, *, padding: int = 1) -> Tensor:
    """``x`` [N, I, H, W] correlated with a weight whose :func:`winograd_weight` is ``transformed``, which is constant.

    The result [N, O, H + 2 padding - 2, ...] is in channels_last. Its rounding is about that of other ways.
    """
    with torch.autocast("cpu", enabled=False):
        result: Tensor = _Winograd.apply(x, transformed, padding, False)  # type: ignore[no-untyped-call]
    return result


class _Winograd(torch.autograd.Function):
    """The correlation, or the adjoint of that: correlation with the flipped kernel, channels exchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, transformed: Tensor, padding: int, is_flipped: bool) -> Tensor:
        """``is_flipped``: the adjoint."""
        ctx.save_for_backward(transformed)
        ctx.padding, ctx.is_flipped = padding, is_flipped
        kernel = transformed.transpose(1, 2) if is_flipped else transformed
        batch, channels = x.shape[:2]
        height, width = (side + 2 * padding - 2 for side in x.shape[2:])
        rows, columns = -(-height // 4), -(-width // 4)
        _, split, merge = (matrix.to(x.dtype) for matrix in _transforms(is_flipped))
        size = (batch, kernel.shape[2], 4 * rows, 4 * columns)
        image = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        out = image.permute(0, 2, 3, 1).view(batch, rows, 4, columns, 4, -1)
        around = (padding, padding + 4 * columns - width, padding, padding + 4 * rows - height)
        step = max(_TILES // (rows * columns), 1)
        for first in range(0, batch, step):
            part, target = x[first : first + step], out[first : first + step]
            padded = F.pad(part, around).permute(0, 2, 3, 1)
            tiles = padded.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)  # [6, 6, n, rows, columns, I]
            values = (split @ tiles.reshape(36, -1)).reshape(36, -1, channels)
            values = merge @ torch.bmm(values, kernel).reshape(36, -1)
            target.copy_(values.reshape(4, 4, len(part), rows, columns, -1).permute(2, 3, 0, 4, 1, 5))
        if image.shape[2:] == (height, width):  # not a view, which no one could overwrite
            return image
        return image[:, :, :height, :width].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (transformed,) = ctx.saved_tensors
        slope = _Winograd.apply(gradients[0], transformed, 2 - ctx.padding, not ctx.is_flipped)  # type: ignore[no-untyped-call]
        return slope, None, None, None
