"""Bilinear sampling that is differentiable as often as wanted, with respect to images only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BILINEAR, ZEROS, ALIGN_CORNERS = 0, 0, False


def sample_bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """``images`` [N, C, H, W] at the places ``grid`` [N, height, width, 2]: [N, C, height, width].

    Places are (x, y), from -1 at the outer edge of the first pixel to 1 at that of the last. Outside the image is 0.
    ``grid`` gets no gradient.
    """
    result: Tensor = _Sample.apply(images, grid)  # type: ignore[no-untyped-call]
    return result


# Sampling is linear in the image, so its second derivative is sampling again; not every version of PyTorch knows.
class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.size = images.shape[-2:]
        return torch.grid_sampler_2d(images, grid, BILINEAR, ZEROS, ALIGN_CORNERS)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(grad, grid, ctx.size), None  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    """The adjoint of :class:`_Sample`: values are added to the pixels that they were sampled from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(grid)
        shape_of = values.new_zeros(1).expand(*values.shape[:2], *size)  # only its shape is read
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            values.contiguous(), shape_of, grid, BILINEAR, ZEROS, ALIGN_CORNERS, [True, False]
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(grad, grid), None, None  # type: ignore[no-untyped-call]
