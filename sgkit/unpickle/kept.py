"""Arrays kept between runs in ``.npz`` files, under a key of all that they depend on: content, not names or paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import CheckpointError
from sgkit.runtime.files import atomic_path
from sgkit.unpickle.npz import Array, read_npz


def load_arrays(path: Path, key: str) -> dict[str, Array] | None:
    """The arrays kept in ``path`` under ``key``; ``None``: not there, of another key, or damaged."""
    try:
        arrays = read_npz(path)
        return arrays if str(arrays.pop("key")) == key else None
    except (OSError, KeyError, CheckpointError):
        return None


def save_arrays(path: Path, key: str, arrays: Mapping[str, Array]) -> None:
    """Keep ``arrays``, whole or not at all; processes may do so at the same time."""
    held: dict[str, Any] = {"key": np.array(key), **arrays}
    with atomic_path(path) as temporary:
        np.savez(temporary, **held)
