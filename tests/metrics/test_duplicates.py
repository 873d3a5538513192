from __future__ import annotations

import numpy as np
import pytest

from sgkit.errors import InputError
from sgkit.metrics.duplicates import duplicates


def samples(num: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, 6)).astype(np.float32)


def test_repeated_samples_are_found() -> None:
    made, data = samples(200, 0), samples(300, 1)
    assert duplicates(made, data).share < 0.06
    made[17] = made[5]
    made[40:60] = made[100:120] + np.float32(1e-3)
    found = duplicates(made, data)
    assert found.share == pytest.approx(42 / 200, abs=0.02)
    assert found.pairs[0] == (5, 17, 0.0)
    assert {second - first for first, second, _ in found.pairs[1:]} == {60}
    assert len(set(found.pairs)) == len(found.pairs) == 10


def test_limit_is_a_quantile_of_the_datas_own_neighbours() -> None:
    data = np.arange(8, dtype=np.float32)[:, None] ** 2
    assert duplicates(data, data, quantile=0).limit == 1
    assert duplicates(data, data, quantile=1).limit == 13
    assert duplicates(data, data, quantile=1).share == 1


def test_too_few_images() -> None:
    with pytest.raises(InputError, match="3 or more images on each side; given: 2"):
        duplicates(samples(2, 0), samples(9, 1))
