"""Comparisons of a found image with its target that are reported beside PSNR and SSIM.

To add one, put a function into :data:`MEASURES`: it appears in every ``metrics.json``, in the table and in the report.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sgkit.config.project import ProjectSettings
from sgkit.inversion.losses import absolute_error, distance_to, features_distance
from sgkit.metrics.effnet import PACKAGE as EFFNET_PACKAGE
from sgkit.model import Model

Measure = Callable[[Tensor, Tensor, Model], Tensor | None]
"""Images and targets [N, C, H, W] (-1 to 1), and the model -> a number for each [N]; ``None``: not measurable here."""


def _features(images: Tensor, targets: Tensor, model: Model) -> Tensor | None:
    return None if model.discriminator is None else features_distance(targets, model.discriminator)(images)


def _effnet(images: Tensor, targets: Tensor, model: Model) -> Tensor | None:
    if importlib.util.find_spec(EFFNET_PACKAGE) is None:
        return None
    return distance_to(targets, model, ProjectSettings(loss="effnet"))(images)


MEASURES: dict[str, Measure] = {
    "l1": lambda images, targets, model: absolute_error(images, targets),  # noqa: ARG005
    "features": _features,
    "effnet": _effnet,
}
"""Name -> measure."""


@torch.no_grad()
def measured(images: Tensor, targets: Tensor, model: Model) -> dict[str, Tensor]:
    """All :data:`MEASURES` that can be taken, [N] each."""
    found = {name: measure(images.clamp(-1, 1), targets, model) for name, measure in MEASURES.items()}
    return {name: value for name, value in found.items() if value is not None}


@torch.no_grad()
def loss_terms(images: Tensor, targets: Tensor, model: Model, settings: ProjectSettings) -> dict[str, Tensor]:
    """Each term of the loss by itself, without its weight: [N] each."""
    return {name: distance_to(targets, model, replace(settings, loss=name))(images) for name in settings.terms()}
