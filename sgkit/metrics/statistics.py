"""Statistics of features: mean and covariance as images stream by, and banks of the features themselves.

Sums are kept in float64 around the running mean (Chan, Golub and LeVeque, 1983), so a result does not depend on how
images were batched beyond the last digits, and parts counted by several processes can be merged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sgkit.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian:
    """Mean and covariance of the features of some images."""

    num: int
    """Images counted."""
    mean: Floats
    """[dim]"""
    covariance: Floats
    """[dim, dim], divided by ``num - 1``."""


class StreamingGaussian:
    """Counts features in batches of any size into a :class:`Gaussian`."""

    def __init__(self, dim: int) -> None:
        self.num = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))  # sum of outer products of the differences to the mean

    def update(self, features: Tensor) -> None:
        """Count ``features`` [N, dim].

        Raises:
            InputError: the shape is another, or a value is not finite.
        """
        values = _checked(features, self._mean.size)
        if not len(values):
            return
        mean = values.mean(axis=0)
        centred = values - mean
        self._add(len(values), mean, centred.T @ centred)

    def merge(self, other: StreamingGaussian) -> None:
        """Count what ``other`` has counted."""
        if other.num:
            self._add(other.num, other._mean, other._scatter)

    def _add(self, num: int, mean: Floats, scatter: Floats) -> None:
        total = self.num + num
        apart = mean - self._mean
        self._scatter += scatter
        self._scatter += np.outer(apart, apart * (self.num * num / total))
        self._mean += apart * (num / total)
        self.num = total

    def restore(self, num: int, mean: NDArray[np.generic], covariance: NDArray[np.generic]) -> None:
        """Go on from an earlier :meth:`result`.

        Raises:
            ValueError: a shape is another.
        """
        if mean.shape != self._mean.shape or covariance.shape != self._scatter.shape or num < 2:
            raise ValueError(f"{num} images, mean {mean.shape}, covariance {covariance.shape}")
        self.num = num
        self._mean = mean.astype(np.float64)
        self._scatter = covariance.astype(np.float64) * (num - 1)

    def result(self) -> Gaussian:
        """Mean and covariance so far.

        Raises:
            InputError: fewer than two images were counted.
        """
        if self.num < 2:
            raise InputError(
                f"A covariance needs 2 images or more; there {'is' if self.num == 1 else 'are'} {self.num}."
            )
        return Gaussian(num=self.num, mean=self._mean.copy(), covariance=self._scatter / (self.num - 1))


class FeatureBank:
    """Keeps every feature, in order, as float32: for distances between samples rather than between their moments."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._parts: list[NDArray[np.float32]] = []

    @property
    def num(self) -> int:
        """Images kept."""
        return sum(len(part) for part in self._parts)

    def update(self, features: Tensor) -> None:
        """Keep ``features`` [N, dim].

        Raises:
            InputError: the shape is another, or a value is not finite.
        """
        self._parts.append(_checked(features, self.dim).astype(np.float32))

    def merge(self, other: FeatureBank) -> None:
        """Keep what ``other`` has kept, after what is here."""
        self._parts.extend(other._parts)

    def restore(self, features: NDArray[np.generic]) -> None:
        """Go on from an earlier :meth:`result`.

        Raises:
            ValueError: the shape is another.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(f"features {features.shape}")
        self._parts = [features.astype(np.float32)]

    def result(self) -> NDArray[np.float32]:
        """Features [num, dim]."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self._parts])


def _checked(features: Tensor, dim: int) -> Floats:
    if features.ndim != 2 or features.shape[1] != dim:
        raise InputError(f"Features have shape {list(features.shape)}; expected [N, {dim}].")
    values: Floats = features.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        raise InputError("Features hold values that are not finite: the images or the feature network are broken.")
    return values
