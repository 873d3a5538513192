"""Nearest training images of the packaged model, for its card: ``python docs/_pictures/neighbours.py STORE``.

``STORE`` is made by the command in the card; with a smaller count it holds the first of the training images. The same
is done for new paintings, which the model has not seen: generated images that are no nearer to the training images than
new paintings are not copies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

import sgkit
from sgkit.metrics import load_extractor
from sgkit.metrics.nearest import nearest
from sgkit.store import StoreDataset
from sgkit.store.landscapes.sample import HOURS, SEASONS, attributes, hour_name, landscape

OUT = Path(__file__).parents[1] / "images" / "neighbours.webp"
SEEDS, CANDIDATES = range(16), 30
CLASSES = [f"{season}-{hour}" for season in SEASONS for hour in HOURS if hour != "night"]
"""Without nights, in which everything is near everything: there is little to see."""
SHOWN = [
    "spring-day",
    "summer-dawn",
    "summer-day",
    "summer-dusk",
    "autumn-dawn",
    "autumn-day",
    "autumn-dusk",
    "winter-day",
]
NEW = 7
"""Seed of the painter for new paintings; the training images have 1."""


def main(path: str) -> None:
    """Compare, print the distances, and write the image."""
    store, model = StoreDataset(path), sgkit.load("landscapes")
    images = np.concatenate([model.generate(SEEDS, label=label).numpy() for label in CLASSES])
    by_day = (number for number in range(10_000) if hour_name(attributes(number, seed=NEW).hour) != "night")
    painted = np.stack([landscape(next(by_day), size=(128, 128), seed=NEW)[0] for _ in images])
    queries = torch.cat([thumbnails(images), thumbnails(painted)])
    distances, numbers = nearest(queries, training(store), count=CANDIDATES)
    for name, rows in (("generated", distances[: len(images)]), ("new paintings", distances[len(images) :])):
        least, middle = rows[:, 0].min(), rows[:, 0].median()
        print(f"{len(rows)} {name}: median {middle:.1f}, least {least:.1f} grey levels of {len(store):,}")  # noqa: T201
    of_class = [CLASSES.index(label) * len(SEEDS) for label in SHOWN]
    # of each class the image that looks most like a copy
    order = [first + int(distances[first : first + len(SEEDS), 0].argmin()) for first in of_class]
    by_pixels = np.stack([pixels(store, int(numbers[one, 0])) for one in order])
    by_content = np.stack([by_features(images[one], store, numbers[one]) for one in order])
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in (images[order], by_pixels, by_content)])
    Image.fromarray(sheet).save(OUT, quality=85, method=6)


def training(store: StoreDataset) -> Iterator[Tensor]:
    """Thumbnails of training images."""
    for first in range(0, len(store), 500):
        yield thumbnails(np.stack([pixels(store, number) for number in range(first, min(first + 500, len(store)))]))


def pixels(store: StoreDataset, number: int) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return store.pixels(number).transpose(1, 2, 0)


def thumbnails(images: np.ndarray) -> Tensor:
    """[N, 768]: 16x16 pixels, divided so that a distance is the root of the mean squared difference of grey levels."""
    planes = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).double()
    small = avg_pool2d(planes, planes.shape[-1] // 16).flatten(1)
    return small / small.shape[1] ** 0.5


def by_features(image: np.ndarray, store: StoreDataset, numbers: Tensor) -> np.ndarray:
    """The nearest of some training images by EfficientNet features."""
    candidates = np.stack([pixels(store, int(number)) for number in numbers])
    batch = torch.from_numpy(np.concatenate([image[None], candidates])).permute(0, 3, 1, 2)
    features = load_extractor("effnet")(batch)
    return candidates[int(nearest(features[:1], [features[1:]])[1])]


if __name__ == "__main__":
    main(sys.argv[1])
