"""What changes with the number of images shown, as functions of that number. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sgkit.config import BASE_RESOLUTION, GrowthConfig, ModelConfig, TrainConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Size, batch and learning rate at some number of images."""

    lod: float
    """Doublings that the networks still leave out; a fraction while a resolution fades in."""
    size: tuple[int, int]
    """Height and width of the images trained on."""
    batch: int
    """Images per step over all processes."""
    lr_factor: float
    """What multiplies both learning rates."""

    @property
    def left_out(self) -> int:
        """Whole doublings left out."""
        return math.floor(self.lod)

    @property
    def plateau(self) -> tuple[int, int]:
        """Changes whenever a fade begins or ends."""
        return math.floor(self.lod), math.ceil(self.lod)


def stage_at(images: int, model: ModelConfig, train: TrainConfig) -> Stage:
    """The stage of a run that has shown ``images`` images."""
    growth = train.growth
    if growth is None:
        return Stage(lod=0.0, size=model.image_size, batch=train.batch, lr_factor=1.0)
    lod = growth_lod(images, growth, num_doublings=model.num_doublings)
    left_out = math.floor(lod)
    level = model.num_doublings - left_out
    height, width = model.image_size
    return Stage(
        lod=lod,
        size=(height >> left_out, width >> left_out),
        batch=_at_level(growth.batches, level, train.batch),
        lr_factor=_at_level(growth.lr_factors, level, 1.0),
    )


def stages(model: ModelConfig, train: TrainConfig) -> list[Stage]:
    """One stage for each size that a run trains on: what all its steps must fit."""
    if train.growth is None:
        return [stage_at(0, model, train)]
    phase = (train.growth.stable_kimg + train.growth.fade_kimg) * 1000.0
    return [stage_at(math.ceil(phase * number), model, train) for number in range(model.num_doublings + 1)]


def growth_lod(images: int, growth: GrowthConfig, *, num_doublings: int) -> float:
    """Doublings left out after ``images``: whole while nothing fades, falling by 1 in each fade (ProGAN, section 2)."""
    first = _first_lod(growth, num_doublings)
    stable, fade = growth.stable_kimg * 1000.0, growth.fade_kimg * 1000.0
    phases, within = divmod(images, stable + fade)
    faded = max(within - stable, 0.0) / fade if fade > 0 else 0.0
    return max(first - phases - faded, 0.0)


def images_since_growth(images: int, growth: GrowthConfig, *, num_doublings: int) -> int | None:
    """How many of the ``images`` were shown since the newest layers began to fade in, or since the beginning.

    ``None``: nothing grows, since the run begins at full size.
    """
    first = _first_lod(growth, num_doublings)
    if first == 0:
        return None
    stable, fade = growth.stable_kimg * 1000.0, growth.fade_kimg * 1000.0
    fades = min(math.floor((images + fade) / (stable + fade)), first)
    return images - math.ceil(max(fades * (stable + fade) - fade, 0.0))


def average_beta(images: int, stage: Stage, model: ModelConfig, train: TrainConfig) -> float:
    """Decay of the generator's moving average in the step that ends after ``images``.

    With growing networks, the average of new layers would otherwise mostly be their initial weights.
    """
    if train.ema_decay is not None:
        return train.ema_decay
    beta = ema_beta(batch=stage.batch, images=images, ema_kimg=train.ema_kimg, ema_rampup=train.ema_rampup)
    if train.growth is None or train.growth.ema_rampup is None:
        return beta
    since = images_since_growth(images, train.growth, num_doublings=model.num_doublings)
    if since is None:
        return beta
    bound = ema_beta(batch=stage.batch, images=since, ema_kimg=train.ema_kimg, ema_rampup=train.growth.ema_rampup)
    return min(beta, bound)


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
    """Learning rate and betas of an Adam that also makes a regularization step every ``interval`` steps.

    With ``c = interval / (interval + 1)`` they are ``c * lr`` and ``beta ** c`` (StyleGAN2, appendix B), so that the
    distance moved and the memory per training image stay as without the extra steps. ``None``: no extra steps.
    """
    if interval is None:
        return lr, betas
    c = interval / (interval + 1)
    return lr * c, (betas[0] ** c, betas[1] ** c)


def blur_sigma(images: int, *, sigma: float, kimg: float) -> float:
    """Width of the blur before D after ``images``: falls linearly from ``sigma`` to 0 in ``kimg`` (StyleGAN3)."""
    return max(1.0 - images / (kimg * 1000.0), 0.0) * sigma


def crossed(before: int, now: int, *, kimg: float) -> bool:
    """Whether the count of images passed a multiple of ``kimg`` thousand on the way from ``before`` to ``now``."""
    unit = kimg * 1000.0
    return math.floor(now / unit) > math.floor(before / unit)


def _first_lod(growth: GrowthConfig, num_doublings: int) -> int:
    """Doublings left out at the beginning."""
    return max(num_doublings - (growth.start_resolution // BASE_RESOLUTION).bit_length() + 1, 0)


def _at_level(values: Sequence[T], level: int, default: T) -> T:
    return values[min(level, len(values) - 1)] if values else default
