"""Perceptual distances of float images, for path lengths: smooth, so images are not rounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.metrics.effnet import EffnetExtractor
from sgkit.metrics.path_length import ImageDistance
from sgkit.metrics.perceptual import PerceptualName, load_perceptual
from sgkit.runtime.progress import OnProgress, ignore_progress


def effnet_distance(device: torch.device | str = "cpu") -> ImageDistance:
    """Squared Euclidean distance of EfficientNet-Lite0's pooled features: an offline stand-in for LPIPS."""
    extractor = EffnetExtractor(device)

    @torch.inference_mode()
    def distance(first: Tensor, second: Tensor) -> Tensor:
        a, b = (extractor.of_floats(images).double() for images in (first, second))
        return (a - b).square().sum(dim=1)

    return distance


def perceptual_distance(
    name: PerceptualName, device: torch.device | str = "cpu", *, on_progress: OnProgress = ignore_progress
) -> ImageDistance:
    """The perceptual distance called ``name``; that of NVIDIA's metrics is ``vgg``."""
    network = load_perceptual(name, device, on_progress=on_progress)

    @torch.inference_mode()
    def distance(first: Tensor, second: Tensor) -> Tensor:
        found: Tensor = network(*(images.float().to(device) / 127.5 - 1 for images in (first, second)))
        return found.double()

    return distance


DISTANCES: dict[str, Callable[[torch.device, OnProgress], ImageDistance]] = {
    "effnet": lambda device, _: effnet_distance(device),
    "lpips_vgg": lambda device, on_progress: perceptual_distance("vgg", device, on_progress=on_progress),
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
