from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.statistics import FeatureStatistics

KEY = {"images": "abc", "extractor": "x", "num": 10}


@pytest.fixture
def statistics() -> FeatureStatistics:
    made = FeatureStatistics(4, ("gaussian", "bank"))
    made.update(torch.randn(10, 4, generator=torch.Generator().manual_seed(0)))
    return made


def test_what_was_saved_comes_back(tmp_path: Path, statistics: FeatureStatistics) -> None:
    cache = StatisticsCache(tmp_path / "new")
    assert cache.load(KEY, FeatureStatistics(4, ("gaussian",))) is None
    cache.save(KEY, statistics)
    found = cache.load(dict(reversed(KEY.items())), FeatureStatistics(4, ("gaussian", "bank")))
    assert found is not None
    assert found.num == 10
    np.testing.assert_array_equal(found.bank(), statistics.bank())
    np.testing.assert_allclose(found.gaussian().covariance, statistics.gaussian().covariance, rtol=1e-14)
    only = cache.load(KEY, FeatureStatistics(4, ("bank",)))
    assert only is not None
    assert only.statistics == {"bank"}


@pytest.mark.parametrize("change", [{"images": "abd"}, {"extractor": "y"}, {"num": 11}, {"more": None}])
def test_any_change_of_the_key_misses(tmp_path: Path, statistics: FeatureStatistics, change: dict[str, object]) -> None:
    cache = StatisticsCache(tmp_path)
    cache.save(KEY, statistics)
    assert cache.load({**KEY, **change}, FeatureStatistics(4, ("bank",))) is None
    assert cache.load(KEY, FeatureStatistics(5, ("bank",))) is None


def test_missing_statistic_misses(tmp_path: Path) -> None:
    bank_only = FeatureStatistics(4, ("bank",))
    bank_only.update(torch.zeros(3, 4))
    cache = StatisticsCache(tmp_path)
    cache.save(KEY, bank_only)
    assert cache.load(KEY, FeatureStatistics(4, ("bank",))) is not None
    assert cache.load(KEY, FeatureStatistics(4, ("bank", "gaussian"))) is None


@pytest.mark.parametrize("damage", [b"", b"not a zip", "half", "pickle"])
def test_damaged_files_miss_and_are_replaced(
    tmp_path: Path, statistics: FeatureStatistics, damage: bytes | str
) -> None:
    cache = StatisticsCache(tmp_path)
    cache.save(KEY, statistics)
    for path in tmp_path.glob("*.npz"):
        if damage == "pickle":
            np.savez(path, key=np.array([object()], dtype=object))
        else:
            path.write_bytes(path.read_bytes()[:200] if isinstance(damage, str) else damage)
    assert cache.load(KEY, FeatureStatistics(4, ("bank", "gaussian"))) is None
    cache.save(KEY, statistics)
    assert cache.load(KEY, FeatureStatistics(4, ("bank", "gaussian"))) is not None


def test_file_under_another_key_misses(tmp_path: Path, statistics: FeatureStatistics) -> None:
    cache = StatisticsCache(tmp_path)
    cache.save(KEY, statistics)
    names = set(tmp_path.glob("*.npz"))
    cache.save({**KEY, "num": 11}, statistics)
    for old, new in zip(sorted(names), sorted(set(tmp_path.glob("*.npz")) - names), strict=True):
        new.replace(old)
    assert cache.load(KEY, FeatureStatistics(4, ("bank", "gaussian"))) is None


def test_nothing_but_the_statistics_is_left(tmp_path: Path, statistics: FeatureStatistics) -> None:
    StatisticsCache(tmp_path).save(KEY, statistics)
    assert len(list(tmp_path.iterdir())) == 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}
