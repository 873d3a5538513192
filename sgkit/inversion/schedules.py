"""What changes over the steps of a projection."""

from __future__ import annotations

import math

from sgkit.config.project import ProjectSettings


def learning_rate(step: int, settings: ProjectSettings) -> float:
    """The learning rate of a step, 0 to ``steps - 1`` (StyleGAN2, appendix D)."""
    t = step / settings.steps
    down = min(1.0, (1 - t) / settings.lr_rampdown) if settings.lr_rampdown > 0 else 1.0
    up = min(1.0, t / settings.lr_rampup) if settings.lr_rampup > 0 else 1.0
    return settings.lr * (0.5 - 0.5 * math.cos(math.pi * down)) * up


def exploration(step: int, settings: ProjectSettings) -> float:
    """Deviation of the noise on the latent at a step, in deviations of its distribution (StyleGAN2, appendix D)."""
    left = max(0.0, 1 - step / settings.steps / settings.noise_ramp) if settings.noise_ramp > 0 else 0.0
    return settings.initial_noise * left**2


def coarseness(step: int, settings: ProjectSettings) -> int:
    """Side of the squares that are compared at a step: 4, then 2, then 1 pixels."""
    left = step / settings.steps if settings.steps else 1.0
    return 4 if left < settings.coarse / 2 else 2 if left < settings.coarse else 1
