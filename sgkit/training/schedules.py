"""What changes with the number of images shown, as plain functions of it. Loads no torch."""

from __future__ import annotations

import math

__all__ = ["crossed", "ema_beta", "lazy_adam"]


def ema_beta(*, batch: int, images: int, ema_kimg: float, ema_rampup: float | None = None) -> float:
    """Decay of the moving average for one step of ``batch`` images: ``0.5 ** (batch / half-life)``.

    The half-life is ``ema_kimg`` thousand images, at most ``ema_rampup`` times the ``images`` shown so far. It makes
    the average independent of the batch size (StyleGAN2, appendix B).
    """
    half_life = ema_kimg * 1000.0
    if ema_rampup is not None:
        half_life = min(half_life, images * ema_rampup)
    return math.pow(0.5, batch / max(half_life, 1e-8))


def lazy_adam(lr: float, betas: tuple[float, float], *, interval: int | None) -> tuple[float, tuple[float, float]]:
    """Learning rate and betas of an Adam that also takes a regularization step each ``interval`` steps.

    With ``c = interval / (interval + 1)`` they are ``c * lr`` and ``beta ** c`` (StyleGAN2, appendix B), so that the
    distance moved and the memory per training image stay as without the extra steps. ``None``: no extra steps.
    """
    if interval is None:
        return lr, betas
    c = interval / (interval + 1)
    return lr * c, (betas[0] ** c, betas[1] ** c)


def crossed(before: int, now: int, *, kimg: float) -> bool:
    """Whether the count of images passed a multiple of ``kimg`` thousand on the way from ``before`` to ``now``."""
    unit = kimg * 1000.0
    return math.floor(now / unit) > math.floor(before / unit)
