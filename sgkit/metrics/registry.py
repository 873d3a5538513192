"""The metrics by name: which features, which statistic of them, which distance, and how many images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sgkit.errors import UsageError, did_you_mean
from sgkit.metrics.distances import frechet_distance, kernel_distance
from sgkit.metrics.summary import FeatureSummary, Statistic


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """What a metric says; smaller is better for all of them."""

    name: str
    value: float
    std: float | None
    """Spread over the subsets of a kernel distance."""
    num_images: int
    """Images of the measured side that were counted."""
    num_data: int
    """Images of the data side."""


@dataclass(frozen=True, kw_only=True)
class MetricRecipe:
    """One row of :data:`METRICS`."""

    name: str
    summary: str
    extractor: str
    """A key of :data:`sgkit.metrics.features.EXTRACTORS`."""
    statistic: Statistic
    distance: Callable[[FeatureSummary, FeatureSummary, int], tuple[float, float | None]]
    """(measured side, data side, seed) -> value and spread."""
    num_images: int
    """Images generated when a model is measured and no number is given; the most of the metrics asked for at once."""

    def value(self, measured: FeatureSummary, data: FeatureSummary, *, seed: int = 0) -> MetricValue:
        """The metric between two summaries; ``seed`` draws the subsets of kernel distances."""
        value, std = self.distance(measured, data, seed)
        return MetricValue(name=self.name, value=value, std=std, num_images=measured.num, num_data=data.num)


def _frechet(measured: FeatureSummary, data: FeatureSummary, seed: int) -> tuple[float, None]:  # noqa: ARG001
    return frechet_distance(measured.gaussian(), data.gaussian()), None


def _kernel(measured: FeatureSummary, data: FeatureSummary, seed: int) -> tuple[float, float | None]:
    found = kernel_distance(measured.bank(), data.bank(), seed=seed)
    return found.mean, found.std


METRICS: dict[str, MetricRecipe] = {
    recipe.name: recipe
    for recipe in (
        MetricRecipe(
            name="fd_effnet",
            summary="Fréchet distance of EfficientNet-Lite0 features; needs no download; not comparable with FID",
            extractor="effnet",
            statistic="gaussian",
            distance=_frechet,
            num_images=10_000,
        ),
        MetricRecipe(
            name="kd_effnet",
            summary="Kernel distance of EfficientNet-Lite0 features, unbiased; not comparable with KID",
            extractor="effnet",
            statistic="bank",
            distance=_kernel,
            num_images=10_000,
        ),
        MetricRecipe(
            name="fid",
            summary="Fréchet Inception distance (Heusel et al., 2017)",
            extractor="inception",
            statistic="gaussian",
            distance=_frechet,
            num_images=50_000,
        ),
        MetricRecipe(
            name="kid",
            summary="Kernel Inception distance (Bińkowski et al., 2018)",
            extractor="inception",
            statistic="bank",
            distance=_kernel,
            num_images=50_000,
        ),
    )
}


def metric_recipes(names: Iterable[str]) -> tuple[MetricRecipe, ...]:
    """The recipes called ``names``, in that order, each once.

    Raises:
        UsageError: a name is unknown (the nearest one is given), or there is none.
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
