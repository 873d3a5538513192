"""3x3 convolutions in training on a CPU: the correlation, its slopes, and the slopes of those, each the fastest way.

Correlation is linear in its input and in its weight, so three functions are closed under differentiation of any order:
the correlation y(x, w), the slope of the input x(y, w), which is its adjoint, and the slope of the weight w(x, y).
Each is computed by Winograd's scheme, by a product of matrices over unfolded pixels, or by torch's operator.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops.winograd import pays_winograd, winograd_correlation, winograd_slope

_TAPS = 9
_POSITIONS = 512
"""Positions unfolded at a time, which stay in the processor's cache."""
_MIN_TILES = 32
"""Tiles of Winograd's below which transforming the weight costs more than is saved."""
_MIN_CHANNELS = 64
"""Channels from which the slope of a weight is faster by products of matrices than by torch's operator."""
_FEW = 4
"""A canvas is small where a weight has this many times as many values: then rearranging the canvas costs less."""


class Geometry(NamedTuple):
    """What a correlation does besides multiplying."""

    stride: int
    padding: int
    size: tuple[int, int]
    """Height and width of its input."""


def serves(x: Tensor, weight: Tensor) -> bool:
    """Whether a convolution of ``x`` with ``weight`` is one of those that this module is for.

    Those are of features in channels_last with a 3x3 weight that lies in memory as it was made. One that is laid out
    for a network at rest is torch's.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    return (
        weight.shape[2:] == (3, 3)
        and x.dtype == weight.dtype == torch.float32
        and weight.is_contiguous()
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def correlation(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """``x`` [N, I, H, W] correlated with ``weight`` [O, I, 3, 3], in channels_last; differentiable at any order."""
    geometry = Geometry(stride, padding, (x.shape[2], x.shape[3]))
    result: Tensor = _Correlation.apply(x, weight, geometry)  # type: ignore[no-untyped-call]
    return result


def correlation_adjoint(y: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """The adjoint for ``y`` [N, O, h, w], which is the transposed convolution: [N, I, H, W] of ``geometry``'s size."""
    result: Tensor = _Adjoint.apply(y, weight, geometry)  # type: ignore[no-untyped-call]
    return result


class _Correlation(torch.autograd.Function):
    """y(x, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _correlated(x, weight, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (y,) = gradients
        of_x = _Adjoint.apply(y, weight, ctx.geometry) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_weight = _WeightSlope.apply(x, y, ctx.geometry) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return of_x, of_weight, None


class _Adjoint(torch.autograd.Function):
    """x(y, w)."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.geometry = geometry
        return _adjoint(y, weight, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, weight = ctx.saved_tensors
        (x,) = gradients
        of_y = _Correlation.apply(x, weight, ctx.geometry) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_weight = _WeightSlope.apply(x, y, ctx.geometry) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return of_y, of_weight, None


class _WeightSlope(torch.autograd.Function):
    """w(x, y)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.geometry = geometry
        return _weight_slope(x, y, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        (weight,) = gradients
        of_x = _Adjoint.apply(y, weight, ctx.geometry) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_y = _Correlation.apply(x, weight, ctx.geometry) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return of_x, of_y, None


def _correlated(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, _ = geometry
    size = output_size(geometry)
    if _is_for_winograd(len(x), size, weight, stride):
        return winograd_correlation(x, weight, padding=padding)
    layout = _layout(len(x), size, weight.shape)
    y = F.conv2d(x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), None, stride, padding)
    return y.contiguous(memory_format=torch.channels_last)


def _adjoint(y: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, size = geometry
    positions = (y.shape[2], y.shape[3])
    if _is_for_winograd(len(y), size, weight, stride):
        return winograd_correlation(y, weight, padding=padding, is_adjoint=True)
    layout = _layout(len(y), positions, weight.shape)
    rest = [side - ((count - 1) * stride - 2 * padding + 3) for side, count in zip(size, positions, strict=True)]
    y, weight = (tensor.contiguous(memory_format=layout) for tensor in (y, weight))
    x = F.conv_transpose2d(y, weight, None, stride, padding, output_padding=rest)
    return x.contiguous(memory_format=torch.channels_last)


def _weight_slope(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, _ = geometry
    size, shape = (y.shape[2], y.shape[3]), torch.Size((y.shape[1], x.shape[1], 3, 3))
    is_wide = min(shape[:2]) >= _MIN_CHANNELS
    if is_wide and stride == 1 and _count_tiles(len(x), size) >= _MIN_TILES:
        return winograd_slope(x, y, padding=padding)
    if is_wide and (stride > 1 or _is_small(len(x), size, shape)):
        return _slope_by_matrices(x, y, geometry)
    fixed = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [False, True, False])
    slope: Tensor = torch.ops.aten.convolution_backward(y, x, x.new_empty(shape), None, *fixed)[1]
    return slope.contiguous()


def _slope_by_matrices(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, _ = geometry
    batch, channels, height, width = y.shape
    padded = F.pad(x, [padding] * 4) if padding else x
    pixels = padded.permute(0, 2, 3, 1).unfold(1, 3, stride).unfold(2, 3, stride)  # [N, h, w, I, 3, 3]
    pixels, slopes = pixels.permute(0, 1, 2, 4, 5, 3), y.permute(0, 2, 3, 1)
    total = x.new_zeros(channels, _TAPS * x.shape[1])
    images, rows = max(_POSITIONS // (height * width), 1), max(_POSITIONS // width, 1)
    for first in range(0, batch, images):
        for row in range(0, height, rows):
            block = slice(first, first + images), slice(row, row + rows)
            total.addmm_(slopes[block].reshape(-1, channels).t(), pixels[block].reshape(-1, _TAPS * x.shape[1]))
    by_tap = total.view(channels, 3, 3, x.shape[1]).permute(0, 3, 1, 2)
    return torch.empty_like(by_tap, memory_format=torch.contiguous_format).copy_(by_tap)


def output_size(geometry: Geometry) -> tuple[int, int]:
    """Height and width of the result of a correlation."""
    stride, padding, (height, width) = geometry
    return (height + 2 * padding - 3) // stride + 1, (width + 2 * padding - 3) // stride + 1


def _is_for_winograd(batch: int, size: tuple[int, int], weight: Tensor, stride: int) -> bool:
    return stride == 1 and pays_winograd(weight, weight.dtype) and _count_tiles(batch, size) >= _MIN_TILES


def _count_tiles(batch: int, size: tuple[int, int]) -> int:
    return batch * -(-size[0] // 4) * -(-size[1] // 4)


def _is_small(batch: int, size: tuple[int, int], shape: torch.Size) -> bool:
    values = batch * size[0] * size[1] * (shape[0] + shape[1])
    return shape[0] * shape[1] * _TAPS >= _FEW * values


def _layout(batch: int, size: tuple[int, int], shape: torch.Size) -> torch.memory_format:
    """In which torch's operator is fastest, the rearranging of the canvas or of the weight included."""
    return torch.contiguous_format if _is_small(batch, size, shape) else torch.channels_last
