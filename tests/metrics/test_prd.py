from __future__ import annotations

import numpy as np
import pytest

from sgkit.errors import InputError
from sgkit.metrics.prd import curve_of_shares, precision_recall_curve


def samples(centres: list[int], *, seed: int, num: int = 200) -> np.ndarray:
    draw = np.random.default_rng(seed)
    places = 10.0 * np.eye(4)[draw.choice(centres, num)]
    return (places + draw.normal(size=(num, 4))).astype(np.float32)


def test_curve_of_equal_and_of_disjoint_shares() -> None:
    same = curve_of_shares(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    assert (same.f_score(8), same.f_score(1 / 8)) == (pytest.approx(1, abs=1e-2), pytest.approx(1, abs=1e-2))
    apart = curve_of_shares(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert apart.f_score(8) == 0


def test_curve_is_its_definition() -> None:
    data, generated = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])
    curve = curve_of_shares(data, generated, num_angles=5)
    slopes = np.tan(np.linspace(1e-6, np.pi / 2 - 1e-6, 5))
    for i, slope in enumerate(slopes):
        assert curve.precision[i] == pytest.approx(sum(min(slope * p, q) for p, q in zip(data, generated, strict=True)))
        assert curve.recall[i] == pytest.approx(sum(min(p, q / slope) for p, q in zip(data, generated, strict=True)))


def test_lost_modes_lower_recall_and_invented_ones_precision() -> None:
    data, all_modes = samples([0, 1, 2], seed=0), samples([0, 1, 2], seed=1)
    few, more = samples([0], seed=2), samples([0, 1, 2, 3], seed=3)
    scores = {
        name: (curve.f_score(8), curve.f_score(1 / 8))
        for name, side in (("all", all_modes), ("few", few), ("more", more))
        for curve in [precision_recall_curve(data, side, num_clusters=4, num_runs=3)]
    }
    assert min(scores["all"]) > 0.9
    assert scores["few"][0] < 0.6 < scores["few"][1]
    assert scores["more"][1] < scores["all"][1]


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="needs 20 images on each side; given: 5"):
        precision_recall_curve(samples([0], seed=0), samples([0], seed=1, num=5))
