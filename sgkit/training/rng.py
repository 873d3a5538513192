"""Random numbers of training: a function of (seed, purpose, number of the image in the run), and of nothing else.

So a run resumed at any image, split into any micro-batches or over any number of processes uses the same numbers,
and no random state needs saving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.model import MapNoise, Plan
from sgkit.model.noise import scrambled
from sgkit.runtime.device import to_device
from sgkit.runtime.seeds import derive_seed, torch_generator


@dataclass(frozen=True, kw_only=True)
class Rng:
    """The random numbers of one run.

    ``purpose`` names a use, such as ``"g.z"``; ``numbers`` count the run's images from 0. Small values are
    generated on the CPU and agree on every device. Noise over pixels is generated on the run's device, on CUDA by
    :func:`counted_normal` for all images at once.
    """

    seed: int
    device: torch.device

    def normal(self, purpose: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
        r"""Standard normal values [len(numbers), \\*shape]."""
        return self.given(lambda some: _normal(self._generators(purpose, some, "cpu"), shape), numbers)

    def uniform(self, purpose: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
        r"""Uniform values in [0, 1), [len(numbers), \\*shape]."""

        def values(some: Sequence[int]) -> Tensor:
            generators = self._generators(purpose, some, "cpu")
            return torch.stack([torch.rand(*shape, generator=generator) for generator in generators])

        return self.given(values, numbers)

    def pixel_normal(self, purpose: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
        r"""Standard normal values [len(numbers), \\*shape], generated on the run's device."""
        if self.is_counted:
            return counted_normal(self._keys(purpose, numbers), math.prod(shape)).reshape(len(numbers), *shape)
        return _normal(self._generators(purpose, numbers, self.device), shape)

    def noise(self, purpose: str, numbers: Sequence[int], plan: Plan) -> MapNoise:
        """Noise for the layers of ``plan`` that take it, generated on the run's device for these images."""
        layers = [spec for spec in plan if spec.has_noise]
        if not layers:  # a CUDA graph may not make generators, even for nothing
            return MapNoise({})
        if self.is_counted:
            sizes = [math.prod(spec.size) for spec in layers]
            parts = torch.split(counted_normal(self._keys(purpose, numbers), sum(sizes)), sizes, dim=1)
            return MapNoise({spec.name: x.reshape(-1, 1, *spec.size) for spec, x in zip(layers, parts, strict=True)})
        generators = self._generators(purpose, numbers, self.device)
        return MapNoise({spec.name: _normal(generators, (1, *spec.size)) for spec in layers})

    @property
    def is_counted(self) -> bool:
        """Whether noise over pixels is a hash of its place: a generator for each image would cost a GPU more."""
        return self.device.type == "cuda"

    def given(self, values: Callable[[Sequence[int]], Tensor], numbers: Sequence[int]) -> Tensor:
        """What ``values`` makes on the CPU for the images ``numbers``, on the run's device."""
        return to_device(values(numbers), self.device)

    def _keys(self, purpose: str, numbers: Sequence[int]) -> Tensor:
        return self.given(lambda some: torch.tensor([derive_seed(self.seed, purpose, n) for n in some]), numbers)

    def _generators(self, purpose: str, numbers: Sequence[int], device: torch.device | str) -> list[torch.Generator]:
        return [torch_generator(self.seed, purpose, number, device=device) for number in numbers]


def counted_normal(keys: Tensor, count: int) -> Tensor:
    """Standard normal values [len(keys), count] on the device of ``keys``: hashes of key and place, two from each."""
    places = torch.arange((count + 1) // 2, device=keys.device)
    bits = scrambled(keys[:, None] ^ scrambled(places))
    low, high = (((bits >> shift) & 0xFFFFFF).float() for shift in (0, 32))
    radius = ((low + 1) / 2**24).log().mul_(-2).sqrt_()  # Box-Muller; the shift keeps log off zero
    angle = high * (2 * math.pi / 2**24)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2).flatten(1)[:, :count]


def _normal(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    values = torch.empty(len(generators), *shape, device=generators[0].device)
    for row, generator in zip(values, generators, strict=True):
        row.normal_(generator=generator)
    return values
