"""Weights of third-party networks: what they are, where they come from, under which licence, and where they are kept.

Nothing is downloaded before it is needed. A file is used only if its sha256 is right: it is hashed when it arrives, and
on first use in every process. The network that needs it loads it (tensors only, never code).
"""

from sgkit.weights.fetching import CACHE_VARIABLE, download
from sgkit.weights.files import (
    MIRROR_VARIABLE,
    WeightsStatus,
    add_weights,
    cache_folder,
    check_file,
    fetch_weights,
    weights_named,
    weights_path,
    weights_status,
)
from sgkit.weights.table import WEIGHTS, Weights

__all__ = [
    "CACHE_VARIABLE",
    "MIRROR_VARIABLE",
    "WEIGHTS",
    "Weights",
    "WeightsStatus",
    "add_weights",
    "cache_folder",
    "check_file",
    "download",
    "fetch_weights",
    "weights_named",
    "weights_path",
    "weights_status",
]
