"""How far pictures are from the ones they shall resemble: weighted sums of distances."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.config.project import ProjectSettings
from sgkit.errors import UsageError
from sgkit.inversion.network_losses import Distance as Distance
from sgkit.inversion.network_losses import by_identity, by_network
from sgkit.metrics.networks import wide
from sgkit.metrics.perceptual import PERCEPTUAL
from sgkit.model import Discriminator, Model

SSIM_SIDE = 11
SSIM_SIGMA = 1.5
"""Side and deviation of the window of SSIM (Wang et al. 2004)."""
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from fine to coarse (Wang, Simoncelli and Bovik 2003)."""


def distance_to(targets: Tensor, model: Model, settings: ProjectSettings) -> Distance:
    """The distance to ``targets`` [N, C, H, W] (-1 to 1) that ``settings.loss`` names.

    Raises:
        UsageError: features were asked for, but the model's file holds no discriminator; or images are too small.
    """
    terms = [(weight, _BUILDERS[name](targets, model)) for name, weight in settings.terms().items()]

    def distance(images: Tensor) -> Tensor:
        parts = [term(images) if weight == 1 else term(images) * weight for weight, term in terms]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)

    return distance


# ----------------------------------------------------------------------------------------------- pixels


def pixel_error(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of each image [N], in the networks' range of -1 to 1."""
    return (wide(images) - wide(targets)).square().mean(dim=(1, 2, 3))


def absolute_error(images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute error of each image [N], in the networks' range of -1 to 1."""
    return (wide(images) - wide(targets)).abs().mean(dim=(1, 2, 3))


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity of each image [N], 1 for equal ones (Wang et al. 2004), for values from -1 to 1.

    Gaussian window of 11 pixels (less in smaller images), deviation 1.5, K 0.01 and 0.03, borders left out.
    """
    return _ssim_maps(images, targets)[0].mean(dim=(1, 2, 3))


def ms_ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Multi-scale structural similarity [N] (Wang, Simoncelli and Bovik 2003): over as many of 5 scales as fit.

    Raises:
        UsageError: images are smaller than the window.
    """
    fitting = [scale for scale in range(5) if min(images.shape[2:]) >> scale >= SSIM_SIDE]
    if not fitting:
        raise UsageError(f"ms-ssim needs images of {SSIM_SIDE} pixels or more; these have {min(images.shape[2:])}.")
    weights = wide(images).new_tensor([MS_SSIM_WEIGHTS[scale] for scale in fitting])
    weights = weights * (sum(MS_SSIM_WEIGHTS) / weights.sum())  # the published ones, where all scales fit
    found = []
    for scale in fitting:
        whole, contrast = _ssim_maps(images, targets)
        found.append((whole if scale == fitting[-1] else contrast).mean(dim=(1, 2, 3)).clamp(min=1e-6))
        images, targets = F.avg_pool2d(images, 2), F.avg_pool2d(targets, 2)
    return (torch.stack(found, dim=1).log() * weights).sum(dim=1).exp()


def _ssim_maps(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM, and its contrast and structure alone, at every place of a window."""
    images, targets = wide(images), wide(targets)
    side = min(SSIM_SIDE, *images.shape[2:])
    offsets = torch.arange(side).to(images) - (side - 1) / 2
    window = (-0.5 * (offsets / SSIM_SIGMA).square()).exp()
    window = window / window.sum()
    count, channels = images.shape[:2]
    stack = torch.cat([images, targets, images * images, targets * targets, images * targets])
    flat = stack.reshape(-1, 1, *stack.shape[2:])
    flat = F.conv2d(F.conv2d(flat, window[None, None, :, None]), window[None, None, None, :])
    x, y, xx, yy, xy = flat.reshape(5, count, channels, *flat.shape[2:])
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    contrast = (2 * (xy - x * y) + c2) / ((xx - x * x) + (yy - y * y) + c2)
    return (2 * x * y + c1) / (x * x + y * y + c1) * contrast, contrast


# --------------------------------------------------------------------------------------------- features


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
    return [wide(found[name]) for name in layers]


def _by_features(targets: Tensor, model: Model) -> Distance:
    if model.discriminator is None:
        raise UsageError(
            "This model's file holds no discriminator, whose features the loss 'features' compares. "
            "Use the loss 'pixels' (--loss pixels), or a file with the discriminator in it."
        )
    return features_distance(targets, model.discriminator)


def _paired(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Model], Distance]:
    return lambda targets, model: lambda images: measure(images, targets)  # noqa: ARG005


_BUILDERS: Mapping[str, Callable[[Tensor, Model], Distance]] = {
    "features": _by_features,
    "pixels": _paired(pixel_error),
    "l1": _paired(absolute_error),
    "ssim": _paired(lambda images, targets: 1 - ssim(images, targets)),
    "ms-ssim": _paired(lambda images, targets: 1 - ms_ssim(images, targets)),
    **{name: by_network(name) for name in PERCEPTUAL},
    "identity": by_identity,
}
"""Name of a loss, of :data:`sgkit.config.project.LOSSES` -> what makes the distance to some targets."""
