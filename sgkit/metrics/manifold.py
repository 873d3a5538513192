"""Manifolds of features as balls around samples: precision and recall.

Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", 2019. A sample is on the
manifold of a set if it is in the ball around one of its samples, whose radius is the distance to the k-th nearest other
sample. Distances are float64, and equal samples are exactly 0 apart; NVIDIA's tools compute in float16, which makes
many distances equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgkit.errors import InputError

ROWS = 2048
"""Rows of a distance matrix that are in memory at once."""
ROUNDING = 1e-13
"""Squared distances below this fraction of the vectors' squared norms are 0: float32 features cannot be so close."""
Bank = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Both are between 0 and 1."""

    precision: float
    """Fraction of generated samples on the manifold of the data."""
    recall: float
    """Fraction of the data on the manifold of generated samples."""


def precision_recall(data: Bank, generated: Bank, *, neighbours: int = 3, half: bool = False) -> PrecisionRecall:
    """Precision and recall of ``generated`` [M, dim] against ``data`` [N, dim].

    A distance equal to the radius counts as inside, as in NVIDIA's tools and torch-fidelity (prdc counts only smaller
    ones, which differs only for repeated samples).

    Args:
        neighbours: the k of the radii.
        half: round features and distances to float16, as NVIDIA's tools do.

    Raises:
        InputError: a side has not more samples than ``neighbours``, or the dimensions differ.
    """
    if data.shape[1] != generated.shape[1]:
        raise InputError(f"Features of {generated.shape[1]} and {data.shape[1]} dimensions cannot be compared.")
    return PrecisionRecall(
        precision=float(is_inside(generated, data, radii(data, neighbours, half=half), half=half).mean()),
        recall=float(is_inside(data, generated, radii(generated, neighbours, half=half), half=half).mean()),
    )


def radii(samples: Bank, neighbours: int, *, half: bool = False) -> NDArray[np.float64]:
    """Distance of each sample [N, dim] to its ``neighbours``-th nearest other one.

    Raises:
        InputError: there are too few samples.
    """
    if len(samples) <= neighbours:
        raise InputError(
            f"Precision and recall by {neighbours} neighbours need at least {neighbours + 1} images on each side; "
            f"given: {len(samples)}."
        )
    found = np.empty(len(samples))
    for start, rows in distances(samples, samples, half=half):
        # the nearest is the sample itself, at a distance of 0
        found[start : start + len(rows)] = torch.kthvalue(rows, neighbours + 1, dim=1).values.numpy()
    return found


def is_inside(samples: Bank, centres: Bank, radius: NDArray[np.float64], *, half: bool = False) -> NDArray[np.bool_]:
    """For each of ``samples`` [N, dim] whether it is in a ball around one of ``centres`` [M, dim]."""
    found = np.empty(len(samples), dtype=bool)
    limits = torch.from_numpy(radius)
    for start, rows in distances(samples, centres, half=half):
        found[start : start + len(rows)] = (rows <= limits).any(dim=1).numpy()
    return found


def distances(first: Bank, second: Bank, *, half: bool = False) -> Iterator[tuple[int, Tensor]]:
    """Euclidean distances of all pairs, float64, as blocks of rows: number of the first row, and [rows, M]."""
    one, other = ((torch.from_numpy(side).half() if half else torch.from_numpy(side)) for side in (first, second))
    other = other.double()
    norms = other.square().sum(dim=1)
    for start in range(0, len(one), ROWS):
        rows = one[start : start + ROWS].double()
        scale = rows.square().sum(dim=1)[:, None] + norms
        squared = torch.addmm(scale, rows, other.T, alpha=-2)
        found = torch.where(squared <= scale * ROUNDING, 0.0, squared).sqrt()  # products round; equal samples are equal
        yield start, found.half().double() if half else found
