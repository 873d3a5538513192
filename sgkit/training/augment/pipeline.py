"""What D sees instead of images: blurred, and after geometry, colour, filters and corruption in the papers' order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sgkit.config import AugmentConfig
from sgkit.ops import filter2d
from sgkit.training.augment.color import recolor
from sgkit.training.augment.corruption import add_noise, cut_out
from sgkit.training.augment.diffaugment import DiffAugmentRandom, diffaugment
from sgkit.training.augment.filters import amplify_bands
from sgkit.training.augment.geometry import move
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.augment.random import AugmentRandom
from sgkit.training.rng import Rng


def augment(images: Tensor, random: AugmentRandom, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
    """``images`` [N, C, H, W] in [-1, 1], each transformed as its own random numbers say.

    The same for an image in any batch. Images to which nothing happens come back bit for bit, so all do at ``p`` 0.
    Differentiable twice with respect to ``images``; computed in float32 (float64 stays), whatever autocast says, and
    returned in the type given. Colour, filters and noise leave the fourth channel, alpha, alone; geometry and cutout
    take it along.

    Raises:
        ValueError: the pipeline changes colours, and the images have neither 1, 3 nor 4 channels.
    """
    with torch.autocast(images.device.type, enabled=False):
        x = images if images.dtype == torch.float64 else images.float()
        x = move(x, random, p=p, pipe=pipe)
        x = recolor(x, random, p=p, pipe=pipe)
        x = amplify_bands(x, random, p=p, pipe=pipe)
        x = add_noise(x, random, p=p, pipe=pipe)
        x = cut_out(x, random, p=p, pipe=pipe)
    return x.to(images.dtype)


def augmented(
    images: Tensor, rng: Rng, purpose: str, numbers: Sequence[int], *, config: AugmentConfig, p: Tensor | float
) -> Tensor:
    """``images`` [N, C, H, W], which have the numbers ``numbers`` in the run, augmented as ``config`` says.

    ``p`` is the probability of each transform, for ``ada`` and ``fixed``. ``purpose`` names the use, such as
    ``"d.real.augment"``: other uses of the same image take other random numbers.
    """
    if config.kind == "diffaugment":
        return diffaugment(images, DiffAugmentRandom.sample(rng, purpose, numbers), policy=config.policies)
    if config.kind == "none" or (not isinstance(p, Tensor) and p <= 0):
        return images
    height, width = images.shape[-2:]
    pipe = AugmentPipe.named(config.pipe)
    random = AugmentRandom.sample(rng, purpose, numbers, (height, width), images.shape[1], pipe=pipe)
    return augment(images, random, p=p, pipe=pipe)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """``images`` [N, C, H, W] after the filter ``2 ** -(x / sigma) ** 2``, cut off at 3 sigma (StyleGAN3)."""
    reach = int(sigma * 3)
    if reach == 0:
        return images
    taps = torch.arange(-reach, reach + 1, device=images.device).div(sigma).square().neg().exp2()
    return filter2d(images, taps / taps.sum())
