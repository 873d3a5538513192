"""What of a picture is observed: the one operator of in-painting, super-resolution and colourisation.

The search compares what is observed of its picture with what is observed of the target, so it is free where nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.errors import UsageError

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601), as Pillow has it."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Images [N, C, H, W] -> what is seen of them, of the same shape."""

    mask: Tensor | None = None
    """[N or 1, 1, H, W]: 1 where the picture is seen, 0 where not; ``None``: everywhere."""
    downscale: int = 1
    """Only means of squares of this side are seen."""
    grayscale: bool = False
    """Only the brightness is seen."""

    def __call__(self, images: Tensor) -> Tensor:
        """What is seen of ``images``; grey, 0, where nothing is."""
        if self.grayscale and images.shape[1] == 3:
            luma = images.new_tensor(_LUMA)[:, None, None]
            images = (images * luma).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        if self.mask is not None:
            images = images * self.mask
        if self.downscale > 1:
            images = F.avg_pool2d(images, self.downscale).repeat_interleave(self.downscale, dim=2)
            images = images.repeat_interleave(self.downscale, dim=3)
        return images

    def of(self, rows: Tensor) -> Observation:
        """That of some of the images."""
        return self if self.mask is None or len(self.mask) == 1 else replace(self, mask=self.mask[rows])

    def coarser(self, factor: int) -> Observation:
        """The same through squares that are ``factor`` times as large."""
        return replace(self, downscale=self.downscale * factor)


def checked_mask(mask: Tensor, size: tuple[int, int], count: int) -> Tensor:
    """``mask`` [H, W], [1, H, W] or [N, 1, H, W] as [N or 1, 1, H, W].

    Raises:
        UsageError: it has another size, other values than 0 to 1, or shows nothing of an image.
    """
    given = list(mask.shape)
    mask = mask.float()
    if mask.ndim in (2, 3):
        mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if mask.ndim != 4 or mask.shape[1] != 1 or tuple(mask.shape[2:]) != size or len(mask) not in (1, count):
        raise UsageError(
            f"The mask has shape {given}; it must be [{size[0]}, {size[1]}], or [{count}, 1, {size[0]}, {size[1]}]."
        )
    if not bool(torch.isfinite(mask).all()) or mask.min() < 0 or mask.max() > 1:
        raise UsageError("The mask holds other numbers than 0 (ignored) to 1 (compared).")
    if not bool((mask.amax(dim=(1, 2, 3)) > 0).all()):
        raise UsageError(
            "The mask is black everywhere, so nothing would be compared. White is compared, black ignored."
        )
    return mask


def checked_downscale(downscale: int, size: tuple[int, int]) -> int:
    """``downscale``, if it divides both sides of a picture.

    Raises:
        UsageError: it does not.
    """
    if any(side % downscale for side in size):
        allowed = [n for n in range(1, min(size) + 1) if not any(side % n for side in size)]
        raise UsageError(
            f"downscale is {downscale}, which does not divide {size[1]}x{size[0]}. "
            f"Allowed: {', '.join(map(str, allowed))}."
        )
    return downscale
