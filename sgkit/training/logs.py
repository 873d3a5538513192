"""What a run tells about itself: averages between log lines, ``log.jsonl``, TensorBoard events, memory."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sgkit.runtime.files import atomic_path
from sgkit.training.loop import TrainReport

__all__ = ["RunLog", "Tally", "peak_memory"]


class Tally:
    """Averages of reports since it was last emptied."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._images, self._seconds = 0, 0.0

    def add(self, report: TrainReport, *, images: int) -> None:
        """Count a report on a step of ``images``; a value counts in the steps that have it."""
        for name, value in report.values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._images += images
        self._seconds += report.seconds

    @property
    def sec_per_kimg(self) -> float:
        """Seconds for a thousand images."""
        return self._seconds / max(self._images, 1) * 1000.0

    def means(self) -> dict[str, float]:
        """Mean of each value."""
        return {name: self._sums[name] / self._counts[name] for name in sorted(self._sums)}


class RunLog:
    """``log.jsonl`` and TensorBoard events in ``folder``.

    Lines beyond ``images`` are dropped: they tell of steps after the snapshot that the run goes on from.
    """

    def __init__(self, folder: Path, *, images: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._file = folder / "log.jsonl"
        _drop_lines_beyond(self._file, images)
        self._events = SummaryWriter(str(folder), purge_step=images)

    def write(self, report: TrainReport, values: Mapping[str, float]) -> None:
        """Add a line, and a point to each curve."""
        line = {"kimg": report.kimg, "images": report.images, "step": report.step, "time": round(time.time(), 3)}
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | rounded) + "\n")
        for name, value in rounded.items():
            self._events.add_scalar(name, value, global_step=report.images)

    def picture(self, name: str, pixels: npt.NDArray[np.uint8], *, images: int) -> None:
        """Add ``pixels`` [H, W, C] to the events."""
        self._events.add_image(name, pixels, global_step=images, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        self._events.close()


def peak_memory(device: torch.device) -> float | None:
    """Most memory held so far, in GiB: on the GPU, or by this process; ``None`` where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _drop_lines_beyond(file: Path, images: int) -> None:
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if _images_of(line) <= images]
    if kept != lines:
        with atomic_path(file) as aside:
            aside.write_text("".join(kept), encoding="utf-8")


def _images_of(line: str) -> float:
    """Images at which a line was written; infinite where a kill cut the line short."""
    try:
        return float(json.loads(line)["images"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
