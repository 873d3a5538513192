"""The metrics by name, and their values. The table is in :mod:`sgkit.config.metrics`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sgkit.config.metrics import METRIC_ROWS, MetricRow, Statistic, check_metrics
from sgkit.metrics.distances import frechet_distance, kernel_distance
from sgkit.metrics.statistics import FeatureStatistics


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """Value of a metric; smaller is better."""

    name: str
    value: float
    std: float | None
    """Standard deviation over the subsets of a kernel distance."""
    num_images: int
    """Number of measured images."""
    num_data: int
    """Number of reference images."""


class MetricRecipe(MetricRow):
    """One row of :data:`METRICS`, which knows how to compute its value."""

    def value(self, measured: FeatureStatistics, data: FeatureStatistics, *, seed: int = 0) -> MetricValue:
        """The metric between two sets of images; ``seed`` draws the subsets of kernel distances."""
        if self.statistic == "gaussian":
            value, std = frechet_distance(measured.gaussian(), data.gaussian()), None
        else:
            found = kernel_distance(measured.bank(), data.bank(), seed=seed)
            value, std = found.mean, found.std
        return MetricValue(name=self.name, value=value, std=std, num_images=measured.num, num_data=data.num)


METRICS: dict[str, MetricRecipe] = {row.name: MetricRecipe(*row) for row in METRIC_ROWS}


def metric_recipes(names: Iterable[str]) -> tuple[MetricRecipe, ...]:
    """The metrics called ``names``, in that order, each once.

    Raises:
        UsageError: a name is unknown, or there is none.
    """
    wanted = tuple(dict.fromkeys(names))
    check_metrics(wanted)
    return tuple(METRICS[name] for name in wanted)


def statistics_needed(recipes: Iterable[MetricRecipe]) -> dict[str, frozenset[Statistic]]:
    """Extractor name -> the statistics of its features that ``recipes`` compare."""
    needed: dict[str, frozenset[Statistic]] = {}
    for recipe in recipes:
        needed[recipe.extractor] = needed.get(recipe.extractor, frozenset()) | {recipe.statistic}
    return needed
