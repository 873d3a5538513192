"""Configuration of what goes on around the training loop: snapshots kept, metrics, what to do when a run falls ill."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgkit.config.base import Config, Count, Kimg
from sgkit.config.messages import LARGEST
from sgkit.config.words import CollapsePolicy, NonFinitePolicy

_Share = Annotated[float, Field(gt=0, le=1)]


class KeepConfig(Config):
    """Which snapshots stay on the disk."""

    last: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """The newest so many; ``none``: all."""
    best: bool = True
    """The one that is best by the first metric stays, too, however old it is."""


class MetricsConfig(Config):
    """Metrics measured during training, on the averaged generator."""

    names: tuple[str, ...] = ()
    """Metrics as ``sgkit metrics`` knows them; the first one decides which snapshot is best."""
    every_kimg: Kimg | None = None
    """Thousands of images between measurements, each of which is of a snapshot; ``none``: at every snapshot."""
    num_images: Annotated[int, Field(ge=2, le=1 << 30)] | None = None
    """Images generated for a measurement; ``none``: the metric's own number."""


class HealthConfig(Config):
    """What counts as ill, and what is done about it. Averages are over windows of ``window_kimg``."""

    nonfinite: NonFinitePolicy = "rollback"
    """A loss or gradient is infinite or no number: go back to the last snapshot with lower learning rates, leave the
    update out, or stop."""
    collapse: CollapsePolicy = "warn"
    """One of the signs below: say so and go on, go back to the last snapshot with lower learning rates, or stop."""
    rollback_lr_factor: _Share = 0.5
    """Going back multiplies both learning rates by this, for the rest of the run."""
    max_rollbacks: Count = 3
    """A run that has gone back so often stops the next time."""
    window_kimg: Kimg = 4.0
    saturated_sign: _Share = 0.98
    """D is saturated where the mean signs of its logits are beyond this on real images, and beyond its negative on
    generated ones; G is where D takes its images for real as surely. Only of losses whose logits have such a sign."""
    min_diversity: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """G has collapsed where its samples differ from each other less than this fraction of what training images do, and
    half of what they did once."""
    path_length_growth: Annotated[float, Field(gt=1)] = 10.0
    """Path lengths explode where a window's mean is so many times that of the window before."""
