"""Noise maps that are searched with the latent, and kept noise (StyleGAN2, appendix D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.model import Model
from sgkit.runtime.seeds import torch_generator

SMALLEST = 8
"""The pyramid of a noise map ends at this side."""


def initial_maps(model: Model, count: int, seed: int, *, zero: bool = False) -> dict[str, Tensor]:
    """White noise for every layer that takes noise: layer name -> [count, 1, h, w], the same for each picture.

    ``zero``: maps of 0 instead.
    """
    maps = {}
    for spec in model.generator.synthesis.plan:
        if spec.has_noise:
            generator = torch_generator(seed, "project", spec.name)
            drawn = torch.randn((1, 1, *spec.size), generator=generator).to(model.device)
            maps[spec.name] = (drawn * (not zero)).expand(count, -1, -1, -1).clone()
    return maps


def noise_penalty(noise: Tensor) -> Tensor:
    """Autocorrelation of each map [N] of ``noise`` [N, 1, h, w]: what keeps a picture from being painted in the noise.

    Squared mean products of neighbours along both axes (the map wraps around), summed over a pyramid of halves down to
    8 pixels; 2x2 means are doubled, which keeps their variance (StyleGAN2, appendix D).
    """
    penalty = noise.new_zeros(len(noise))
    while True:
        for dimension in (2, 3):
            penalty = penalty + (noise * noise.roll(1, dims=dimension)).mean(dim=(1, 2, 3)).square()
        if min(noise.shape[2:]) <= SMALLEST:
            return penalty
        noise = F.avg_pool2d(noise, 2) * 2


@torch.no_grad()
def normalize_maps(maps: dict[str, Tensor]) -> None:
    """Bring every map back to mean 0 and deviation 1, in place."""
    for noise in maps.values():
        noise -= noise.mean(dim=(1, 2, 3), keepdim=True)
        noise *= noise.square().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12).rsqrt()
