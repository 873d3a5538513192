from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sgkit.measure.kept import clear_kept, list_kept
from sgkit.metrics.cache import StatisticsCache, remove_kept
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


def files_of(folder: Path, ages: dict[str, float], size: int = 1000) -> None:
    """Files of this size that were last used so many seconds ago."""
    for name, age in ages.items():
        (folder / name).write_bytes(bytes(size))
        used = time.time() - age
        os.utime(folder / name, (used, used))


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"most_bytes": 2000}, {"new.npz", "middle.npz"}),
        ({"most_bytes": 2999}, {"new.npz", "middle.npz"}),
        ({"most_bytes": 0}, set()),
        ({"unused_for": 500}, {"new.npz"}),
        ({"unused_for": 5000, "most_bytes": 1000}, {"new.npz"}),
        ({"unused_for": 5000}, {"new.npz", "middle.npz", "old.npz"}),
    ],
)
def test_the_longest_unused_are_removed_first(tmp_path: Path, options: dict[str, int], left: set[str]) -> None:
    files_of(tmp_path, {"old.npz": 2000, "new.npz": 10, "middle.npz": 900})
    (tmp_path / ".new.host-1-2-abc.tmp.npz").write_bytes(bytes(5000))  # another process is writing it
    remove_kept(tmp_path, **options)
    assert {path.name for path in tmp_path.glob("[!.]*")} == left
    assert (tmp_path / ".new.host-1-2-abc.tmp.npz").exists()


def test_a_full_cache_makes_room_and_reading_counts_as_use(tmp_path: Path) -> None:
    statistics = FeatureStatistics(4, ["bank"])
    statistics.update(torch.randn(100, 4))
    cache = StatisticsCache(tmp_path, limit=6000)  # two files of about 2,600 bytes
    for name in "abc":
        cache.save({"images": name}, statistics)
        for path in tmp_path.glob("*.npz"):
            used = path.stat().st_mtime - 100
            os.utime(path, (used, used))
        assert cache.load({"images": "a"}, FeatureStatistics(4, ["bank"])) is not None
    found = [cache.load({"images": name}, FeatureStatistics(4, ["bank"])) is not None for name in "abc"]
    assert found == [True, False, True]
    StatisticsCache(tmp_path, limit=100).save({"images": "d"}, statistics)  # larger than the limit: not kept at all
    assert cache.load({"images": "d"}, FeatureStatistics(4, ["bank"])) is None


WORK = """
import sys, torch
from pathlib import Path
from sgkit.metrics.cache import StatisticsCache
from sgkit.metrics.statistics import FeatureStatistics
cache, own = StatisticsCache(Path(sys.argv[1]), limit=8000), FeatureStatistics(4, ["bank"])
own.update(torch.ones(100, 4))
for turn in range(25):
    cache.save({"images": f"{turn % 5}"}, own)
    for name in range(5):
        found = cache.load({"images": f"{name}"}, FeatureStatistics(4, ["bank"]))
        assert found is None or found.num == 100
"""


def test_processes_that_fill_and_clear_one_cache_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGKIT_CACHE", str(tmp_path))
    folder = cache_folder("statistics")
    running = [subprocess.Popen([sys.executable, "-c", WORK, str(folder)]) for _ in range(2)]
    while any(one.poll() is None for one in running):
        clear_kept()
    assert [one.wait(timeout=60) for one in running] == [0, 0]
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) <= 8000
    assert not list(folder.glob(".*"))
