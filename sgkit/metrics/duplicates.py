"""Samples that are nearly the same: whether a generator repeats itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sgkit.errors import InputError
from sgkit.metrics.manifold import distances

Bank = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Result of :func:`duplicates`."""

    share: float
    """Fraction of samples with another sample nearer than the limit."""
    limit: float
    """Distance of features."""
    pairs: tuple[tuple[int, int, float], ...]
    """The nearest pairs: positions of both samples, and their distance."""


def duplicates(samples: Bank, data: Bank, *, quantile: float = 0.01, num_pairs: int = 10, seed: int = 0) -> Duplicates:
    """How many of ``samples`` [N, dim] are as near to another one as only few images of ``data`` [M, dim] are.

    The limit is the ``quantile`` of distances of data to the nearest other image of the data, of equally many images
    on both sides, drawn by ``seed``, since neighbours are nearer among more images. A generator that varies as the
    data do has a share of about ``quantile``.

    Raises:
        InputError: there are fewer than 3 images on a side, or the dimensions differ.
    """
    if samples.shape[1] != data.shape[1]:
        raise InputError(f"Features of {samples.shape[1]} and {data.shape[1]} dimensions cannot be compared.")
    num = min(len(samples), len(data))
    if num < 3:
        raise InputError(f"Duplicates are looked for among 3 or more images on each side; given: {num}.")
    draw = np.random.RandomState(seed)
    chosen, real = (np.sort(draw.choice(len(side), num, replace=False)) for side in (samples, data))
    limit = float(np.quantile(_nearest(data[real])[0], quantile))
    near, numbers = _nearest(samples[chosen])
    order = np.argsort(near, kind="stable")
    pairs: dict[tuple[int, int], float] = {}
    for one in order[: 2 * num_pairs]:  # most pairs are found from both sides
        first, second = sorted((int(chosen[one]), int(chosen[numbers[one]])))
        pairs.setdefault((first, second), float(near[one]))
    found = tuple((first, second, at) for (first, second), at in list(pairs.items())[:num_pairs])
    return Duplicates(share=float((near <= limit).mean()), limit=limit, pairs=found)


def _nearest(bank: Bank) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance of each to the nearest other one, and which that is."""
    near, numbers = np.empty(len(bank)), np.empty(len(bank), np.int64)
    for start, rows in distances(bank, bank):
        own = torch.arange(len(rows))
        rows[own, own + start] = torch.inf
        found = rows.min(dim=1)
        near[start : start + len(rows)] = found.values.numpy()
        numbers[start : start + len(rows)] = found.indices.numpy()
    return near, numbers
