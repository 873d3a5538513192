"""One pass over images, any number of extractors: what the metrics need to know of one side of a comparison.

The images come as an iterable of batches: a store, a folder, a generator in the middle of its training. No files here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sgkit.metrics.features import FeatureExtractor
from sgkit.metrics.statistics import FeatureBank, Gaussian, StreamingGaussian
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

Statistic = Literal["gaussian", "bank"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be known of one extractor's features."""

    extractor: FeatureExtractor
    statistics: frozenset[Statistic]


class FeatureSummary:
    """Statistics of one extractor's features of some images."""

    def __init__(self, dim: int, statistics: Iterable[Statistic]) -> None:
        self.dim = dim
        self.num = 0
        self.statistics = frozenset(statistics)
        self._gaussian = StreamingGaussian(dim) if "gaussian" in self.statistics else None
        self._bank = FeatureBank(dim) if "bank" in self.statistics else None

    def update(self, features: Tensor) -> None:
        """Count ``features`` [N, dim]."""
        for statistic in (self._gaussian, self._bank):
            if statistic is not None:
                statistic.update(features)
        self.num += len(features)

    def merge(self, other: FeatureSummary) -> None:
        """Count what ``other`` has counted, after what is here: parts counted apart come together in their order."""
        assert (self.dim, self.statistics) == (other.dim, other.statistics)
        if self._gaussian is not None and other._gaussian is not None:
            self._gaussian.merge(other._gaussian)
        if self._bank is not None and other._bank is not None:
            self._bank.merge(other._bank)
        self.num += other.num

    def gaussian(self) -> Gaussian:
        """Mean and covariance; only where ``"gaussian"`` was asked for."""
        assert self._gaussian is not None, "no gaussian was asked for"
        return self._gaussian.result()

    def bank(self) -> NDArray[np.float32]:
        """Features [num, dim] in order; only where ``"bank"`` was asked for."""
        assert self._bank is not None, "no bank was asked for"
        return self._bank.result()

    def to_arrays(self, statistic: Statistic) -> dict[str, NDArray[np.generic]]:
        """Plain arrays that hold one statistic; :meth:`from_arrays` reads them back."""
        if statistic == "bank":
            return {"bank": self.bank()}
        gaussian = self.gaussian()
        return {"num": np.array(gaussian.num), "mean": gaussian.mean, "covariance": gaussian.covariance}

    @classmethod
    def from_arrays(cls, dim: int, arrays: Mapping[Statistic, Mapping[str, NDArray[np.generic]]]) -> FeatureSummary:
        """A summary from :meth:`to_arrays` of each statistic.

        Raises:
            KeyError: an array is missing.
            ValueError: an array has another shape than ``dim`` asks for, or the statistics count unlike numbers.
        """
        summary = cls(dim, arrays)
        nums = set()
        if summary._gaussian is not None:
            values = arrays["gaussian"]
            summary._gaussian.restore(int(values["num"]), values["mean"], values["covariance"])
            nums.add(summary._gaussian.num)
        if summary._bank is not None:
            summary._bank.restore(arrays["bank"]["bank"])
            nums.add(summary._bank.num)
        if len(nums) != 1:
            raise ValueError(f"the statistics count {sorted(nums)} images")
        summary.num = nums.pop()
        return summary


def summarize(
    batches: Iterable[Tensor],
    wanted: Sequence[Wanted],
    *,
    num_images: int | None = None,
    stage: str = "",
    on_progress: OnProgress = ignore_progress,
) -> dict[str, FeatureSummary]:
    """Extractor name -> summary of ``batches`` (uint8 [N, C, H, W] each), read once and no further than needed.

    ``num_images`` stops the count there; ``None`` counts all. ``stage`` is for the progress report.

    Raises:
        InputError: images are not uint8 with 1, 3 or 4 channels.
    """
    summaries = {want.extractor.name: FeatureSummary(want.extractor.dim, want.statistics) for want in wanted}
    done = 0
    for images in batches if num_images != 0 else ():
        counted = images if num_images is None else images[: num_images - done]
        for want in wanted:
            summaries[want.extractor.name].update(want.extractor(counted))
        done += len(counted)
        on_progress(Progress(done=done, total=num_images, stage=stage))
        if done == num_images:
            break
    return summaries
