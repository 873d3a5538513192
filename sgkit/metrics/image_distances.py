"""Perceptual distances of float images, for path lengths: smooth, so images are not rounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.metrics.effnet import EffnetExtractor
from sgkit.metrics.path_length import ImageDistance
from sgkit.runtime.progress import OnProgress, ignore_progress


def effnet_distance(device: torch.device | str = "cpu") -> ImageDistance:
    """Squared Euclidean distance of EfficientNet-Lite0's pooled features: an offline stand-in for LPIPS."""
    extractor = EffnetExtractor(device)

    @torch.inference_mode()
    def distance(first: Tensor, second: Tensor) -> Tensor:
        a, b = (extractor.of_floats(images).double() for images in (first, second))
        return (a - b).square().sum(dim=1)

    return distance


DISTANCES: dict[str, Callable[[torch.device, OnProgress], ImageDistance]] = {
    "effnet": lambda device, _: effnet_distance(device),
}
"""Name of a perceptual distance -> loads its network."""


def load_distance(
    name: str, device: torch.device | str = "cpu", *, on_progress: OnProgress = ignore_progress
) -> ImageDistance:
    """The distance called ``name``, a key of :data:`DISTANCES`.

    Raises:
        UsageError: there is none.
        MissingDependencyError: it needs a package that is not installed.
        WeightsError: its weights cannot be downloaded.
    """
    if name not in DISTANCES:
        raise UsageError(f"Unknown perceptual distance {name!r}. Allowed: {', '.join(DISTANCES)}.")
    return DISTANCES[name](torch.device(device), on_progress)
