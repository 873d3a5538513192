"""Bias and activation in one step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from sgkit.ops import act_kernel


class Activation(NamedTuple):
    """A nonlinearity and the gain that keeps unit variance after it."""

    function: Callable[[Tensor, bool], Tensor]
    """Takes a tensor, and whether to overwrite it."""
    gain: float


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, _: x, 1.0),
    "relu": Activation(F.relu, math.sqrt(2)),
    "lrelu": Activation(lambda x, inplace: F.leaky_relu(x, 0.2, inplace), math.sqrt(2)),
}
"""All are positively homogeneous, f(a x) = a f(x) for a > 0, so a gain may move before the nonlinearity."""

_SLOPES = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}
"""Below 0."""


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str = "linear",
    gain: float = 1.0,
    clamp: float | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``gain * g * f(x + bias)`` clamped to +-``clamp``; g: the activation's own gain, ``bias`` [C]: along axis 1.

    ``gain`` is above 0. ``overwrite``: ``x`` is the caller's own, its value is needed for no slope (as that of a sum, a
    product or a convolution is not), and it may hold the result, which saves time and memory.
    """
    function, own_gain = ACTIVATIONS[activation]
    if act_kernel.serves(x) and (bias is not None or activation != "linear" or clamp is not None):
        return act_kernel.activated(x, bias, act_kernel.Shape(own_gain * gain, _SLOPES[activation], clamp))
    if bias is not None:
        bias = bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
        x, overwrite = x.add_(bias) if overwrite else x + bias, True
    scale = own_gain * gain
    if not math.isclose(scale, 1.0):
        x, overwrite = x.mul_(scale) if overwrite else x * scale, True
    x = function(x, overwrite)
    if clamp is None:
        return x
    return x.clamp(-clamp, clamp) if x.requires_grad or not overwrite else x.clamp_(-clamp, clamp)
