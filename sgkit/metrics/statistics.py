"""Statistics of features, gathered batch by batch: mean and covariance, or the features themselves.

Sums are kept in float64 around the running mean (Chan, Golub and LeVeque, 1983), so a result does not depend on the
batch size beyond the last digits, and statistics from several processes can be merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sgkit.config.metric_row import Statistic
from sgkit.errors import InputError
from sgkit.metrics.features import FeatureExtractor
from sgkit.metrics.structural_similarity import PairSimilarity
from sgkit.metrics.wasserstein import PatchBank
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian:
    """Mean and covariance of the features of some images."""

    num: int
    """Number of images; 0: not known."""
    mean: Floats
    """[dim]"""
    covariance: Floats
    """[dim, dim], divided by ``num - 1``."""


class StreamingGaussian:
    """Turns batches of features into a :class:`Gaussian`."""

    def __init__(self, dim: int) -> None:
        self.num = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))  # sum of outer products of the differences to the mean

    def update(self, features: Tensor) -> None:
        """Add ``features`` [N, dim].

        Raises:
            InputError: the shape is different, or a value is not finite.
        """
        values = _checked(features, self._mean.size)
        if len(values):
            mean = values.mean(axis=0)
            centred = values - mean
            self._add(len(values), mean, centred.T @ centred)

    def merge(self, other: StreamingGaussian) -> None:
        """Add the features that ``other`` has seen."""
        if other.num:
            self._add(other.num, other._mean, other._scatter)

    def _add(self, num: int, mean: Floats, scatter: Floats) -> None:
        total = self.num + num
        apart = mean - self._mean
        self._scatter += scatter
        self._scatter += np.outer(apart, apart * (self.num * num / total))
        self._mean += apart * (num / total)
        self.num = total

    def result(self) -> Gaussian:
        """Mean and covariance so far.

        Raises:
            InputError: fewer than two images were added.
        """
        if self.num < 2:
            raise InputError(f"A covariance needs at least 2 images; given: {self.num}.")
        return Gaussian(num=self.num, mean=self._mean.copy(), covariance=self._scatter / (self.num - 1))

    def to_arrays(self) -> dict[str, Any]:
        """The state as plain arrays; :meth:`restore` reads them."""
        result = self.result()
        return {"num": np.array(result.num), "mean": result.mean, "covariance": result.covariance}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`to_arrays`.

        Raises:
            KeyError, ValueError: an array is missing or has a different shape.
        """
        num, mean, covariance = int(arrays["num"]), arrays["mean"], arrays["covariance"]
        if mean.shape != self._mean.shape or covariance.shape != self._scatter.shape or num < 2:
            raise ValueError(f"{num} images, mean {mean.shape}, covariance {covariance.shape}")
        self.num = num
        self._mean = mean.astype(np.float64)
        self._scatter = covariance.astype(np.float64) * (num - 1)


class KnownGaussian:
    """A :class:`Gaussian` that somebody else computed; nothing can be added."""

    def __init__(self, gaussian: Gaussian) -> None:
        self._gaussian = gaussian
        self.num = gaussian.num

    def result(self) -> Gaussian:
        """It."""
        return self._gaussian


class FeatureBank:
    """Keeps all features, in order, as float32: for distances between samples instead of moments."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._parts: list[NDArray[np.float32]] = []

    @property
    def num(self) -> int:
        """Number of images."""
        return sum(len(part) for part in self._parts)

    def update(self, features: Tensor) -> None:
        """Add ``features`` [N, dim].

        Raises:
            InputError: the shape is different, or a value is not finite.
        """
        self._parts.append(_checked(features, self.dim).astype(np.float32))

    def merge(self, other: FeatureBank) -> None:
        """Add the features of ``other``, after those here."""
        self._parts.extend(other._parts)

    def result(self) -> NDArray[np.float32]:
        """Features [num, dim]."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self._parts])

    def to_arrays(self) -> dict[str, Any]:
        """The state as plain arrays; :meth:`restore` reads them."""
        return {"bank": self.result()}

    def restore(self, arrays: Arrays) -> None:
        """Continue from :meth:`to_arrays`.

        Raises:
            KeyError, ValueError: an array is missing or has a different shape.
        """
        features = arrays["bank"]
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(f"features {features.shape}")
        self._parts = [features.astype(np.float32)]


STATISTICS: dict[Statistic, Callable[[int], Any]] = {
    "gaussian": StreamingGaussian,
    "bank": FeatureBank,
    "patches": lambda _: PatchBank(),
    "pairs": lambda _: PairSimilarity(),
}
"""Statistic -> a new, empty one for features of a dimension: an object with ``num``, ``update(features)``, ``merge``,
``result()``, and ``to_arrays()`` and ``restore(arrays)`` for the cache."""


