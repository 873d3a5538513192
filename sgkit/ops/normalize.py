"""Normalisation: second moment, minibatch standard deviation, equalized learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def normalize_2nd_moment(x: Tensor, *, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x`` divided by its root mean square along ``dim`` (ProGAN's pixel norm, section 4.2)."""
    return x * (x.square().mean(dim=dim, keepdim=True) + eps).rsqrt()


def instance_norm(x: Tensor, *, eps: float = 1e-8) -> Tensor:
    """``x`` [N, C, H, W] with zero mean and unit deviation in each channel of each sample (StyleGAN, equation 1)."""
    x = x - x.mean(dim=(2, 3), keepdim=True)
    return x * (x.square().mean(dim=(2, 3), keepdim=True) + eps).rsqrt()


def equalized_gain(shape: Sequence[int], *, gain: float = 1.0, lr_multiplier: float = 1.0) -> float:
    """Runtime factor of a weight [out, in, ...]: ``gain * lr_multiplier / sqrt(fan_in)`` (ProGAN, section 4.1)."""
    return gain * lr_multiplier / math.sqrt(math.prod(shape[1:]))


def minibatch_stddev(x: Tensor, *, group_size: int | None, num_channels: int = 1) -> Tensor:
    """``x`` [N, C, H, W] with ``num_channels`` channels of across-batch deviation appended (ProGAN, section 3).

    Samples j, j + N/G, j + 2N/G ... form a group of G = min(``group_size``, N) (``None``: the whole batch).

    Raises:
        ValueError: N is not a multiple of the group size, or C not one of ``num_channels``.
    """
    batch, channels, height, width = x.shape
    group = batch if group_size is None else min(group_size, batch)
    if batch % group or channels % num_channels:
        raise ValueError(
            f"minibatch_stddev: a batch of {batch} with {channels} channels does not divide into groups of {group} "
            f"with {num_channels} new channels; choose a batch that is a multiple of the group size"
        )
    # fp32: a variance of near-equal half-precision values would be mostly rounding.
    grouped = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    grouped = grouped.reshape(group, -1, num_channels, channels // num_channels, height, width)
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [N/G, F]
    # Laid out as channels_last, which the concatenation then keeps when x is so too.
    deviation = deviation.to(x.dtype)[:, None, None].repeat(group, height, width, 1).permute(0, 3, 1, 2)
    return torch.cat([x, deviation], dim=1)
