"""The metrics by name: which features, which statistic of them, and how many images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sgkit.errors import UsageError, did_you_mean
from sgkit.metrics.distances import frechet_distance, kernel_distance
from sgkit.metrics.statistics import FeatureStatistics, Statistic


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


@dataclass(frozen=True)
class MetricRecipe:
    """One row of :data:`METRICS`."""

    name: str
    extractor: str
    """A key of :data:`sgkit.metrics.features.EXTRACTORS`."""
    statistic: Statistic
    """``gaussian``: the Fréchet distance; ``bank``: the kernel distance."""
    num_images: int
    """Images that a model generates for it by default."""

    def value(self, measured: FeatureStatistics, data: FeatureStatistics, *, seed: int = 0) -> MetricValue:
        """The metric between two sets of images; ``seed`` draws the subsets of kernel distances."""
        if self.statistic == "gaussian":
            value, std = frechet_distance(measured.gaussian(), data.gaussian()), None
        else:
            found = kernel_distance(measured.bank(), data.bank(), seed=seed)
            value, std = found.mean, found.std
        return MetricValue(name=self.name, value=value, std=std, num_images=measured.num, num_data=data.num)


_ROWS = (
    MetricRecipe("fd_effnet", "effnet", "gaussian", 10_000),
    MetricRecipe("kd_effnet", "effnet", "bank", 10_000),
    MetricRecipe("fid", "inception", "gaussian", 50_000),  # Heusel et al., 2017
    MetricRecipe("kid", "inception", "bank", 50_000),  # Bińkowski et al., 2018
)
METRICS: dict[str, MetricRecipe] = {recipe.name: recipe for recipe in _ROWS}


def metric_recipes(names: Iterable[str]) -> tuple[MetricRecipe, ...]:
    """The metrics called ``names``, in that order, each once.

    Raises:
        UsageError: a name is unknown, or there is none.
    """
    recipes: dict[str, MetricRecipe] = {}
    for name in names:
        if name not in METRICS:
            raise UsageError(f"Unknown metric {name!r}. {did_you_mean(name, METRICS)}")
        recipes[name] = METRICS[name]
    if not recipes:
        raise UsageError(f"No metric was named. Allowed: {', '.join(METRICS)}.")
    return tuple(recipes.values())


def statistics_needed(recipes: Iterable[MetricRecipe]) -> dict[str, frozenset[Statistic]]:
    """Extractor name -> the statistics of its features that ``recipes`` compare."""
    needed: dict[str, frozenset[Statistic]] = {}
    for recipe in recipes:
        needed[recipe.extractor] = needed.get(recipe.extractor, frozenset()) | {recipe.statistic}
    return needed
