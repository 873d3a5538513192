"""DiffAugment (Zhao et al. 2020): a few transforms of every image, without control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgkit.training.rng import Rng

COLUMNS = ("brightness", "saturation", "contrast", "translation.x", "translation.y", "cutout.x", "cutout.y")
TRANSLATION = 0.125
CUTOUT = 0.5


@dataclass(frozen=True, kw_only=True)
class DiffAugmentRandom:
    """Random numbers of N images for one pass."""

    uniforms: Tensor
    """[N, len(COLUMNS)] in [0, 1)."""

    @classmethod
    def sample(cls, rng: Rng, purpose: str, numbers: Sequence[int]) -> DiffAugmentRandom:
        """The numbers of the run's images ``numbers``: a function of seed, ``purpose`` and each image's number."""
        return cls(uniforms=rng.uniform(f"{purpose}.diffaugment", numbers, [len(COLUMNS)]))

    def uniform(self, column: str) -> Tensor:
        """Values [N] in [0, 1)."""
        return self.uniforms[:, COLUMNS.index(column)]


def diffaugment(images: Tensor, random: DiffAugmentRandom, *, policy: Sequence[str]) -> Tensor:
    """``images`` [N, C, H, W] in [-1, 1] after the transforms of ``policy``, of ``color``, ``translation``, ``cutout``.

    Computed in float32 (float64 stays) and returned in the type given. Colour leaves the fourth channel, alpha, alone;
    translation and cutout take it along.
    """
    transforms = {"color": _recolor, "translation": _translate, "cutout": _cut_out}
    with torch.autocast(images.device.type, enabled=False):
        x = images if images.dtype == torch.float64 else images.float()
        for part in policy:
            x = transforms[part](x, random)
    return x.to(images.dtype)


def _recolor(images: Tensor, random: DiffAugmentRandom) -> Tensor:
    brightness, saturation, contrast = (
        random.uniform(column).to(images.dtype)[:, None, None, None]
        for column in ("brightness", "saturation", "contrast")
    )
    color, alpha = images[:, :3], images[:, 3:]
    color = color + brightness - 0.5
    grey = color.mean(dim=1, keepdim=True)
    color = grey + (color - grey) * 2.0 * saturation
    mean = color.mean(dim=(1, 2, 3), keepdim=True)
    color = mean + (color - mean) * (contrast + 0.5)
    return torch.cat([color, alpha], dim=1)


def _translate(images: Tensor, random: DiffAugmentRandom) -> Tensor:
    """Shift by whole pixels, up to an eighth of each side; what comes in is 0."""
    height, width = images.shape[-2:]
    rows = _shifted(random.uniform("translation.y"), height)
    columns = _shifted(random.uniform("translation.x"), width)
    inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[
        batch, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]
    ]
    return torch.where(inside, moved.permute(0, 3, 1, 2), torch.zeros((), dtype=images.dtype, device=images.device))


def _shifted(uniform: Tensor, side: int) -> Tensor:
    """Which place [N, side] each place of the moved axis shows."""
    most = int(side * TRANSLATION + 0.5)
    shift = (uniform * (2 * most + 1)).long() - most
    return torch.arange(side, device=uniform.device) + shift[:, None]


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


def _cut_out(images: Tensor, random: DiffAugmentRandom) -> Tensor:
    """A rectangle of half the sides is set to 0; its middle is anywhere, so it may reach over the border."""
    height, width = images.shape[-2:]
    rows = _hidden(random.uniform("cutout.y"), height)[:, None, :, None]
    columns = _hidden(random.uniform("cutout.x"), width)[:, None, None, :]
    return images.masked_fill(rows & columns, 0.0)


def _hidden(uniform: Tensor, side: int) -> Tensor:
    """Places [N, side] of the axis that the rectangle covers."""
    size = int(side * CUTOUT + 0.5)
    middle = (uniform * (side + 1 - size % 2)).long()
    first = (middle - size // 2)[:, None]
    places = torch.arange(side, device=uniform.device)
    return (places >= first) & (places < first + size)
