"""Random numbers of training: a function of (seed, purpose, number of the image in the run), and of nothing else.

So a run resumed at any image, split into any micro-batches or over any number of processes uses the same numbers,
and no random state needs saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.model import MapNoise, Plan
from sgkit.runtime.seeds import torch_generator


@dataclass(frozen=True, kw_only=True)
class Rng:
    """The random numbers of one run.

    ``purpose`` names a use, such as ``"g.z"``; ``numbers`` count the run's images from 0. Small values are
    generated on the CPU and agree on every device; noise over pixels is generated on the run's device.
    """

    seed: int
    device: torch.device

    def normal(self, purpose: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
        r"""Standard normal values [len(numbers), \\*shape]."""
        return _normal(self._generators(purpose, numbers, "cpu"), shape).to(self.device)

    def uniform(self, purpose: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
        r"""Uniform values in [0, 1), [len(numbers), \\*shape]."""
        generators = self._generators(purpose, numbers, "cpu")
        return torch.stack([torch.rand(*shape, generator=generator) for generator in generators]).to(self.device)

    def pixel_normal(self, purpose: str, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
        r"""Standard normal values [len(numbers), \\*shape], generated on the run's device."""
        return _normal(self._generators(purpose, numbers, self.device), shape)

    def noise(self, purpose: str, numbers: Sequence[int], plan: Plan) -> MapNoise:
        """Noise for the layers of ``plan`` that take it, generated on the run's device for these images."""
        generators = self._generators(purpose, numbers, self.device)
        return MapNoise({spec.name: _normal(generators, (1, *spec.size)) for spec in plan if spec.has_noise})

    def _generators(self, purpose: str, numbers: Sequence[int], device: torch.device | str) -> list[torch.Generator]:
        return [torch_generator(self.seed, purpose, number, device=device) for number in numbers]


def _normal(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    values = torch.empty(len(generators), *shape, device=generators[0].device)
    for row, generator in zip(values, generators, strict=True):
        row.normal_(generator=generator)
    return values
