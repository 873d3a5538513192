"""The way of a search as an animation: the target, and beside it the image at steps on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from sgkit.render.pictures import Pixels, to_pixels
from sgkit.render.video import write_animation

MOST_FRAMES = 60
"""Frames of an animation: searches of more steps leave some out."""
MOST_SIDE = 256
"""Frames of larger images are smaller, so that those of a batch fit into memory."""
FPS = 12.0


class Film:
    """Collects frames while images are searched together."""

    def __init__(self, targets: Tensor, steps: int) -> None:
        self._every = max(-(-steps // MOST_FRAMES), 1)
        self._targets = to_pixels(_small(targets))
        self._frames: list[list[Pixels]] = [[] for _ in targets]

    def watch(self, step: int, rows: Tensor, images: Tensor) -> None:
        """Take the images [n, C, H, W] of a step; ``rows`` [n] says whose they are."""
        if step % self._every == 0:
            for row, pixels in zip(rows.tolist(), to_pixels(_small(images)), strict=True):
                self._frames[row].append(pixels)

    def write(self, row: int, last: Tensor, path: Path) -> None:
        """Write the animation of one image, which ends with ``last`` [1, C, H, W].

        Raises:
            OSError: the file cannot be written.
        """
        frames = [*self._frames[row], *[to_pixels(_small(last))[0]] * round(FPS)]
        sides = (np.concatenate([self._targets[row], frame], axis=1) for frame in frames)
        write_animation(sides, path, count=len(frames), fps=FPS)


def _small(images: Tensor) -> Tensor:
    factor = max(max(images.shape[2:]) // MOST_SIDE, 1)
    return F.avg_pool2d(images.detach().float(), factor) if factor > 1 else images
