"""The random numbers that one pass of the pipeline needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sgkit.training.augment.pipe import AugmentPipe
from sgkit.training.rng import Rng

# A column's place is part of a run's randomness: append, never reorder. Columns of a transform's own name decide
# whether it happens.
UNIFORMS = (
    *("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "rotate_after", "xfrac"),
    *("brightness", "contrast", "lumaflip", "hue", "saturation"),
    *("filter0", "filter1", "filter2", "filter3", "noise", "cutout"),
    *("xflip.side", "rotate90.turns", "xint.x", "xint.y", "rotate.angle", "rotate_after.angle"),
    *("lumaflip.side", "hue.angle", "cutout.x", "cutout.y"),
)
NORMALS = (
    *("scale", "aniso", "xfrac.x", "xfrac.y", "brightness", "contrast", "saturation"),
    *("filter0", "filter1", "filter2", "filter3", "noise"),
)


@dataclass(frozen=True, kw_only=True)
class AugmentRandom:
    """Random numbers of N images for one pass; every transform has its own, whether it is in the pipeline or not.

    They stay on the CPU, and so does what follows from them alone, such as matrices: which images change, and how far,
    is then known without waiting for a GPU.
    """

    uniforms: Tensor
    """[N, len(UNIFORMS)] in [0, 1)."""
    normals: Tensor
    """Standard normal [N, len(NORMALS)]."""
    pixels: Tensor | None = None
    """Standard normal [N, C, H, W], the noise; ``None`` where the pipeline has none."""

    @classmethod
    def sample(
        cls,
        rng: Rng,
        purpose: str,
        numbers: Sequence[int],
        image_size: tuple[int, int],
        channels: int,
        *,
        pipe: AugmentPipe | None = None,
    ) -> AugmentRandom:
        """The numbers of the run's images ``numbers``: a function of seed, ``purpose`` and each image's number.

        Noise over pixels is left out where ``pipe`` adds none.
        """
        noisy = pipe is None or pipe.noise > 0
        small = replace(rng, device=torch.device("cpu"))
        return cls(
            uniforms=small.uniform(f"{purpose}.uniform", numbers, [len(UNIFORMS)]),
            normals=small.normal(f"{purpose}.normal", numbers, [len(NORMALS)]),
            pixels=rng.pixel_normal(f"{purpose}.pixels", numbers, [channels, *image_size]) if noisy else None,
        )

    def happens(self, transform: str, probability: Tensor | float) -> Tensor:
        """Which images [N] get ``transform``; none at probability 0, all at 1 and above."""
        return self.uniform(transform) < probability

    def uniform(self, column: str) -> Tensor:
        """Values [N] in [0, 1)."""
        return self.uniforms[:, UNIFORMS.index(column)]

    def normal(self, column: str) -> Tensor:
        """Standard normal values [N]."""
        return self.normals[:, NORMALS.index(column)]


def where(mask: Tensor, values: Tensor, neutral: float) -> Tensor:
    """``values`` [N] where ``mask`` [N], elsewhere ``neutral``."""
    return torch.where(mask, values, torch.full_like(values, neutral))
