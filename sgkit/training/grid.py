"""Pictures of a run: images side by side, of a size that a screen holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from sgkit.model import Model
from sgkit.runtime.files import atomic_path

__all__ = ["grid", "grid_shape", "sample_images", "to_pixels", "write_png"]

WIDTH, HEIGHT = 1024, 768
"""About the pixels that a grid fills."""
MAX_COLUMNS = 16


def grid_shape(image_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a grid of images of ``image_size`` (height, width), at least 2 x 3."""
    height, width = image_size
    return min(max(HEIGHT // height, 2), MAX_COLUMNS * 3 // 4), min(max(WIDTH // width, 3), MAX_COLUMNS)


def to_pixels(images: Tensor) -> Tensor:
    """Pixels [N, C, H, W], uint8, of ``images`` in [-1, 1]."""
    return (images.float() * 127.5 + 128.0).clamp(0, 255).to(torch.uint8)


def grid(images: Tensor, *, columns: int) -> Tensor:
    """One picture [C, rows * H, columns * W] of ``images`` [N, C, H, W], row by row; N is a multiple of ``columns``."""
    count, channels, height, width = images.shape
    rows = count // columns
    tiles = images.reshape(rows, columns, channels, height, width)
    return tiles.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)


@torch.no_grad()
def sample_images(model: Model, *, labels: Tensor | None, count: int, batch: int) -> Tensor:
    """Pixels [count, C, H, W], uint8, of the averaged generator at seeds 0, 1, 2 ..., with the model's stored noise.

    Draws nothing from any random state that training uses. ``labels`` [count, label_dim] where the model takes them.
    """
    z = model.sample_z(range(count))
    parts: Iterable[Tensor] = (
        model.generator(z[first : first + batch], None if labels is None else labels[first : first + batch])
        for first in range(0, count, batch)
    )
    return torch.cat([to_pixels(part).cpu() for part in parts])


def write_png(pixels: Tensor, path: Path) -> None:
    """Write ``pixels`` [C, H, W] (1, 3 or 4 channels, uint8) to ``path``."""
    from PIL import Image

    array = pixels.permute(1, 2, 0).contiguous().numpy()
    with atomic_path(path) as aside:
        Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(aside, format="PNG")
