"""Settings of a projection, and the two schedules that follow from them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config, Count, Share, Weight

LossName = Literal["features", "pixels", "both"]


_Times = Annotated[int, Field(ge=1, le=10**9)]


class ProjectSettings(Config):
    """How a picture's latent is searched. The defaults are those of StyleGAN2, appendix D, but for the loss."""

    space: Literal["w", "w+"] = "w"
    """``w``: one w for all layers, stays editable; ``w+``: one for each, comes closer."""
    loss: LossName = "both"
    """What likeness is: ``features`` of the model's own discriminator, ``pixels``, or ``both``."""
    pixel_weight: Weight = 10.0
    """Weight of the pixels' mean squared error in ``both``, where the features' distance weighs 1."""
    steps: _Times = 1000
    lr: Weight = 0.1
    """The highest learning rate of Adam."""
    lr_rampup: Share = 0.05
    """Fraction of the steps in which the learning rate rises from 0, linearly."""
    lr_rampdown: Share = 0.25
    """Fraction of the steps in which it falls to 0, along a cosine."""
    initial_noise: Weight = 0.05
    """Deviation of the noise on w at the start, in deviations of w over the latent distribution."""
    noise_ramp: Share = 0.75
    """Fraction of the steps after which that noise is gone."""
    w_samples: _Times = 10_000
    """Latents that mean and deviation of w are taken from."""
    optimize_noise: bool = True
    """Also search the noise maps of the layers."""
    noise_weight: Weight = 1e5
    """Weight of the noise maps' regularization."""
    seed: Count = 0
    """Draws the first noise maps and the noise on w."""


def learning_rate(step: int, settings: ProjectSettings) -> float:
    """The learning rate of a step, 0 to ``steps - 1`` (StyleGAN2, appendix D)."""
    t = step / settings.steps
    down = min(1.0, (1 - t) / settings.lr_rampdown) if settings.lr_rampdown > 0 else 1.0
    up = min(1.0, t / settings.lr_rampup) if settings.lr_rampup > 0 else 1.0
    return settings.lr * (0.5 - 0.5 * math.cos(math.pi * down)) * up


def exploration(step: int, settings: ProjectSettings) -> float:
    """Deviation of the noise on w at a step, in deviations of w (StyleGAN2, appendix D)."""
    left = max(0.0, 1 - step / settings.steps / settings.noise_ramp) if settings.noise_ramp > 0 else 0.0
    return settings.initial_noise * left**2
