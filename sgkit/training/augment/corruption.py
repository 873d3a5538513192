"""Noise and cutout (Karras et al. 2020, appendix B.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from sgkit.runtime.device import to_device
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.random import AugmentRandom, where


def add_noise(images: Tensor, random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """``images`` [N, C, H, W] with white noise, each with its own strength, a half-normal number; alpha stays.

    Raises:
        ValueError: ``random`` was made for a pipeline without noise.
    """
    if not pipe.noise:
        return images
    if random.pixels is None:
        raise ValueError("The pipeline adds noise, but its random numbers contain none; sample them with this pipe.")
    strength = where(random.happens("noise", pipe.noise * p), random.normal("noise").abs() * pipe.noise_std, 0.0)
    strength = to_device(strength, images.device)
    noise = random.pixels.to(images.dtype) * strength.to(images.dtype)[:, None, None, None]
    noisy = torch.where((strength > 0)[:, None, None, None], images + noise, images)
    return torch.cat([noisy[:, :3], images[:, 3:]], dim=1)


def cut_out(images: Tensor, random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """``images`` [N, C, H, W] with a rectangle set to 0, its middle anywhere, so it may reach over the border."""
    if not pipe.cutout:
        return images
    height, width = images.shape[-2:]
    size = where(
        random.happens("cutout", pipe.cutout * p), torch.full_like(random.uniform("cutout"), pipe.cutout_size), 0.0
    )
    hidden_x = _hidden(random.uniform("cutout.x"), size, width)[:, None, None, :]
    hidden_y = _hidden(random.uniform("cutout.y"), size, height)[:, None, :, None]
    return images.masked_fill(to_device(hidden_x, images.device) & to_device(hidden_y, images.device), 0.0)


def _hidden(middle: Tensor, size: Tensor, side: int) -> Tensor:
    """Pixels [N, side] of an axis within ``size / 2`` of ``middle``, both [N] as shares of the axis."""
    places = (torch.arange(side, device=middle.device) + 0.5) / side
    return (places - middle[:, None]).abs() < size[:, None] / 2.0
