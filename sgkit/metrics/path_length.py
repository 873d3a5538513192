"""Perceptual path length: how far images change, by a perceptual distance, for a small step through latent space.

Karras et al., "A style-based generator architecture for generative adversarial networks", 2019, section 4.1: the mean
of ``d(G(t), G(t + epsilon)) / epsilon^2`` over random paths, in z along great circles, in w along lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgkit.errors import InputError
from sgkit.model import Model
from sgkit.model.noise import SeededNoise

Floats = NDArray[np.float64]
ImageDistance = Callable[[Tensor, Tensor], Tensor]
"""Squared distances [N] of two batches of float images [N, C, H, W] in [0, 255], neither rounded nor clamped."""
Crop = Literal["none", "ada", "tf"]
"""The part of the image that counts: all; or the face of aligned portraits, cropped before or after the reduction to
256 pixels is chosen (StyleGAN2-ADA's code and the original in TensorFlow differ in this, above 256 pixels)."""
EPSILON = 1e-4
NATIVE_SIZE = 256
"""Larger images are reduced by a whole factor towards this side."""


@dataclass(frozen=True, kw_only=True)
class PathLengthSpec:
    """Which paths, and which part of the images."""

    space: Literal["z", "w"]
    sampling: Literal["full", "end"]
    """``full``: anywhere on a path; ``end``: at its start, so that latents are those of real samples."""
    crop: Crop = "none"
    epsilon: float = EPSILON


@dataclass(frozen=True, kw_only=True)
class PathLength:
    """Result of :func:`path_length`."""

    mean: float
    standard_error: float
    num: int
    """Paths."""
    num_rejected: int
    """Paths below the first or above the last percentile."""


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points [N, D] on the great circles from ``a`` to ``b`` [N, D], a share ``t`` [N] of the way, of length sqrt(D).

    Shoemake, 1985. Lengths are made equal, so networks that normalise z are not affected, and the points are as long as
    samples of others.
    """
    a, b = (v / v.norm(dim=1, keepdim=True) for v in (a, b))
    cosine = (a * b).sum(dim=1, keepdim=True)
    across = b - cosine * a
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-12)
    angle = t[:, None] * cosine.clamp(-1, 1).acos()
    points: Tensor = a * angle.cos() + across * angle.sin()
    lengths: Tensor = points.norm(dim=1, keepdim=True) / a.shape[1] ** 0.5
    return points / lengths


def path_ends(
    model: Model, spec: PathLengthSpec, part: range, *, labels: Tensor | None = None, psi: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """w+ [N, num_ws, w_dim] at t and at t + epsilon, for the paths numbered ``part``.

    Path i goes from the latent of seed ``2 i`` to that of ``2 i + 1``, at a place drawn from ``seed`` and i.
    """
    first, second = (model.sample_z([2 * index + side for index in part]) for side in (0, 1))
    label = None if labels is None else labels[part.start : part.stop].to(first.device)
    places = [0.0 if spec.sampling == "end" else np.random.default_rng([seed, index]).random() for index in part]
    t = torch.tensor(places, dtype=torch.float32, device=first.device)
    if spec.space == "z":
        starts, ends = slerp(first, second, t), slerp(first, second, t + spec.epsilon)
        return model.map(starts, label, psi=psi), model.map(ends, label, psi=psi)
    a, b = model.map(first, label, psi=psi), model.map(second, label, psi=psi)
    t = t.to(a)[:, None, None]
    return torch.lerp(a, b, t), torch.lerp(a, b, t + spec.epsilon)


def cropped(images: Tensor, crop: Crop) -> Tensor:
    """``images`` [N, C, H, W], the part of them that ``crop`` names, reduced to about 256 pixels by averaging."""
    size = images.shape[2]
    if crop != "none":
        rows, columns = size // 8, images.shape[3] // 8
        images = images[:, :, rows * 3 : rows * 7, columns * 2 : columns * 6]
    factor = (images.shape[2] if crop == "tf" else size) // NATIVE_SIZE
    if factor > 1:
        images = torch.nn.functional.avg_pool2d(images, factor)
    return images


@torch.no_grad()
def path_distances(
    model: Model,
    distance: ImageDistance,
    spec: PathLengthSpec,
    part: range,
    *,
    batch: int = 8,
    labels: Tensor | None = None,
    psi: float = 1.0,
    seed: int = 0,
) -> Iterator[Floats]:
    """``d / epsilon^2`` of the paths numbered ``part``, a batch of them at a time.

    Noise is random for every path and the same for both of its images. Results do not depend on ``batch``, nor on how
    the paths are divided between processes, beyond rounding.

    Args:
        model: any generator.
        distance: of images in [0, 255].
        spec: which paths.
        part: numbers of the paths.
        batch: paths at once.
        labels: [number of all paths, label_dim], for conditional models.
        psi: truncation.
        seed: draws the places on the paths.
    """
    for start in range(part.start, part.stop, batch):
        some = range(start, min(start + batch, part.stop))
        noise = SeededNoise(seeds=list(some))
        ends = path_ends(model, spec, some, labels=labels, psi=psi, seed=seed)
        images = [
            cropped((model.synthesize(ws, noise=noise).float() + 1) * 127.5, spec.crop).expand(
                -1, _shown(model), -1, -1
            )
            for ws in ends
        ]
        found: Floats = distance(images[0], images[1]).double().cpu().numpy() / spec.epsilon**2
        yield found


def _shown(model: Model) -> int:
    """Channels of the images that are compared: grey is repeated."""
    return 3 if model.config.image_channels == 1 else model.config.image_channels


def path_length(distances: Floats) -> PathLength:
    """The mean of ``distances`` [N] from the 1st to the 99th percentile, both included.

    Raises:
        InputError: there is none, or one is not finite.
    """
    if not len(distances) or not np.isfinite(distances).all():
        broken = int((~np.isfinite(distances)).sum())
        raise InputError(
            f"A path length needs finite distances; {broken} of {len(distances)} are NaN or infinite. The model or the "
            "feature network is broken; check the model with: sgkit info MODEL"
        )
    lowest = np.percentile(distances, 1, method="lower")
    highest = np.percentile(distances, 99, method="higher")
    kept = distances[(distances >= lowest) & (distances <= highest)]
    error = float(kept.std(ddof=1) / np.sqrt(len(kept))) if len(kept) > 1 else float("nan")
    rejected = len(distances) - len(kept)
    return PathLength(mean=float(kept.mean()), standard_error=error, num=len(distances), num_rejected=rejected)
