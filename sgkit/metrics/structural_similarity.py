"""Multi-scale structural similarity: how alike pairs of generated images are.

Wang, Simoncelli and Bovik, 2003. Odena et al., 2017, and Karras et al., "Progressive growing of GANs", 2018, average it
over pairs of generated images: values well above those of pairs of real images are a sign of mode collapse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sgkit.errors import InputError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, the finest first: Wang et al., section 3.2."""
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SMALLEST = 2 ** (len(WEIGHTS) - 1)


def ms_ssim(first: Tensor, second: Tensor, *, border: Literal["valid", "reflect"] = "valid") -> Tensor:
    """float64 [N], at most 1, of images [N, C, H, W] in [0, 255].

    A scale smaller than the window of 11 pixels gets a window of its own size, of proportional width, so small images
    have a value too; from 176 pixels on it is the usual one.

    Args:
        first: one image of each pair.
        second: the other one.
        border: ``valid``: windows are within the image, as in the paper and in the code of ProGAN. ``reflect``: those
            of the smallest scale go beyond the border, as torchmetrics (1.9) has it.

    Raises:
        InputError: shapes differ, or a side is shorter than 16 pixels.
    """
    if first.shape != second.shape or min(first.shape[2:]) < SMALLEST:
        sizes = " and ".join("x".join(map(str, images.shape[1:])) for images in (first, second))
        raise InputError(
            f"MS-SSIM compares images of one size, of at least {SMALLEST} pixels; given {sizes} (CxHxW). Make a store "
            "of one size: sgkit prepare IMAGES --out STORE --size 64"
        )
    x, y = first.double(), second.double()
    result = torch.ones(len(x), dtype=torch.float64, device=x.device)
    for scale, weight in enumerate(WEIGHTS):
        last = scale == len(WEIGHTS) - 1
        if last and border == "reflect":
            x, y = (F.pad(images, (WINDOW // 2,) * 4, mode="reflect") for images in (x, y))
        similarity, structure = _ssim(x, y)
        result = result * (similarity if last else structure).clamp(min=0) ** weight
        if not last:
            x, y = _halve(x), _halve(y)
    return result


def _ssim(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means [N] over each image of the similarity, and of its part that leaves out brightness."""
    size = min(WINDOW, *x.shape[2:])
    mean_x, mean_y = _smooth(x, size), _smooth(y, size)
    var_x = _smooth(x * x, size) - mean_x**2
    var_y = _smooth(y * y, size) - mean_y**2
    covariance = _smooth(x * y, size) - mean_x * mean_y
    structure = (2 * covariance + C2) / (var_x + var_y + C2)
    brightness = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (structure * brightness).mean(dim=(1, 2, 3)), structure.mean(dim=(1, 2, 3))


def _smooth(x: Tensor, size: int) -> Tensor:
    """``x`` filtered by a Gaussian window, where the window is within the image."""
    places = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    taps = torch.exp(-(places**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    taps, channels = taps / taps.sum(), x.shape[1]
    x = F.conv2d(x, taps.reshape(1, 1, 1, size).expand(channels, 1, 1, size), groups=channels)
    return F.conv2d(x, taps.reshape(1, 1, size, 1).expand(channels, 1, size, 1), groups=channels)


def _halve(x: Tensor) -> Tensor:
    """Means of 2x2 pixels; an odd last row or column is repeated."""
    height, width = x.shape[2:]
    return F.avg_pool2d(F.pad(x, (0, width % 2, 0, height % 2), mode="replicate"), 2)


class PairSimilarity:
    """MS-SSIM of the pairs (0, 1), (2, 3) ... of images, gathered batch by batch.

    What is merged must begin at an even position.
    """

    def __init__(self) -> None:
        self._values: list[NDArray[np.float64]] = []
        self._single = 0  # images of a restored state that have no partner
        self._left: Tensor | None = None

    def update(self, images: Tensor) -> None:
        """Add ``images`` uint8 [N, C, H, W]; one without a partner waits for the next batch."""
        if self._left is not None:
            if self._left.shape[1:] != images.shape[1:]:
                ms_ssim(self._left[:1], images[:1])  # which says what is wrong
            images = torch.cat([self._left, images])
        whole = len(images) // 2 * 2
        self._left = images[whole:] if len(images) > whole else None
        if whole:
            self._values.append(ms_ssim(images[0:whole:2], images[1:whole:2]).cpu().numpy())

    @property
    def num(self) -> int:
        """Number of images."""
        return 2 * sum(map(len, self._values)) + self._single + (0 if self._left is None else len(self._left))

    def merge(self, other: PairSimilarity) -> None:
        """Add the pairs of ``other``, after those here."""
        self._values += other._values
        self._left = other._left if self._left is None else self._left

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """The values as plain arrays; :meth:`restore` reads them."""
        return {"pairs": self.result(), "num": np.array(self.num, np.float64)}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from :meth:`to_arrays`.

        Raises:
            KeyError, ValueError: the arrays are others.
        """
        if arrays["pairs"].ndim != 1:
            raise ValueError(f"pairs {arrays['pairs'].shape}")
        self._values, self._left = [arrays["pairs"].astype(np.float64)], None
        self._single = int(arrays["num"]) - 2 * len(arrays["pairs"])

    def result(self) -> NDArray[np.float64]:
        """[pairs]"""
        return np.concatenate([np.empty(0), *self._values])
