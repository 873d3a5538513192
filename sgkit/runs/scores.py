"""D's scores of training, held-out and generated images: they tell whether D knows its images by heart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from sgkit.errors import SgkitError
from sgkit.store import StoreDataset
from sgkit.store.header import read_header
from sgkit.store.preparing.selection import parse_split
from sgkit.training.state import TrainState

COUNT, BATCH, GROUP = 128, 16, 4
"""Images of each kind; how many are scored at once; and their divisor in small stores, for minibatch deviations."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Mean logits."""

    real: float
    held_out: float
    fake: float


def other_part(store: Path) -> Path | None:
    """The store with the rest of the images, if the one at ``store`` is part of a split; ``None``: it is not."""
    settings = read_header(store).settings
    split, subset = str(settings.get("split") or ""), settings.get("subset")
    names = [name for name in parse_split(split) if name != subset] if split and subset else []
    folders = [store.parent / name for name in reversed(names)]
    return next((folder for folder in folders if (folder / "header.json").is_file()), None)


class HeldOut:
    """The images of the store at ``path``, which are not trained on, beside those that are."""

    def __init__(self, path: str, dataset: StoreDataset) -> None:
        self._dataset = dataset
        self._held_out: StoreDataset | None = None
        self.problem: str | None = None
        """Why they cannot be used."""
        try:
            found = StoreDataset(path)
            if dataset.label_dim == 0:
                found = found.unlabelled()
            if (found.image_size, found.image_channels, found.label_dim) != (
                dataset.image_size,
                dataset.image_channels,
                dataset.label_dim,
            ):
                self.problem = f"{path} has another size, channels or labels than the training images"
            else:
                self._held_out = found
        except SgkitError as error:
            self.problem = str(error)

    @torch.no_grad()
    def scores(self, state: TrainState) -> Scores | None:
        """D's mean logits; ``None`` without held-out images. No random state is used."""
        if self._held_out is None:
            return None
        real: list[torch.Tensor] = []
        held_out: list[torch.Tensor] = []
        fake: list[torch.Tensor] = []
        device = state.pl_mean.device
        generator = state.model.generator
        for images, labels in _some(self._dataset, device):
            real.append(self._logits(state, images, labels))
            z = state.model.sample_z(range(len(fake) * BATCH, len(fake) * BATCH + len(images)))
            fake.append(self._logits(state, generator(z, labels), labels))
        for images, labels in _some(self._held_out, device):
            held_out.append(self._logits(state, images, labels))
        means = [float(torch.cat(logits).mean()) for logits in (real, held_out, fake)]
        return Scores(real=means[0], held_out=means[1], fake=means[2])

    @staticmethod
    def _logits(state: TrainState, images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        logits: torch.Tensor = state.discriminator(images, labels)
        return logits.float()


def _some(dataset: StoreDataset, device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Batches of images in -1 to 1, spread over the store, and their labels. All are full, or there is one."""
    count = min(COUNT, len(dataset)) // BATCH * BATCH or min(BATCH, len(dataset)) // GROUP * GROUP or 1
    picks = [index * len(dataset) // count for index in range(count)]
    for first in range(0, count, BATCH):
        pairs = [dataset[index] for index in picks[first : first + BATCH]]
        images = torch.stack([image for image, _ in pairs]).to(device).float() / 127.5 - 1
        labels = torch.stack([label for _, label in pairs]).to(device) if dataset.label_dim else None
        yield images, labels
