"""What follows from a weight alone, kept between the calls of a network at rest: computing it again costs time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sgkit.ops import pays_winograd, winograd_weight

T = TypeVar("T")
_SMALL = 4
"""Pixels a side up to which a canvas is a single tile of Winograd's."""


def laid_out(weight: Tensor, dtype: torch.dtype, *, resolution: int) -> Tensor:
    """``weight`` [O, I, k, k] as :func:`sgkit.ops.conv2d` multiplies fastest with it at ``resolution``."""
    if resolution > _SMALL and pays_winograd(weight, dtype):
        return winograd_weight(weight)
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)


class AtRest(Generic[T]):
    """Keeps the result of a function of one weight for as long as that weight does not change."""

    def __init__(self, function: Callable[[Tensor, torch.dtype], T]) -> None:
        self._function = function
        self._weight: Tensor | None = None
        self._state: tuple[object, ...] = ()
        self._value: T

    def of(self, network: nn.Module, weight: Tensor, dtype: torch.dtype) -> T | None:
        """The function of ``weight`` and ``dtype``, the dtype that the network computes in.

        ``None`` in training: fused optimizers and ``weight.data`` change values without marking them as changed. So it
        is for compilers, which cannot see an address.
        """
        if network.training or weight.requires_grad or weight.is_inference() or torch.compiler.is_compiling():
            return None
        state = (weight._version, weight.data_ptr(), dtype)
        if self._weight is not weight or self._state != state:
            with torch.inference_mode(False), torch.no_grad():  # a later call may record gradients through it
                self._value = self._function(weight, dtype)
            self._weight, self._state = weight, state
        return self._value
