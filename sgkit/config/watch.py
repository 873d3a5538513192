"""Configuration of what surrounds the training loop: snapshots to keep, metrics, and the response to a failing run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgkit.config.base import Config, Count, Kimg, Text
from sgkit.config.messages import LARGEST
from sgkit.config.words import CollapsePolicy, NonFinitePolicy

_Share = Annotated[float, Field(gt=0, le=1)]


class KeepConfig(Config):
    """Which snapshots stay on disk."""

    last: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """Number of newest snapshots to keep; ``none`` keeps all."""
    best: bool = True
    """Also keep the best snapshot by the first metric, however old it is."""


class MetricsConfig(Config):
    """Metrics measured during training, on the averaged generator."""

    names: tuple[str, ...] = ()
    """Names as in ``sgkit metrics``; the first metric selects the best snapshot."""
    every_kimg: Kimg | None = None
    """Thousands of images between measurements, each made on a snapshot; ``none``: at every snapshot."""
    num_images: Annotated[int, Field(ge=2, le=1 << 30)] | None = None
    """Images generated for a measurement; ``none``: the metric's standard number."""
    patience_kimg: Kimg | None = None
    """End training when the first metric has not improved for this many thousand images; ``none``: never."""


class HealthConfig(Config):
    """Signs of a failing run, and the response to them. Averages are over windows of ``window_kimg``."""

    nonfinite: NonFinitePolicy = "rollback"
    """When a loss or gradient is infinite or NaN: return to the last snapshot with lower learning rates, skip the
    update, or stop."""
    collapse: CollapsePolicy = "warn"
    """On one of the signs below: warn and continue, return to the last snapshot with lower learning rates, or stop."""
    rollback_lr_factor: _Share = 0.5
    """Factor on both learning rates after a rollback, for the rest of the run."""
    max_rollbacks: Count = 3
    """Maximum number of rollbacks; one more stops the run."""
    window_kimg: Kimg = 4.0
    saturated_sign: _Share = 0.98
    """D is saturated when the mean sign of its logits is above this on real images and below its negative on generated
    ones; G is saturated when D is as sure that its images are real. Only for losses whose logits have such a sign."""
    min_diversity: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """G has collapsed when its samples differ from each other by less than this fraction of the difference between
    training images, and by less than half of their own earlier difference."""
    overfit_sign: _Share = 0.8
    """D overfits when the mean sign of its logits on training images (ADA's r_t) is above this, after it has seen each
    image several times. ADA's target is 0.6."""
    overfit_gap: _Share = 0.5
    """D overfits when held-out images score lower than training images by more than this fraction of the difference
    between training and generated images (ADA's r_v); only with ``held_out``."""
    held_out: Text | None = None
    """Store of images that are not trained on, scored by D at each snapshot. A new run on one part of a split
    (``prepare --split train=0.9,val=0.1``) takes the other part; ``none``: no images."""
    max_augment_p: _Share = 0.8
    """ADA's probability above which augmentation has reached its limit: it may begin to show in the samples."""
    path_length_growth: Annotated[float, Field(gt=1)] = 10.0
    """Path lengths explode when the mean of a window exceeds that of the window before by this factor."""
