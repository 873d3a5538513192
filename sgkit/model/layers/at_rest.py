"""What follows from a weight alone, kept between the calls of a network at rest: computing it again costs time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sgkit.ops import pays_winograd, transposed_weight, weight_energy, winograd_weight

T = TypeVar("T")
_SMALL = 4
"""Pixels a side up to which a canvas is a single tile of Winograd's."""


def laid_out(weight: Tensor, dtype: torch.dtype, *, resolution: int) -> Tensor:
    """``weight`` [O, I, k, k] as :func:`sgkit.ops.conv2d` multiplies fastest with it at ``resolution``."""
    if resolution > _SMALL and pays_winograd(weight, dtype):
        return winograd_weight(weight)
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)


class ModulatedWeight(NamedTuple):
    """What :func:`sgkit.ops.modulated_conv2d` needs of a weight at rest."""

    energy: Tensor
    laid_out: Tensor


def modulated_weight(weight: Tensor, dtype: torch.dtype, *, resolution: int, up: int = 1) -> ModulatedWeight:
    """That of ``weight`` [O, I, k, k], for features of ``dtype``."""
    energy = weight_energy(weight)
    if up == 2:
        return ModulatedWeight(energy, transposed_weight(weight.to(dtype)))
    return ModulatedWeight(energy, laid_out(weight, dtype, resolution=resolution))


class AtRest(Generic[T]):
    """Keeps the results of a function of one weight, one for each dtype, for as long as that weight does not change."""

    def __init__(self, function: Callable[[Tensor, torch.dtype], T]) -> None:
        self._function = function
        self._weight: Tensor | None = None
        self._state: tuple[int, int] = (0, 0)
        self._values: dict[torch.dtype, T] = {}

    def of(self, network: nn.Module, weight: Tensor, dtype: torch.dtype) -> T | None:
        """The function of ``weight`` and ``dtype``, the dtype that the network computes in.

        ``None`` in training: fused optimizers and ``weight.data`` change values without marking them as changed. So it
        is for compilers, which cannot see an address.
        """
        if network.training or weight.requires_grad or weight.is_inference() or torch.compiler.is_compiling():
            return None
        state = (weight._version, weight.data_ptr())
        if self._weight is not weight or self._state != state:
            self._weight, self._state, self._values = weight, state, {}
        if dtype not in self._values:
            with torch.inference_mode(False), torch.no_grad():  # a later call may record gradients through it
                self._values[dtype] = self._function(weight, dtype)
        return self._values[dtype]


class ScaledWeight:
    """A convolution's weight times its equalized learning rate, kept where the network is at rest."""

    def __init__(self, scale: float, *, resolution: int) -> None:
        self._scale = scale
        self._at_rest = AtRest(functools.partial(_scaled, scale=scale, resolution=resolution))

    def of(self, network: nn.Module, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """What :func:`sgkit.ops.conv2d` multiplies features of ``dtype`` with; with a stride, ``resolution`` is 0."""
        kept = self._at_rest.of(network, weight, dtype)
        return weight * self._scale if kept is None else kept


def _scaled(weight: Tensor, dtype: torch.dtype, *, scale: float, resolution: int) -> Tensor:
    return laid_out(weight * scale, dtype, resolution=resolution)
