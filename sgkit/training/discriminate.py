"""What the discriminator is shown, and what it says: blur, augmentation, the order that its groups need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.model import Discriminator
from sgkit.ops import filter2d
from sgkit.runtime.precision import ResolvedPrecision, autocast
from sgkit.training.augment import Augmentation
from sgkit.training.losses import class_loss


@dataclass(frozen=True)
class Verdict:
    """D's outputs on some images, in the order of :func:`group_order`."""

    logits: Tensor
    """[N, 1]."""
    class_loss: Tensor
    """Cross entropy of the classes, summed over the images; 0 where D has no class outputs."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The discriminator behind all that images go through on their way to it."""

    discriminator: Discriminator
    compiled: Callable[..., Tensor] | None
    """The discriminator, compiled; only where first derivatives suffice."""
    precision: ResolvedPrecision
    device: torch.device
    augmentation: Augmentation
    augment_p: float
    blur_sigma: float

    def __call__(
        self, images: Tensor, labels: Tensor | None, *, purpose: str, numbers: Sequence[int], exact: bool = False
    ) -> Verdict:
        """The verdict on ``images`` [N, C, H, W]; consecutive ones share a minibatch deviation.

        ``purpose`` names the use: each augments on its own. ``exact``: in float32, to be differentiated twice.
        """
        seen = self.augmentation(blurred(images, self.blur_sigma), purpose, numbers, p=self.augment_p)
        config = self.discriminator.config
        order = group_order(len(seen), config.discriminator.mbstd_group_size).to(seen.device)
        seen, labels = seen[order], None if labels is None else labels[order]
        with autocast("fp32" if exact else self.precision, self.device):
            if labels is not None and config.discriminator.label_mode == "auxiliary":
                outputs = self.discriminator.outputs(seen)
                return Verdict(outputs[:, :1], class_loss(outputs[:, 1:], labels).sum())
            network = self.discriminator if self.compiled is None or exact else self.compiled
            logits = network(seen, labels)
        return Verdict(logits, logits.new_zeros([], dtype=torch.float32))


def blurred(images: Tensor, sigma: float) -> Tensor:
    """``images`` [N, C, H, W] after the filter ``2 ** -(x / sigma) ** 2``, cut off at 3 sigma (StyleGAN3)."""
    reach = int(sigma * 3)
    if reach == 0:
        return images
    taps = torch.arange(-reach, reach + 1, device=images.device).div(sigma).square().neg().exp2()
    return filter2d(images, taps / taps.sum())


def group_order(count: int, group_size: int | None) -> Tensor:
    """An order of ``count`` images in which groups of consecutive ones share a minibatch standard deviation.

    The discriminator groups images j, j + N/G, j + 2N/G ...; reordered, no group reaches over the border of a shard
    that holds whole groups, and all splits of a batch agree.
    """
    group = count if group_size is None else min(group_size, count)
    if count % group:
        return torch.arange(count)
    return torch.arange(count).reshape(-1, group).t().reshape(-1)
