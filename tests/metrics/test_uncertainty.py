from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sgkit.errors import InputError
from sgkit.metrics.distances import frechet_distance
from sgkit.metrics.identity import DESCRIPTOR_DIM
from sgkit.metrics.registry import METRICS, can_be_resampled, evaluate, with_intervals
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.metrics.uncertainty import FrechetTo, frechet_infinity, resampled
from sgkit.metrics.values import MetricInputs
from sgkit.runtime.progress import Progress


def statistics(num: int, *, seed: int, dim: int = 8, shift: float = 0.0) -> FeatureStatistics:
    made = FeatureStatistics(dim, ("gaussian", "bank"))
    made.update(torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)) + shift)
    return made


@pytest.mark.parametrize("num", [3, 7, 8, 9, 60])
def test_distances_to_one_gaussian(num: int) -> None:
    data, sample = statistics(40, seed=0), statistics(num, seed=1, shift=0.3)
    expected = frechet_distance(sample.gaussian(), data.gaussian())
    assert FrechetTo(data.gaussian())(sample.bank()) == pytest.approx(expected, rel=1e-9)


def test_extrapolation_removes_the_bias_of_few_images() -> None:
    """The distance of 400 samples of equal distributions is far above 0, of 16 dimensions; of infinitely many, 0."""
    exact = replace(statistics(20, seed=0, dim=16).gaussian(), mean=np.zeros(16), covariance=np.eye(16))
    found = [frechet_infinity(statistics(400, seed=seed, dim=16).bank(), exact) for seed in range(12)]
    biased = np.mean([one.values[-1] for one in found])
    assert biased > 0.1
    assert abs(np.mean([one.value for one in found])) < biased / 4
    assert found[0].counts[0] == 40
    assert found[0].counts[-1] == 400
    assert found[0].values[0] > 2 * found[0].values[-1]
    assert found[0].std > 0


def test_extrapolation_is_the_fitted_line() -> None:
    bank, data = statistics(200, seed=0).bank(), statistics(300, seed=1, shift=1.0).gaussian()
    found = frechet_infinity(bank, data, num_points=5, seed=3)
    design = np.stack([1 / np.array(found.counts), np.ones(5)], axis=1)
    solution, residue, *_ = np.linalg.lstsq(design, np.array(found.values), rcond=None)
    covariance = residue[0] / 3 * np.linalg.inv(design.T @ design)
    assert found.value == pytest.approx(solution[1], rel=1e-9)
    assert found.std == pytest.approx(covariance[1, 1] ** 0.5, rel=1e-6)
    with pytest.raises(InputError, match="needs at least 30 images; given: 20"):
        frechet_infinity(bank[:20], data)


def mean(measured: FeatureStatistics, data: FeatureStatistics | None) -> list[float]:
    return [float(measured.bank().mean())]


@pytest.mark.parametrize("replace", [True, False])
def test_intervals_of_a_mean_are_those_of_the_textbook(replace: bool) -> None:
    sample = statistics(400, seed=0, dim=1)
    value, error = float(sample.bank().mean()), float(sample.bank().std()) / 20
    (found,) = resampled([value], mean, sample, None, num_samples=600, replace=replace)
    assert found.std == pytest.approx(error, rel=0.15)
    assert found.low == pytest.approx(value - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(value + 1.96 * error, abs=0.3 * error)


class Classes:
    def logits(self, features: np.ndarray) -> np.ndarray:
        return features


@pytest.mark.parametrize("name", [name for name, row in METRICS.items() if can_be_resampled(row)])
def test_every_metric_of_features_has_an_interval(name: str) -> None:
    extractor: Any = Classes()
    dim = DESCRIPTOR_DIM + 1 if METRICS[name].network == "identity" else 8
    sides = {"measured": statistics(60, seed=0, dim=dim), "data": statistics(70, seed=1, shift=0.5, dim=dim)}
    told: list[Progress] = []
    options: dict[str, Any] = {**sides, "on_progress": told.append}
    inputs = MetricInputs(row=METRICS[name], extractor=extractor, **options)
    values = with_intervals(evaluate(inputs), inputs, num_samples=4)
    for value in values:
        assert value.interval is not None
        assert value.interval[0] <= value.interval[1]
        assert value.std_of.startswith("4 ")
    assert [one.done for one in told if one.stage == f"resampling for {name}"] == [0, 1, 2, 3]
    assert with_intervals(evaluate(inputs), inputs, num_samples=4) == values


def test_metrics_without_features_have_none() -> None:
    assert not can_be_resampled(METRICS["fid_inf"])
    assert not can_be_resampled(METRICS["eqr50k"])
