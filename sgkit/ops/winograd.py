"""3x3 convolutions with 36 products for 16 pixels in place of 144: Winograd's F(4x4, 3x3) (Lavin and Gray 2015).

Input tiles of 6x6 pixels and kernels are evaluated as polynomials at the same points, multiplied there, and the product
is read off as a tile of 4x4 pixels: four matrix products in all, most of the work in one over the channels.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
"""Where polynomials are evaluated, besides infinity: the rounding is less than half of that with 0, 1, -1, 2, -2."""
_RECIPROCAL = [5, 3, 4, 1, 2, 0]
"""Index of a point's reciprocal. A kernel evaluated there is the flipped kernel, but for factors."""
_TILES = 128
"""Tiles at a time: their values at the points stay in the processor's cache."""
_ROWS = 16
"""Input channels whose kernels are transformed at a time."""
_MIN_CHANNELS = 128
"""Channels below which moving tiles costs more than the products that are saved."""


class _Transforms(NamedTuple):
    kernel: Tensor
    """[36, 9]."""
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
    return _Transforms(torch.kron(kernel, kernel), torch.kron(split, split), torch.kron(merge, merge))


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
    values = weight.new_empty(36, weight.shape[1], weight.shape[0])
    for first in range(0, weight.shape[1], _ROWS):  # parts that stay in the processor's cache in float64
        part = weight[:, first : first + _ROWS].permute(2, 3, 1, 0).reshape(9, -1)
        values[:, first : first + _ROWS] = (_transforms(False).kernel @ part.double()).view(36, -1, weight.shape[0])
    return values


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
        return _correlated(x, transformed, padding=padding, is_flipped=is_flipped)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (transformed,) = ctx.saved_tensors
        slope = _Winograd.apply(gradients[0], transformed, 2 - ctx.padding, not ctx.is_flipped)  # type: ignore[no-untyped-call]
        return slope, None, None, None


def winograd_correlation(x: Tensor, weight: Tensor, *, padding: int, is_adjoint: bool = False) -> Tensor:
    """``x`` correlated with a ``weight`` [O, I, 3, 3] that is used once; the adjoint of that for [N, O, H, W].

    Records no gradients.
    """
    values = _transforms(False).kernel.to(weight.dtype) @ weight.reshape(-1, 9).t()
    values = values.view(36, *weight.shape[:2])
    return _correlated(x, values.transpose(1, 2), padding=2 - padding if is_adjoint else padding, is_flipped=is_adjoint)


def winograd_slope(x: Tensor, slopes: Tensor, *, padding: int) -> Tensor:
    """The slope [O, I, 3, 3] of the weight with which ``x`` was correlated; ``slopes`` [N, O, H, W]: of the result.

    Records no gradients.
    """
    channels, out_channels = x.shape[1], slopes.shape[1]
    height, width = slopes.shape[2:]
    kernel, split, merge = (matrix.to(x.dtype) for matrix in _transforms(False))
    tiles = _tiles(x, (height, width), padding)
    rows, columns = tiles.shape[3:5]
    slopes = F.pad(slopes, (0, 4 * columns - width, 0, 4 * rows - height))
    targets = _targets(slopes.permute(0, 2, 3, 1), rows, columns)
    total = x.new_zeros(36, out_channels, channels)
    for block in _blocks(len(x), rows, columns):
        values = (split @ tiles[block].reshape(36, -1)).view(36, -1, channels)
        others = (merge.t() @ targets[block].reshape(16, -1)).view(36, -1, out_channels)
        total.baddbmm_(others.transpose(1, 2), values)
    slope = x.new_empty(out_channels, channels, 3, 3)  # not a view, which no one could overwrite
    torch.mm(total.view(36, -1).t(), kernel, out=slope.view(-1, 9))
    return slope


def _correlated(x: Tensor, kernel: Tensor, *, padding: int, is_flipped: bool) -> Tensor:
    """``x`` correlated with a weight whose values are ``kernel`` [36, I, O]; ``is_flipped``: the adjoint of that."""
    kernel = kernel.transpose(1, 2) if is_flipped else kernel
    channels, out_channels = kernel.shape[1:]
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    _, split, merge = (matrix.to(x.dtype) for matrix in _transforms(is_flipped))
    tiles = _tiles(x, (height, width), padding)
    rows, columns = tiles.shape[3:5]
    size = (len(x), out_channels, 4 * rows, 4 * columns)
    image = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    targets = _targets(image.permute(0, 2, 3, 1), rows, columns)
    for block in _blocks(len(x), rows, columns):
        target = targets[block]
        values = (split @ tiles[block].reshape(36, -1)).view(36, -1, channels)
        target.copy_((merge @ torch.bmm(values, kernel).view(36, -1)).view(target.shape))
    if image.shape[2:] == (height, width):  # not a view, which no one could overwrite
        return image
    return image[:, :, :height, :width].contiguous(memory_format=torch.channels_last)


def _tiles(x: Tensor, size: tuple[int, int], padding: int) -> Tensor:
    """What each tile of an output of ``size`` is made of: a view [6, 6, N, rows, columns, I] of ``x`` with zeros."""
    rows, columns = (-(-side // 4) for side in size)
    after = [4 * count - side + padding for count, side in zip((rows, columns), size, strict=True)]
    padded = zeros_around(x, (padding, after[0]), (padding, after[1])).permute(0, 2, 3, 1)
    return padded.unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)


def zeros_around(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """``x`` [N, C, H, W] in channels_last with so many zeros before and after it; negative numbers crop.

    ``F.pad`` fills the whole result with zeros first. Records no gradients.
    """
    if min(*rows, *columns) < 0:
        return F.pad(x, (*columns, *rows))
    batch, channels, height, width = x.shape
    size = (batch, channels, rows[0] + height + rows[1], columns[0] + width + columns[1])
    padded = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    padded[:, :, : rows[0]].zero_()
    padded[:, :, rows[0] + height :].zero_()
    inside = padded[:, :, rows[0] : rows[0] + height]
    inside[:, :, :, : columns[0]].zero_()
    inside[:, :, :, columns[0] + width :].zero_()
    inside[:, :, :, columns[0] : columns[0] + width].copy_(x)
    return padded


def _targets(image: Tensor, rows: int, columns: int) -> Tensor:
    """The tiles of an output ``image`` [N, 4 rows, 4 columns, O]: a view [4, 4, N, rows, columns, O]."""
    return image.reshape(len(image), rows, 4, columns, 4, image.shape[-1]).permute(2, 4, 0, 1, 3, 5)


def _blocks(batch: int, rows: int, columns: int) -> Iterator[tuple[slice, ...]]:
    """Slices of [., ., batch, rows, columns, .] of about ``_TILES`` tiles each."""
    images, some = max(_TILES // (rows * columns), 1), min(max(_TILES // columns, 1), rows)
    for first in range(0, batch, images):
        for row in range(0, rows, some):
            yield slice(None), slice(None), slice(first, first + images), slice(row, row + some)
