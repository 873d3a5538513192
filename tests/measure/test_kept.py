from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.measure.kept import clear_kept, list_kept
from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.weights import cache_folder


def test_kept_statistics_are_listed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path))
    assert list_kept().files == ()
    statistics = FeatureStatistics(4, ["gaussian", "bank"])
    statistics.update(torch.randn(9, 4))
    key = {"images": {"store": "0123456789abcdef", "num": 9}, "extractor": "x/1"}
    StatisticsCache(cache_folder("statistics")).save(key, statistics)
    (tmp_path / "statistics" / "bad.npz").write_bytes(b"PK")
    np.savez(tmp_path / "statistics" / "odd.npz", key=np.array("no JSON"))
    other = tmp_path / "statistics" / "mine.txt"
    other.write_text("stays")
    found = list_kept()
    good = [one for one in found.files if one.state == "good"]
    assert [one.state for one in found.files].count("damaged") == 2
    assert {(one.images, one.extractor, one.num_images) for one in good} == {("store 0123456789ab", "x/1", 9)}
    assert {one.statistic for one in good} == {"gaussian", "bank"}
    cleared = clear_kept()
    assert (cleared.removed, cleared.size, list_kept().files) == (True, found.size, ())
    assert other.exists()
