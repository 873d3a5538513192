"""Settings of a projection, and the two schedules that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sgkit.config import check_settings
from sgkit.errors import UsageError

LossName = Literal["features", "pixels", "both"]


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """How a picture's latent is searched. The defaults are those of StyleGAN2, appendix D, but for the loss."""

    space: Literal["w", "w+"] = "w"
    """``w``: one w for all layers, stays editable; ``w+``: one for each, comes closer."""
    loss: LossName = "both"
    """What likeness is: ``features`` of the model's own discriminator, ``pixels``, or ``both``."""
    pixel_weight: float = 10.0
    """Weight of the pixels' mean squared error in ``both``, where the features' distance weighs 1."""
    steps: int = 1000
    lr: float = 0.1
    """The highest learning rate of Adam."""
    lr_rampup: float = 0.05
    """Fraction of the steps in which the learning rate rises from 0, linearly."""
    lr_rampdown: float = 0.25
    """Fraction of the steps in which it falls to 0, along a cosine."""
    initial_noise: float = 0.05
    """Deviation of the noise on w at the start, in deviations of w over the latent distribution."""
    noise_ramp: float = 0.75
    """Fraction of the steps after which that noise is gone."""
    w_samples: int = 10_000
    """Latents that mean and deviation of w are taken from."""
    optimize_noise: bool = True
    """Also search the noise maps of the layers."""
    noise_weight: float = 1e5
    """Weight of the noise maps' regularization."""
    seed: int = 0
    """Draws the first noise maps and the noise on w."""

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("steps", "w_samples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        for name in ("lr", "pixel_weight", "noise_weight", "initial_noise"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name):g}; it must be 0 or more.")
        for name in ("lr_rampup", "lr_rampdown", "noise_ramp"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name):g}; it must be between 0 and 1.")


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
