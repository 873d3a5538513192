"""Statistics kept between runs, under a key of all that they depend on: content, not names or paths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgkit.config.metric_row import Statistic
from sgkit.errors import CheckpointError
from sgkit.metrics.statistics import FeatureStatistics
from sgkit.unpickle.budget import bad_data
from sgkit.unpickle.kept import load_arrays, save_arrays

MOST_BYTES = 1 << 30
"""Larger statistics (patches of many images) are computed again: they would fill the disk."""
FORMAT = 1
"""Part of every key: raise it when features or statistics are computed differently."""


@dataclass(frozen=True)
class StatisticsCache:
    """A folder of ``.npz`` files without pickles, one for each key and statistic; many processes may share it."""

    folder: Path

    def load(self, key: Mapping[str, Any], wanted: FeatureStatistics) -> FeatureStatistics | None:
        """Statistics like ``wanted`` that were kept under ``key``; ``None`` if one is missing or its file is damaged.

        ``key`` is plain values, as JSON has them: content hash of the images, content id of the extractor, count.
        """
        arrays: dict[Statistic, Mapping[str, NDArray[np.generic]]] = {}
        for statistic in sorted(wanted.statistics):
            text = _key_text(key, statistic)
            held = load_arrays(self._path(text), text)
            if held is None:
                return None
            arrays[statistic] = held
        try:
            with bad_data("it"):
                return FeatureStatistics.from_arrays(wanted.dim, arrays)
        except CheckpointError:
            return None

    def save(self, key: Mapping[str, Any], found: FeatureStatistics) -> None:
        """Keep ``found`` under ``key``."""
        for statistic in sorted(found.statistics):
            text, arrays = _key_text(key, statistic), found.to_arrays(statistic)
            if sum(array.nbytes for array in arrays.values()) <= MOST_BYTES:
                save_arrays(self._path(text), text, arrays)

    def _path(self, text: str) -> Path:
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.npz"


def _key_text(key: Mapping[str, Any], statistic: Statistic) -> str:
    return json.dumps({"format": FORMAT, "statistic": statistic, **key}, sort_keys=True)
