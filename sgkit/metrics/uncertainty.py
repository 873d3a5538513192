"""How sure a metric is: Fréchet distances at several numbers of images, and intervals from resampled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sgkit.errors import InputError
from sgkit.metrics.statistics import FeatureStatistics, Gaussian

Bank = NDArray[np.float32]
FEWEST = 5000
"""Images of the smallest sample of an extrapolation, if there are more than twice as many (Chong and Forsyth)."""


class FrechetTo:
    """Fréchet distances of many samples to one Gaussian, whose square root is computed once."""

    def __init__(self, data: Gaussian) -> None:
        values, vectors = np.linalg.eigh(data.covariance)
        kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
        self._mean, self._half = data.mean, vectors[:, kept] * np.sqrt(values[kept])
        self._trace = float(np.trace(data.covariance))

    def __call__(self, bank: Bank) -> float:
        """The distance of the Gaussian of features [N, dim], with covariances divided by N - 1.

        The trace of the root is found from the symmetric matrix of the smaller side, images or dimensions.
        """
        x = bank.astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        half = x @ self._half
        gram = half @ half.T if len(half) < half.shape[1] else half.T @ half
        values = np.linalg.eigvalsh(gram)
        root = np.sqrt(values[values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)]).sum()
        divisor = len(x) - 1
        between = mean - self._mean
        spread = (x * x).sum() / divisor + self._trace - 2 * root / divisor**0.5
        return max(float(between @ between + spread), 0.0)


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """Result of :func:`frechet_infinity`."""

    value: float
    """The distance for infinitely many images."""
    std: float
    """Standard error of the fitted line at infinitely many images."""
    counts: tuple[int, ...]
    values: tuple[float, ...]
    """The distance of as many images."""


def frechet_infinity(bank: Bank, data: Gaussian, *, num_points: int = 15, seed: int = 0) -> Extrapolation:
    """The Fréchet distance of features [N, dim] without the bias of few images.

    Chong and Forsyth, "Effectively unbiased FID and Inception score and where to find them", 2020: the distance of
    n images is nearly a line in 1 / n, so a line through several n gives the value at 1 / n = 0. The reference
    statistics are kept fixed.

    Raises:
        InputError: there are too few images.
    """
    num = len(bank)
    if num < 2 * num_points:
        raise InputError(f"An extrapolation needs at least {2 * num_points} images; given: {num}.")
    first = FEWEST if num > 2 * FEWEST else max(num // 10, 2)
    counts = [int(count) for count in np.linspace(first, num, num_points).round()]
    distance, draw = FrechetTo(data), np.random.RandomState(seed)
    values = [distance(bank[draw.choice(num, count, replace=False)]) for count in counts]
    x = 1 / np.array(counts, np.float64)
    slope, intercept = np.polyfit(x, values, 1)
    error = np.array(values) - (slope * x + intercept)
    spread = ((x - x.mean()) ** 2).sum()
    std = np.sqrt((error @ error) / (num_points - 2) * (1 / num_points + x.mean() ** 2 / spread))
    return Extrapolation(value=float(intercept), std=float(std), counts=tuple(counts), values=tuple(values))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Result of :func:`resampled`."""

    low: float
    high: float
    std: float
    """Of the value over resampled images."""


Measure = Callable[[FeatureStatistics, FeatureStatistics | None], list[float]]


def resampled(
    values: list[float],
    measure: Measure,
    measured: FeatureStatistics,
    data: FeatureStatistics | None,
    *,
    num_samples: int,
    replace: bool,
    level: float = 0.95,
    seed: int = 0,
    on_sample: Callable[[int], None] = lambda _: None,
) -> list[Interval]:
    """Confidence intervals of ``values``, which ``measure`` gives for ``measured`` and ``data``.

    Args:
        num_samples: how often the images are resampled.
        replace: whether images are drawn with repeats, as many as there are (the basic bootstrap, which also corrects
            a bias that grows in the same way when images are resampled); otherwise halves are drawn without repeats,
            for metrics that repeated images would mislead.
        on_sample: told how many are measured.
    """
    draw = np.random.RandomState(seed)
    found = []
    for number in range(num_samples):
        on_sample(number)
        sides = [None if side is None else _drawn(side, draw, replace=replace) for side in (measured, data)]
        assert sides[0] is not None
        found.append(measure(sides[0], sides[1]))
    tail = (1 - level) / 2 * 100
    intervals = []
    for value, samples in zip(values, np.array(found).T, strict=True):
        low, high = (float(one) for one in np.percentile(samples, [tail, 100 - tail]))
        if replace:
            low, high = 2 * value - high, 2 * value - low
        else:  # halves scatter as much as the value itself does, around another mean
            low, high = value + low - float(samples.mean()), value + high - float(samples.mean())
        intervals.append(Interval(low=low, high=high, std=float(samples.std(ddof=1))))
    return intervals


def _drawn(side: FeatureStatistics, draw: np.random.RandomState, *, replace: bool) -> FeatureStatistics:
    bank = side.bank()
    number = len(bank)
    rows = draw.choice(number, number if replace else max(number // 2, 2), replace=replace)
    made = FeatureStatistics(side.dim, side.statistics)
    made.update(torch.from_numpy(bank[np.sort(rows)]))
    return made
