from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sgkit.config.metric_row import MetricRow
from sgkit.errors import InputError, UsageError
from sgkit.metrics.features import EXTRACTORS
from sgkit.metrics.registry import METHODS, METRICS, evaluate, metric_rows, statistics_needed
from sgkit.metrics.statistics import STATISTICS, FeatureStatistics
from sgkit.metrics.values import MetricInputs, MetricValue

DISTANCES = [row for row in METRICS.values() if row.method in ("frechet", "kernel")]


def statistics(num: int, *, dim: int = 8, seed: int, shift: float = 0.0) -> FeatureStatistics:
    made = FeatureStatistics(dim, ("gaussian", "bank"))
    made.update(torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)) + shift)
    return made


class Classes:
    """Stands for a network whose features are logits."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        return features


def values(name: str, measured: FeatureStatistics, data: FeatureStatistics, **options: Any) -> tuple[MetricValue, ...]:
    extractor: Any = Classes()
    return evaluate(MetricInputs(row=METRICS[name], measured=measured, data=data, extractor=extractor, **options))


@pytest.mark.parametrize("row", DISTANCES, ids=lambda row: row.name)
def test_every_distance_grows_with_the_difference(row: MetricRow) -> None:
    data = statistics(60, seed=0)
    found = [values(row.name, statistics(50, seed=1, shift=shift), data)[0] for shift in (0.0, 1.0, 2.0)]
    assert [one.value for one in found] == sorted(one.value for one in found)
    assert (found[0].name, found[0].num_images, found[0].num_data) == (row.name, 50, 60)
    assert (found[0].std is None) == (row.method == "frechet")
    assert found[0].notes[0] == f"50 of {row.num_images:,} images"


def test_precision_and_recall_have_two_values() -> None:
    found = values("pr_effnet", statistics(50, seed=1), statistics(60, seed=0))
    assert [one.name for one in found] == ["pr_effnet_precision", "pr_effnet_recall"]
    assert {one.better for one in found} == {"higher"}
    assert {one.metric for one in found} == {"pr_effnet"}
    assert all(0.5 < one.value <= 1 for one in found)


def test_inception_score_is_of_the_images_alone() -> None:
    found = values("is50k", statistics(50, seed=1), statistics(60, seed=0))[0]
    assert (found.better, found.std_of) == ("higher", "splits")
    with pytest.raises(InputError, match="'inception' has no classes, which is needs"):
        evaluate(MetricInputs(row=METRICS["is"], measured=statistics(20, seed=0)))


def test_covariances_of_nvidias_fid_are_divided_by_their_number() -> None:
    measured, data = statistics(5, dim=2, seed=0), statistics(400, dim=2, seed=1)
    usual, theirs = (values(name, measured, data)[0] for name in ("fid", "fid50k_full"))
    assert usual.value != theirs.value
    assert (usual.protocol["protocol"], theirs.protocol["protocol"], theirs.protocol["ddof"]) == ("sgkit", "NVIDIA", 0)


@pytest.mark.parametrize("row", METRICS.values(), ids=lambda row: row.name)
def test_rows_are_complete(row: MetricRow) -> None:
    assert METRICS[row.name] is row
    assert row.method in METHODS
    assert bool(row.network) == bool(row.statistics)
    assert set(row.statistics) <= set(STATISTICS)
    assert row.paper
    if row.network:
        assert row.num_images >= EXTRACTORS[row.network].dim


def test_a_metric_of_a_generator_needs_one() -> None:
    with pytest.raises(InputError, match="fid measures a generator, not images"):
        MetricInputs(row=METRICS["fid"]).the_generator()


def test_seed_draws_the_subsets() -> None:
    many, data = statistics(1100, dim=4, seed=0), statistics(1100, dim=4, seed=1)
    found = [values("kid", many, data, seed=seed)[0].value for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_features_in_bf16_are_said_beside_the_value() -> None:
    class Features:
        note = "features in bf16"

    sides = {"measured": statistics(9, dim=4, seed=0), "data": statistics(9, dim=4, seed=1)}
    (found,) = evaluate(MetricInputs(row=METRICS["kid"], extractor=Features(), **sides))  # type: ignore[arg-type]
    assert "features in bf16" in found.notes


def test_names_become_rows_in_order() -> None:
    assert [row.name for row in metric_rows(["kid", "fd_effnet", "kid"])] == ["kid", "fd_effnet"]


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match=r"Unknown metric 'fd_efnet'. Did you mean 'fd_effnet'\?"):
        metric_rows(["fid", "fd_efnet"])
    with pytest.raises(UsageError, match=r"No metric was named. .* List all metrics with: sgkit metrics list"):
        metric_rows([])


def test_statistics_needed() -> None:
    needed = statistics_needed(metric_rows(["fd_effnet", "kd_effnet", "kid"]))
    assert needed == {"effnet": {"gaussian", "bank"}, "inception": {"bank"}}
