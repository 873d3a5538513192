"""Configuration of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sgkit.config.base import Config, require

__all__ = ["Precision", "TrainConfig"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """A training recipe. Lengths and intervals of time are counted in thousands of images shown to D (kimg)."""

    total_kimg: float = 25000.0
    batch: int = 32
    """Images per step over all processes."""
    micro_batch: int | None = None
    """Images held in memory at once per process; the batch is accumulated. ``None``: the process's whole share."""
    g_lr: float = 0.002
    d_lr: float = 0.002
    adam_betas: tuple[float, float] = (0.0, 0.99)
    adam_eps: float = 1e-8
    r1_gamma: float = 10.0
    r1_interval: int = 16
    """Steps between R1 penalties (lazy regularization, StyleGAN2 section 3.1)."""
    pl_weight: float = 2.0
    """Path length regularization; 0 switches it off."""
    pl_interval: int = 4
    pl_decay: float = 0.01
    pl_batch_shrink: int = 2
    style_mixing_prob: float = 0.9
    ema_kimg: float = 10.0
    """Half-life of the generator's moving average."""
    ema_rampup: float | None = None
    """Limit the half-life to this fraction of the images shown so far; ``None``: no ramp."""
    mirror: bool = False
    """Flip half of the images left to right."""
    seed: int = 0
    precision: Precision = "auto"
    snapshot_kimg: float = 50.0
    """Images between snapshots and sample grids."""
    log_kimg: float = 1.0
    """Images between lines of the log."""
    num_workers: int = 1
    """Processes that decode images; 0: in the training process."""

    def __post_init__(self) -> None:
        for name in ("total_kimg", "g_lr", "d_lr", "adam_eps", "snapshot_kimg", "log_kimg"):
            require(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        for name in ("batch", "r1_interval", "pl_interval", "pl_batch_shrink"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("r1_gamma", "pl_weight", "ema_kimg", "num_workers"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(0 <= self.style_mixing_prob <= 1, "style_mixing_prob", self.style_mixing_prob, "between 0 and 1")
        require(
            self.micro_batch is None or self.micro_batch >= 1, "micro_batch", self.micro_batch, "1 or more, or none"
        )