def _checked(features: Tensor, dim: int) -> Floats:
    if features.ndim != 2 or features.shape[1] != dim:
        raise InputError(f"Features have shape {list(features.shape)}; expected [N, {dim}].")
    values: Floats = features.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        raise InputError("Features contain NaN or infinity: the images or the feature network are broken.")
    return values


class FeatureStatistics:
    """The statistics of one extractor's features that are needed; all of the same images."""

    def __init__(self, dim: int, statistics: Iterable[Statistic]) -> None:
        self.dim = dim
        self._parts: dict[Statistic, Any] = {name: STATISTICS[name](dim) for name in sorted(set(statistics))}

    @property
    def statistics(self) -> frozenset[Statistic]:
        """Which statistics these are."""
        return frozenset(self._parts)

    @property
    def num(self) -> int:
        """Number of images."""
        return next((int(part.num) for part in self._parts.values()), 0)

    def update(self, features: Tensor) -> None:
        """Add ``features`` [N, dim]."""
        for part in self._parts.values():
            part.update(features)

    def merge(self, other: FeatureStatistics) -> None:
        """Add the features that ``other`` has seen, after those here."""
        assert (self.dim, self.statistics) == (other.dim, other.statistics)
        for name, part in self._parts.items():
            part.merge(other._parts[name])

    def result(self, statistic: Statistic) -> Any:
        """The statistic of that name: what its ``result()`` returns."""
        return self._parts[statistic].result()

    def gaussian(self) -> Gaussian:
        """Mean and covariance, if ``"gaussian"`` is one of the statistics."""
        found: Gaussian = self._parts["gaussian"].result()
        return found

    def bank(self) -> NDArray[np.float32]:
        """Features [num, dim] in order, if ``"bank"`` is one of the statistics."""
        found: NDArray[np.float32] = self._parts["bank"].result()
        return found

    def to_arrays(self, statistic: Statistic) -> dict[str, Any]:
        """One statistic as plain arrays; :meth:`from_arrays` reads them."""
        arrays: dict[str, Any] = self._parts[statistic].to_arrays()
        return arrays

    @classmethod
    def of_parts(cls, dim: int, parts: Mapping[Statistic, Any]) -> FeatureStatistics:
        """Statistics that are there already, by name."""
        made = cls(dim, ())
        made._parts = dict(parts)
        return made

    @classmethod
    def from_arrays(cls, dim: int, arrays: Mapping[Statistic, Arrays]) -> FeatureStatistics:
        """Statistics from :meth:`to_arrays` of each.

        Raises:
            KeyError, ValueError: an array is missing, or its shape or number of images does not match the others.
        """
        made = cls(dim, arrays)
        for name, part in made._parts.items():
            part.restore(arrays[name])
        nums = sorted({part.num for part in made._parts.values()})
        if len(nums) != 1:
            raise ValueError(f"the statistics are of {nums} images")
        return made


@dataclass(frozen=True, kw_only=True)
class FeatureRequest:
    """An extractor, which statistics of its features are needed, and of how many images."""

    extractor: FeatureExtractor
    statistics: frozenset[Statistic]
    num: int | None = None
    """Only of the first ``num`` images; ``None``: of all."""

    def empty(self) -> FeatureStatistics:
        """The statistics before the first image."""
        return FeatureStatistics(self.extractor.dim, self.statistics)


def compute_statistics(
    batches: Iterable[Tensor],
    requests: Sequence[FeatureRequest],
    *,
    num_images: int | None = None,
    start: int = 0,
    stage: str = "",
    on_progress: OnProgress = ignore_progress,
) -> list[FeatureStatistics]:
    """For each request its statistics of the images in ``batches`` (uint8 [N, C, H, W] each), which are read once.

    Requests with the same extractor share its features.

    Args:
        num_images: stop after this many; ``None``: read all.
        start: position of the first image among all, for requests of the first images.
        stage: name for the progress report.

    Raises:
        InputError: images are not uint8 with 1, 3 or 4 channels.
    """
    found = [one.empty() for one in requests]
    done = 0
    for images in batches if num_images != 0 else ():
        counted = images if num_images is None else images[: num_images - done]
        features: dict[int, Tensor] = {}
        for one, statistics in zip(requests, found, strict=True):
            wanted = len(counted) if one.num is None else min(len(counted), one.num - start - done)
            if wanted > 0:
                if id(one.extractor) not in features:
                    features[id(one.extractor)] = one.extractor(counted)
                statistics.update(features[id(one.extractor)][:wanted])
        done += len(counted)
        on_progress(Progress(done=done, total=num_images, stage=stage))
        if done == num_images:
            break
    return found
