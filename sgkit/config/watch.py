"""Configuration of what goes on around the training loop: snapshots kept, metrics, what to do when a run falls ill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sgkit.config.base import LARGEST, Config, require

NonFinitePolicy = Literal["rollback", "skip", "stop"]
CollapsePolicy = Literal["warn", "rollback", "stop"]


@dataclass(frozen=True, kw_only=True)
class KeepConfig(Config):
    """Which snapshots stay on the disk."""

    last: int | None = None
    """The newest so many; ``none``: all."""
    best: bool = True
    """The one that is best by the first metric stays, too, however old it is."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "last": LARGEST,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.last is None or self.last >= 1, "last", self.last, "1 or more, or none")


@dataclass(frozen=True, kw_only=True)
class MetricsConfig(Config):
    """Metrics measured during training, on the averaged generator."""

    names: tuple[str, ...] = ()
    """Metrics as ``sgkit metrics`` knows them; the first one decides which snapshot is best."""
    every_kimg: float | None = None
    """Thousands of images between measurements, each of which is of a snapshot; ``none``: at every snapshot."""
    num_images: int | None = None
    """Images generated for a measurement; ``none``: the metric's own number."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "every_kimg": 1e9,
        "num_images": 1 << 30,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.every_kimg is None or self.every_kimg > 0, "every_kimg", self.every_kimg, "above 0, or none")
        require(self.num_images is None or self.num_images >= 2, "num_images", self.num_images, "2 or more, or none")


@dataclass(frozen=True, kw_only=True)
class HealthConfig(Config):
    """What counts as ill, and what is done about it. Averages are over windows of ``window_kimg``."""

    nonfinite: NonFinitePolicy = "rollback"
    """A loss or gradient is infinite or no number: go back to the last snapshot with lower learning rates, leave the
    update out, or stop."""
    collapse: CollapsePolicy = "warn"
    """One of the signs below: say so and go on, go back to the last snapshot with lower learning rates, or stop."""
    rollback_lr_factor: float = 0.5
    """Going back multiplies both learning rates by this, for the rest of the run."""
    max_rollbacks: int = 3
    """A run that has gone back so often stops the next time."""
    window_kimg: float = 4.0
    saturated_sign: float = 0.98
    """D is saturated where the mean signs of its logits are beyond this on real images, and beyond its negative on
    generated ones; G is where D takes its images for real as surely. Only of losses whose logits have such a sign."""
    min_diversity: float = 0.1
    """G has collapsed where its samples differ from each other less than this fraction of what training images do, and
    half of what they did once."""
    path_length_growth: float = 10.0
    """Path lengths explode where a window's mean is so many times that of the window before."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "max_rollbacks": LARGEST,
        "window_kimg": 1e9,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        factor, sign = self.rollback_lr_factor, self.saturated_sign
        require(0 < factor <= 1, "rollback_lr_factor", factor, "above 0 and at most 1")
        require(self.max_rollbacks >= 0, "max_rollbacks", self.max_rollbacks, "0 or more")
        require(self.window_kimg > 0, "window_kimg", self.window_kimg, "above 0")
        require(0 < sign <= 1, "saturated_sign", sign, "above 0 and at most 1")
        require(0 <= self.min_diversity < 1, "min_diversity", self.min_diversity, "0 or more, and below 1")
        require(self.path_length_growth > 1, "path_length_growth", self.path_length_growth, "above 1")
