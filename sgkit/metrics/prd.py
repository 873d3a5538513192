"""The curve of precision and recall of distributions, from clusters of features.

Sajjadi et al., "Assessing generative models via precision and recall", 2018. Both sets are clustered together; the
shares p (data) and q (generated) of the clusters give precision ``sum min(m p, q)`` and recall ``sum min(p, q / m)``
for every slope m.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from sgkit.errors import InputError

NUM_ANGLES = 1001


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision and recall for rising slopes."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def f_score(self, beta: float) -> float:
        """The largest F score on the curve; ``beta`` above 1 weighs recall more."""
        product, square = self.precision * self.recall, beta**2
        total = np.maximum(square * self.precision + self.recall, 1e-12)
        return float(((1 + square) * product / total).max())


def curve_of_shares(
    data: NDArray[np.float64], generated: NDArray[np.float64], *, num_angles: int = NUM_ANGLES
) -> Curve:
    """The curve of two distributions over the same clusters."""
    slopes = np.tan(np.linspace(1e-6, np.pi / 2 - 1e-6, num_angles))[:, None]
    precision = np.minimum(slopes * data, generated).sum(axis=1)
    return Curve(precision=precision.clip(0, 1), recall=(precision / slopes[:, 0]).clip(0, 1))


def precision_recall_curve(
    data: NDArray[np.float32],
    generated: NDArray[np.float32],
    *,
    num_clusters: int = 20,
    num_runs: int = 10,
    seed: int = 0,
) -> Curve:
    """The curve of features [N, dim] and [M, dim], the mean over ``num_runs`` clusterings.

    Of the larger set as many as the smaller one has are used, drawn by ``seed``: unequal numbers would move clusters.

    Raises:
        InputError: there are fewer images than clusters, or the dimensions differ.
    """
    if data.shape[1] != generated.shape[1]:
        raise InputError(f"Features of {generated.shape[1]} and {data.shape[1]} dimensions cannot be compared.")
    num = min(len(data), len(generated))
    if num < num_clusters:
        raise InputError(f"A precision-recall curve needs {num_clusters} images on each side; given: {num}.")
    draw = np.random.RandomState(seed)
    sides = [side[np.sort(draw.choice(len(side), num, replace=False))] for side in (data, generated)]
    both = np.concatenate(sides).astype(np.float64)
    curves = []
    for run in range(num_runs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty cluster has no share in either set
            _, labels = kmeans2(both, num_clusters, minit="++", seed=seed + run)
        shares = [np.bincount(part, minlength=num_clusters) / num for part in (labels[:num], labels[num:])]
        curves.append(curve_of_shares(shares[0], shares[1]))
    return Curve(
        precision=np.mean([one.precision for one in curves], axis=0),
        recall=np.mean([one.recall for one in curves], axis=0),
    )
