"""What a training task returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["TrainResult"]


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
