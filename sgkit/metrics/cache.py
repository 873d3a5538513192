"""Statistics kept between runs, under a key of all that they depend on: content, not names or paths."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
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
FOLDER_BYTES = 20 << 30
"""Most bytes of all statistics together; those that were not used for the longest time are removed."""
LIMIT_VARIABLE = "SGKIT_STATISTICS_SIZE"
"""Environment variable that sets another limit, for example ``5GiB``."""
FORMAT = 1
"""Part of every key: raise it when features or statistics are computed differently."""


@dataclass(frozen=True)
class StatisticsCache:
    """A folder of ``.npz`` files without pickles, one for each key and statistic; many processes may share it."""

    folder: Path
    limit: int = FOLDER_BYTES
    """Most bytes of all files together."""

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
            with suppress(OSError):  # removed just now, or the folder is read-only
                os.utime(self._path(text))  # the time of the last use, by which old files are removed
            arrays[statistic] = held
        try:
            with bad_data("it"):
                return FeatureStatistics.from_arrays(wanted.dim, arrays)
        except CheckpointError:
            return None

    def save(self, key: Mapping[str, Any], found: FeatureStatistics) -> None:
        """Keep ``found`` under ``key``, and remove what was not used for the longest time if the folder is full."""
        for statistic in sorted(found.statistics):
            text, arrays = _key_text(key, statistic), found.to_arrays(statistic)
            if sum(array.nbytes for array in arrays.values()) <= min(MOST_BYTES, self.limit):
                save_arrays(self._path(text), text, arrays)
        remove_kept(self.folder, most_bytes=self.limit)

    def _path(self, text: str) -> Path:
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.npz"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the cache."""

    path: Path
    size: int
    """Bytes."""
    used: float
    """When it was last written or read, in seconds as ``time.time`` counts them."""


def kept_files(folder: Path) -> list[Entry]:
    """The files of a cache; without those that other processes are writing, or removed meanwhile."""
    found = []
    for path in folder.glob("[!.]*.npz"):  # temporary files begin with a dot
        with suppress(FileNotFoundError):
            facts = path.stat()
            found.append(Entry(path=path, size=facts.st_size, used=facts.st_mtime))
    return sorted(found, key=lambda one: (one.used, one.path))


def remove_kept(folder: Path, *, most_bytes: int | None = None, unused_for: float | None = None) -> list[Entry]:
    """Remove files of a cache; which were removed.

    A process that reads a file meanwhile is not disturbed; one that looks for it later computes its content again.

    Args:
        folder: of the cache.
        most_bytes: remove those that were not used for the longest time, until the others have at most this many bytes.
        unused_for: remove those that were not used for this many seconds.
    """
    files, removed, now = kept_files(folder), [], time.time()
    left = sum(one.size for one in files)
    for one in files:
        too_many = most_bytes is not None and left > most_bytes
        too_old = unused_for is not None and now - one.used > unused_for
        if too_many or too_old:
            with suppress(OSError):  # another process removed it, or (on Windows) reads it
                one.path.unlink()
                removed.append(one)
            left -= one.size
    return removed


def _key_text(key: Mapping[str, Any], statistic: Statistic) -> str:
    return json.dumps({"format": FORMAT, "statistic": statistic, **key}, sort_keys=True)
