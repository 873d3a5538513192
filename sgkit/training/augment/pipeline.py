"""The whole pipeline: geometry, colour, filters, corruption, in the paper's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.config import AugmentConfig
from sgkit.training.augment.color import recolor
from sgkit.training.augment.corruption import add_noise, cut_out
from sgkit.training.augment.diffaugment import DiffAugmentDraws, diffaugment
from sgkit.training.augment.draws import AugmentDraws
from sgkit.training.augment.filters import amplify_bands
from sgkit.training.augment.geometry import move
from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.rng import Draws


def augment(images: Tensor, draws: AugmentDraws, *, p: Tensor | float, pipe: AugmentPipe) -> Tensor:
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
        x = move(x, draws, p=p, pipe=pipe)
        x = recolor(x, draws, p=p, pipe=pipe)
        x = amplify_bands(x, draws, p=p, pipe=pipe)
        x = add_noise(x, draws, p=p, pipe=pipe)
        x = cut_out(x, draws, p=p, pipe=pipe)
    return x.to(images.dtype)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What a configuration asks for, ready to be applied."""

    config: AugmentConfig
    draws: Draws

    def __call__(self, images: Tensor, purpose: str, numbers: Sequence[int], *, p: Tensor | float) -> Tensor:
        """``images`` [N, C, H, W] of the run's numbers ``numbers``, transformed with probability ``p``.

        ``purpose`` names the use, such as ``"d.real.augment"``: other uses of the same image draw other numbers.
        """
        if self.config.kind == "none":
            return images
        if self.config.kind == "diffaugment":
            fixed = DiffAugmentDraws.draw(self.draws, purpose, numbers)
            return diffaugment(images, fixed, policy=self.config.policies)
        if not isinstance(p, Tensor) and p <= 0:
            return images
        height, width = images.shape[-2:]
        pipe = AugmentPipe.named(self.config.pipe)
        random = AugmentDraws.draw(self.draws, purpose, numbers, (height, width), images.shape[1], pipe=pipe)
        return augment(images, random, p=p, pipe=pipe)
