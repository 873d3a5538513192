"""Sample grids of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from sgkit.model import Model
from sgkit.runtime.files import atomic_path
from sgkit.store.pictures import Pixels, arrange, to_pixels, write_png

__all__ = ["sample", "screen_grid", "write_grid"]


def screen_grid(image_size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of a grid of images of ``image_size`` (height, width) that fills about 1024x768 pixels."""
    height, width = image_size
    return min(max(1024 // width, 3), 16), min(max(768 // height, 2), 12)


@torch.no_grad()
def sample(model: Model, *, count: int, labels: torch.Tensor | None, batch: int) -> Iterator[Pixels]:
    """``count`` pictures of the averaged generator at seeds 0, 1, 2 ..., with its stored noise.

    Draws nothing from any random state that training uses. ``labels`` [count, label_dim] where the model takes them.
    """
    z = model.sample_z(range(count))
    for first in range(0, count, batch):
        part = slice(first, first + batch)
        yield from to_pixels(model.generator(z[part], None if labels is None else labels[part]))


def write_grid(pictures: Iterable[Pixels], shape: tuple[int, int], path: Path) -> Pixels:
    """The grid of ``pictures``, after writing it to ``path`` as PNG."""
    picture = arrange(pictures, shape)
    with atomic_path(path) as aside:
        write_png(picture, aside)
    return picture
