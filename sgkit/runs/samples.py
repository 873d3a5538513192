"""Sample grids of a run, and how unlike each other samples are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sgkit.model import Model
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels, arrange, write_png
from sgkit.render.render import render
from sgkit.render.scene import MODEL, Alone, Scene, Seed, Sheet, Subject
from sgkit.runtime.files import atomic_path
from sgkit.store import StoreDataset
from sgkit.training.health import distinctness, diversity


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
    distinct: float | None = None
    """How distinct they are, as a fraction of training images; ``None``: those repeat each other."""


class Grids:
    """The grids of one run, all of one shape; samples are always of the same seeds, with the labels of real images."""

    def __init__(self, dataset: StoreDataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self.shape = screen_grid(dataset.image_size)
        self._labels: torch.Tensor | None = None
        self._reals_diversity, self._reals_distinct = 0.0, 0.0

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
        self._reals_diversity, self._reals_distinct = diversity(np.stack(pictures)), distinctness(np.stack(pictures))
        with atomic_path(path) as temporary:
            write_png(arrange(pictures, self.shape), temporary)

    def write_fakes(self, model: Model, path: Path, *, batch: int) -> Grid:
        """Write a grid of images of ``model``, ``batch`` at a time; the file carries their scenes."""
        inputs = Inputs(model)
        scenes = sample_scenes(inputs, count=self.count, labels=self._labels)
        drawn = list(render(scenes, inputs, batch=batch))
        pictures = [one.pixels for one in drawn]
        ratio = diversity(np.stack(pictures)) / self._reals_diversity if self._reals_diversity > 0 else 1.0
        distinct = distinctness(np.stack(pictures)) / self._reals_distinct if self._reals_distinct > 1 else None
        picture = arrange(pictures, self.shape)
        columns, rows = self.shape
        write_picture(picture, path, Sheet(scenes=tuple(one.scene for one in drawn), columns=columns, rows=rows))
        return Grid(picture=picture, diversity=ratio, distinct=distinct)


def sample_scenes(inputs: Inputs, *, count: int, labels: torch.Tensor | None) -> list[Scene]:
    """Scenes of the seeds 0, 1, 2 ... with stored noise; ``labels`` [count, label_dim] where the model takes them.

    Drawing them takes nothing from any random state that training uses.
    """
    given = [None] * count if labels is None else [tuple(label) for label in labels.tolist()]
    reference = inputs.reference(inputs.only)
    return [
        Scene(
            models={MODEL: reference},
            subjects={f"seed{seed:04d}": Subject(source=Seed(seed=seed), label=label)},
            arrangement=Alone(of=f"seed{seed:04d}"),
        )
        for seed, label in enumerate(given)
    ]
