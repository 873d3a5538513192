"""Measured images beside their nearest reference images, to see whether a model repeats its training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from sgkit.errors import InputError
from sgkit.measure.inputs import ImageSet
from sgkit.measure.statistics import StatisticsRunner
from sgkit.metrics.nearest import nearest
from sgkit.metrics.networks import to_rgb
from sgkit.render.pictures import arrange, write_pixels

ROWS, COLUMNS = 8, 5
"""Measured images, and reference images beside each."""


def write_neighbours(path: Path, images: ImageSet, data: ImageSet, runner: StatisticsRunner, network: str) -> None:
    """Write a PNG with a row for each of the first measured images: itself, and its nearest reference images.

    Nearest by Euclidean distance of the features of ``network``. All processes call it; the first one writes.

    Raises:
        InputError: the reference images are statistics, or there are none.
    """
    if data.nested or not data.num:
        raise InputError("Neighbours are looked for among images: give --data a store or files.")
    bank = runner.side(data, {(network, None): frozenset(["bank"])}, stage="data").found[network, None].bank()
    queries = [one for batch in images.batches(range(min(ROWS, images.num)), ROWS) for one in batch]
    features = torch.cat([runner.extractors[network](one[None]) for one in queries]).cpu()
    _, numbers = nearest(features, [torch.from_numpy(bank)], count=COLUMNS)
    if runner.context.is_main:
        size = (queries[0].shape[1], queries[0].shape[2])
        tiles = [
            _tile(one, size)
            for query, row in zip(queries, numbers, strict=True)
            for one in (query, *(_image(data, int(number)) for number in row))
        ]
        write_pixels(arrange(tiles, (1 + numbers.shape[1], len(queries)), gap=2), path)


def _image(data: ImageSet, number: int) -> Tensor:
    return next(iter(data.batches(range(number, number + 1), 1)))[0]


def _tile(image: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] of ``size``."""
    x = to_rgb(image[None])
    if image.shape[1:] != size:
        x = interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)
    pixels: NDArray[np.uint8] = x[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels
