"""How far pictures are from the ones they shall resemble."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.inversion.settings import ProjectSettings
from sgkit.model import Discriminator, Model

Distance = Callable[[Tensor], Tensor]
"""Images [N, C, H, W] -> distance of each to its target [N]."""


def distance_to(targets: Tensor, model: Model, settings: ProjectSettings) -> Distance:
    """The distance to ``targets`` [N, C, H, W] that ``settings.loss`` names.

    Raises:
        UsageError: features were asked for, but the model's file holds no discriminator.
    """
    if settings.loss == "pixels":
        return lambda images: pixel_error(images, targets)
    if model.discriminator is None:
        raise UsageError(
            f"This model's file holds no discriminator, whose features the loss {settings.loss!r} compares. "
            "Use the loss 'pixels' (--loss pixels), or a file with the discriminator in it."
        )
    by_features = features_distance(targets, model.discriminator)
    if settings.loss == "features":
        return by_features
    return lambda images: by_features(images) + settings.pixel_weight * pixel_error(images, targets)


def pixel_error(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of each image [N], in the networks' range of -1 to 1."""
    return (images.float() - targets.float()).square().mean(dim=(1, 2, 3))


def features_distance(targets: Tensor, discriminator: Discriminator) -> Distance:
    """The mean absolute difference of a discriminator's features, after Pan et al. 2020 (equation 4).

    "Exploiting deep generative prior for versatile image restoration and manipulation" compares pictures by the
    features of the very discriminator that the generator was trained with: it knows what matters in such pictures, and
    no other network is needed. Each layer is divided by the mean magnitude of the target's features, so that all count
    alike.
    """
    layers = feature_layers(discriminator)
    stop = max(spec.index for spec in discriminator.plan if spec.name in layers) + 1
    with torch.no_grad():
        wanted = _features(discriminator, targets, layers, stop)
    scales = [value.abs().mean(dim=(1, 2, 3)).clamp(min=1e-8) for value in wanted]

    def distance(images: Tensor) -> Tensor:
        found = _features(discriminator, images, layers, stop)
        parts = [
            (one - other).abs().mean(dim=(1, 2, 3)) / scale
            for one, other, scale in zip(found, wanted, scales, strict=True)
        ]
        return torch.stack(parts).mean(dim=0)

    return distance


def feature_layers(discriminator: Discriminator) -> tuple[str, ...]:
    """Names of the layers that are compared: the last one of each resolution, without the head."""
    return tuple(spec.name for spec in discriminator.plan if spec.closes_resolution and spec.kind == "conv")


def _features(discriminator: Discriminator, images: Tensor, layers: tuple[str, ...], stop: int) -> list[Tensor]:
    found = discriminator.features(images, stop=stop)
    return [found[name].float() for name in layers]
