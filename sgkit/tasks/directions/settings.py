"""Settings of a search for directions, and what is told of those found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sgkit.config.base import Config, Count
from sgkit.model.labels import LabelChoice

Method = Literal["sefa", "pca", "boundary", "difference", "channels"]


class FindSettings(Config):
    """How directions are found."""

    method: Method
    count: Count = 10
    """Most directions, of methods that find many."""
    layers: str | None = None
    """Layers of w+ whose weights (SeFa) or channels are looked at, and which directions of w move. ``None``: all."""
    features: str | None = None
    """GANSpace: the layer whose features are analysed; ``None``: w itself."""
    normalize: bool = True
    """SeFa: bring every channel's weights to length 1 first."""
    samples: Count = 2000
    """Latents that are drawn."""
    seed: Count = 0
    """The first seed of them."""
    label: LabelChoice | None = None
    """Their class; ``None``: of every latent a random one."""
    attribute: str | None = None
    """Boundary, channels: which of the labels."""
    mask: str | None = None
    """Channels: a shape; those rank first that move only what is in it."""
    images: Count = 4
    """Channels by mask: on how many images each is tried."""
    name: str | None = None
    """Of a single direction."""


@dataclass(frozen=True, kw_only=True)
class DirectionRow:
    """One direction of a file."""

    name: str
    step: float
    """How far strength 1 moves."""
    measure: float | None
    """What the method ranks by; see ``DirectionList.measure``."""
    sign: str
    """What positive strength does."""


@dataclass(frozen=True, kw_only=True)
class DirectionList:
    """What a direction file holds."""

    path: Path
    method: str
    space: str
    layers: tuple[int, ...] | None
    """The w of w+ that they move unless told otherwise; ``None``: all."""
    measure: str
    """What the numbers of the rows are."""
    model_hash: str
    rows: tuple[DirectionRow, ...]
    settings: dict[str, Any]
    """How they were found."""
    seconds: float = 0.0
