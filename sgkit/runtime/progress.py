"""Progress of long work: tasks call back, the command line shows a bar, a library user may pass nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A point in long work."""

    done: float
    total: float | None = None
    """``None``: not known (yet)."""
    unit: str = "images"
    stage: str = ""
    """Current step, such as ``"reading"``."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Short facts worth showing beside the bar, already formatted, such as ``{"loss": "0.131"}``."""
    seconds_per_unit: float | None = None
    """The speed, where the task measures it itself; ``None``: it follows from ``done``."""


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The default callback: shows nothing."""
