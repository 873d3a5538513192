"""Bias and activation in one step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ACTIVATIONS", "Activation", "ActivationName", "bias_act"]

ActivationName = Literal["linear", "relu", "lrelu"]


class Activation(NamedTuple):
    """A nonlinearity and the gain that keeps unit variance behind it."""

    function: Callable[[Tensor], Tensor]
    gain: float


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x: x, 1.0),
    "relu": Activation(F.relu, math.sqrt(2)),
    "lrelu": Activation(lambda x: F.leaky_relu(x, 0.2), math.sqrt(2)),
}
"""All are positively homogeneous, f(a x) = a f(x) for a > 0, so a gain may move before the nonlinearity."""


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str = "linear",
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """``gain * g * f(x + bias)`` clamped to +-``clamp``; g: the activation's own gain, ``bias`` [C]: along axis 1."""
    function, own_gain = ACTIVATIONS[activation]
    if bias is not None:
        x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    x = function(x)
    scale = own_gain * gain
    if scale != 1.0:
        x = x * scale
    return x if clamp is None else torch.clamp(x, -clamp, clamp)
