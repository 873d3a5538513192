from __future__ import annotations

import pytest
import torch

from sgkit.errors import UsageError
from sgkit.metrics.features import EXTRACTORS
from sgkit.metrics.registry import METRICS, MetricRecipe, metric_recipes, statistics_needed
from sgkit.metrics.statistics import FeatureStatistics


def statistics(num: int, *, dim: int, seed: int, shift: float = 0.0) -> FeatureStatistics:
    made = FeatureStatistics(dim, ("gaussian", "bank"))
    made.update(torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)) + shift)
    return made


@pytest.mark.parametrize("recipe", METRICS.values(), ids=lambda recipe: recipe.name)
def test_every_metric_grows_with_the_difference(recipe: MetricRecipe) -> None:
    data = statistics(60, dim=8, seed=0)
    values = [recipe.value(statistics(50, dim=8, seed=1, shift=shift), data) for shift in (0.0, 1.0, 2.0)]
    assert [value.value for value in values] == sorted(value.value for value in values)
    assert (values[0].name, values[0].num_images, values[0].num_data) == (recipe.name, 50, 60)
    assert (values[0].std is None) == (recipe.statistic == "gaussian")


@pytest.mark.parametrize("recipe", METRICS.values(), ids=lambda recipe: recipe.name)
def test_rows_are_complete(recipe: MetricRecipe) -> None:
    assert METRICS[recipe.name] is recipe
    assert recipe.extractor in EXTRACTORS
    assert recipe.num_images >= EXTRACTORS[recipe.extractor].dim


def test_seed_draws_the_subsets() -> None:
    recipe = METRICS["kid"]
    many, data = statistics(1100, dim=4, seed=0), statistics(1100, dim=4, seed=1)
    values = [recipe.value(many, data, seed=seed).value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_names_become_recipes_in_order() -> None:
    assert [recipe.name for recipe in metric_recipes(["kid", "fd_effnet", "kid"])] == ["kid", "fd_effnet"]


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"Unknown metric 'fd_efnet'. Did you mean 'fd_effnet'\?"):
        metric_recipes(["fid", "fd_efnet"])
    with pytest.raises(UsageError, match=r"No metric was named. Allowed: fd_effnet, kd_effnet, "):
        metric_recipes([])


def test_statistics_needed() -> None:
    needed = statistics_needed(metric_recipes(["fd_effnet", "kd_effnet", "kid"]))
    assert needed == {"effnet": {"gaussian", "bank"}, "inception": {"bank"}}
