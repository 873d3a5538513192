"""Sample grids of a run, and how unlike each other samples are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sgkit.model import Model
from sgkit.render.pictures import Pixels, arrange, to_pixels, write_png
from sgkit.runtime.files import atomic_path
from sgkit.store import StoreDataset
from sgkit.training.health import diversity


def screen_grid(image_size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of a grid of images of ``image_size`` (height, width) that fills about 1024x768 pixels."""
    height, width = image_size
    return min(max(1024 // width, 3), 16), min(max(768 // height, 2), 12)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A sample grid that was written."""

    picture: Pixels
    diversity: float
    """Of its images, as a fraction of that of as many training images."""


class Grids:
    """The grids of one run, all of one shape; samples are always of the same seeds, with the labels of real images."""

    def __init__(self, dataset: StoreDataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self.shape = screen_grid(dataset.image_size)
        self._labels: torch.Tensor | None = None
        self._reals_diversity = 0.0

    @property
    def count(self) -> int:
        """Images in a grid."""
        return self.shape[0] * self.shape[1]

    def write_reals(self, path: Path) -> None:
        """Write a grid of training images spread over the store; needed once before :meth:`write_fakes`."""
        total = len(self.dataset)
        picks = [self.dataset[index * total // self.count] for index in range(self.count)]
        if self.dataset.label_dim > 0:
            self._labels = torch.stack([label for _, label in picks]).to(self.device)
        pictures = [image.permute(1, 2, 0).numpy() for image, _ in picks]
        self._reals_diversity = diversity(np.stack(pictures))
        write_grid(pictures, self.shape, path)

    def write_fakes(self, model: Model, path: Path, *, batch: int) -> Grid:
        """Write a grid of what ``model`` draws, ``batch`` images at a time."""
        pictures = list(sample(model, count=self.count, labels=self._labels, batch=batch))
        ratio = diversity(np.stack(pictures)) / self._reals_diversity if self._reals_diversity > 0 else 1.0
        return Grid(picture=write_grid(pictures, self.shape, path), diversity=ratio)


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
