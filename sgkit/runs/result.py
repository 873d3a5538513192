"""What a training task returns, and tells on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sgkit.training.health import Event

START = "start"
"""Name of the event that says what a run is; it is told, not logged."""

NEW_DATA = "new data"
"""Name of the event that says that a run continues with different images."""

OnEvent = Callable[[Event], None]
"""Told of what is not a step: what the run is, a damaged snapshot, signs of collapse, going back."""


def kimg_of(kimg: float, total_kimg: float) -> str:
    """``12 of 100 kimg``; of a complete run, whose last step may go beyond its end, what it has done."""
    return f"{kimg:g} of {total_kimg:g} kimg" if kimg < total_kimg else f"{kimg:g} kimg"


def ignore_event(event: Event) -> None:
    """The default callback: events are in the log and the report anyway."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended."""

    run: Path
    snapshot: Path
    """Folder of the last snapshot; its ``model.safetensors`` is the model."""
    kimg: float
    total_kimg: float
    stopped_by: str | None
    """What asked the run to stop before its end; ``None``: it is complete."""
    best: Path | None = None
    """Folder of the best snapshot by the first metric; ``None``: none was measured."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Metrics of the best snapshot."""
