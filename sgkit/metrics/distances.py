"""Distances between statistics of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgkit.errors import InputError
from sgkit.metrics.statistics import Floats, Gaussian

SUBSET_SIZE = 1000
"""Images in a subset of a kernel distance."""


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """The squared Fréchet distance of two Gaussians, 0 or more: ``|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))``.

    Heusel et al., 2017, equation 6 (Dowson and Landau, 1982). The trace of the root is found as the sum of the singular
    values of ``S1^(1/2) S2^(1/2)``, which needs no root of a product that is not symmetric, stays real, and is as good
    for singular covariances: directions without variance are left out instead of adding the root of a rounding error.

    Raises:
        InputError: the features have different dimensions.
    """
    if first.mean.shape != second.mean.shape:
        raise InputError(f"Features of {first.mean.size} and {second.mean.size} dimensions cannot be compared.")
    between = first.mean - second.mean
    root = np.linalg.svd(_half(first.covariance).T @ _half(second.covariance), compute_uv=False).sum()
    spread = np.trace(first.covariance) + np.trace(second.covariance) - 2 * root
    return max(float(between @ between + spread), 0.0)


def _half(covariance: Floats) -> Floats:
    """A [dim, rank] with ``A A^T`` the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    half: Floats = vectors[:, kept] * np.sqrt(values[kept])
    return half


@dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """Result of :func:`kernel_distance`."""

    mean: float
    """Over the subsets; may be a little below 0, as the estimate is unbiased."""
    std: float | None
    """Of the subsets' values (divided by their number); ``None`` where the one subset holds every image."""
    num_subsets: int
    subset_size: int


def kernel_distance(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    *,
    num_subsets: int = 100,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """The squared maximum mean discrepancy of features [N, dim] and [M, dim] with the cubic kernel, unbiased.

    Bińkowski et al., "Demystifying MMD GANs", 2018. The mean over ``num_subsets`` pairs of random subsets of
    ``subset_size`` images (fewer where there are fewer), each drawn without repeats; ``seed`` fixes the draws, which
    are those of torch-fidelity (its default seed is 2020). Where a subset would hold every image of both sides, it is
    taken once.

    Raises:
        InputError: the features have different dimensions, or one side has fewer than two images.
    """
    if first.shape[1] != second.shape[1]:
        raise InputError(f"Features of {first.shape[1]} and {second.shape[1]} dimensions cannot be compared.")
    size = min(subset_size, len(first), len(second))
    if size < 2:
        raise InputError(
            f"A kernel distance needs at least 2 images on each side; given {len(first)} and {len(second)}."
        )
    if size == len(first) == len(second):
        num_subsets = 1
    draw = np.random.RandomState(seed)
    values = []
    for _ in range(num_subsets):
        x = first[draw.choice(len(first), size, replace=False)].astype(np.float64)
        y = second[draw.choice(len(second), size, replace=False)].astype(np.float64)
        values.append(_unbiased_discrepancy(x, y))
    std = float(np.std(values)) if num_subsets > 1 else None
    return KernelDistance(mean=float(np.mean(values)), std=std, num_subsets=num_subsets, subset_size=size)


def polynomial_kernel(x: Floats, y: Floats) -> Floats:
    """k(x, y) = (x . y / dim + 1)^3 for all pairs: [N, M]."""
    dots: Floats = x @ y.T / x.shape[1] + 1
    return dots**3


def _unbiased_discrepancy(x: Floats, y: Floats) -> float:
    """Gretton et al., "A kernel two-sample test", 2012, equation 3, for as many x as y."""
    num = len(x)
    within = 0.0
    for samples in (x, y):
        kernel = polynomial_kernel(samples, samples)
        within += (kernel.sum() - np.trace(kernel)) / (num * (num - 1))
    return float(within - 2 * polynomial_kernel(x, y).mean())
