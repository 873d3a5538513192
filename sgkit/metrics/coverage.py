"""Distances between sets of features that look at samples: density and coverage, and CMMD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgkit.errors import InputError
from sgkit.metrics.statistics import Floats

Features = NDArray[np.float32]
NEAREST = 5
"""Neighbours that make the radius of a real image's neighbourhood: Naeem et al.'s choice."""
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0
ROWS = 2048
"""Rows of a matrix of distances that are held at once."""


@dataclass(frozen=True, kw_only=True)
class DensityCoverage:
    """Result of :func:`density_coverage`."""

    density: float
    """Mean number of real neighbourhoods that a measured image is in, over k: about 1 for equal distributions."""
    coverage: float
    """Share of real images with a measured image in their neighbourhood: 0 to 1."""


def density_coverage(measured: Features, data: Features, *, k: int = NEAREST) -> DensityCoverage:
    """Density and coverage of ``measured`` [N, D] with regard to ``data`` [M, D].

    Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020, equations 3 and 4: the
    neighbourhood of a real image reaches to its k-th nearest real neighbour, which is not in it (``<``).

    Raises:
        InputError: dimensions differ, or there are not more than k real images, or no measured ones.
    """
    if measured.shape[1] != data.shape[1]:
        raise InputError(f"Features of {measured.shape[1]} and {data.shape[1]} dimensions cannot be compared.")
    if len(data) <= k or not len(measured):
        raise InputError(
            f"Density and coverage need more than {k} reference images and at least one measured image; given "
            f"{len(data)} and {len(measured)}. Use more images."
        )
    data, measured = np.asarray(data, np.float64), np.asarray(measured, np.float64)  # once, not for every block
    inside, covered = 0, 0
    for start in range(0, len(data), ROWS):
        rows = data[start : start + ROWS]
        own = squared_distances(rows, data)
        own[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        radii = np.partition(own, k - 1, axis=1)[:, k - 1]
        others = squared_distances(rows, measured)
        inside += int((others < radii[:, None]).sum())
        covered += int((others.min(axis=1) < radii).sum())
    return DensityCoverage(density=inside / (k * len(measured)), coverage=covered / len(data))


def squared_distances(x: NDArray[np.floating], y: NDArray[np.floating]) -> Floats:
    """Squared Euclidean distances [N, M] of ``x`` [N, D] and ``y`` [M, D], float64, 0 or more."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    found: Floats = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(found, 0, out=found)


def cmmd(measured: Features, data: Features, *, sigma: float = CMMD_SIGMA) -> float:
    """The squared maximum mean discrepancy with the Gaussian kernel on normalised features, times 1000.

    Jayasumana et al., "Rethinking FID", 2023, on CLIP features; here on any. Features are brought to length 1.
    Every pair counts, an image with itself included, as in the authors' code: 0 or more, with a bias of order 1/N.

    Raises:
        InputError: dimensions differ, a side has no images, or features of an image are all 0.
    """
    if measured.shape[1] != data.shape[1] or not len(measured) or not len(data):
        shapes = f"{list(measured.shape)} and {list(data.shape)}"
        raise InputError(
            f"CMMD needs features of the same dimension on both sides, of at least 1 image; given {shapes}."
        )
    x, y = _unit(measured), _unit(data)
    return CMMD_SCALE * (_kernel_mean(x, x, sigma) + _kernel_mean(y, y, sigma) - 2 * _kernel_mean(x, y, sigma))


def _unit(features: Features) -> Floats:
    values = features.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise InputError(
            "Features of an image are all 0, so they have no direction; CMMD cannot be computed with them."
        )
    unit: Floats = values / lengths
    return unit


def _kernel_mean(x: Floats, y: Floats, sigma: float) -> float:
    total = 0.0
    for start in range(0, len(x), ROWS):
        total += float(np.exp(-squared_distances(x[start : start + ROWS], y) / (2 * sigma**2)).sum())
    return total / (len(x) * len(y))
