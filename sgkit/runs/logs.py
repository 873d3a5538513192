"""``log.jsonl``, and peak memory."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sgkit.runs.trackers import Tracker
from sgkit.runtime import use
from sgkit.runtime.files import atomic_path
from sgkit.training.loop import TrainReport

LOG_NAME = "log.jsonl"


class RunLog:
    """``log.jsonl`` in ``folder``, and ``trackers``, which get the same values.

    A line holds averages over steps, or an event: then it has the key ``event``. Lines beyond ``images``, the snapshot
    that the run continues from, are dropped (``None``: all lines, because the run is new).
    """

    def __init__(self, folder: Path, *, images: int | None = None, trackers: Sequence[Tracker] = ()) -> None:
        self._file, self._trackers = folder / LOG_NAME, tuple(trackers)
        _drop_lines_beyond(self._file, -1 if images is None else images)

    def write(self, report: TrainReport, values: Mapping[str, float]) -> None:
        """Add a line, and a point to each curve."""
        rounded = _rounded(values)
        self._append({"kimg": report.kimg, "images": report.images, "step": report.step, **_now(), **rounded})
        for tracker in self._trackers:
            tracker.scalars(_finite(rounded), images=report.images)

    def measured(self, values: Mapping[str, float], *, images: int, again: bool = False) -> None:
        """Add a line on a snapshot, and a point to each curve; unless ``again``, nothing where the log has these."""
        rounded = _rounded(values)
        if not again and any(
            line["images"] == images and values.keys() <= line.keys() for line in read_log(self._file.parent)
        ):
            return
        for tracker in self._trackers:  # first: what the log has is not sent again
            tracker.scalars(_finite(rounded), images=images)
        self._append({"kimg": images / 1000.0, "images": images, **_now(), **rounded})

    def event(self, name: str, *, images: int, text: str, facts: Mapping[str, float | str]) -> None:
        """Add a line on something that is not a step."""
        self._append({"event": name, "kimg": images / 1000.0, "images": images, **_now(), "text": text, **facts})

    def rewind(self, images: int) -> None:
        """Drop the lines beyond ``images``: the run went back there."""
        _drop_lines_beyond(self._file, images)
        for tracker in self._trackers:
            tracker.rewind(images)

    def picture(self, name: str, pixels: npt.NDArray[np.uint8], *, images: int) -> None:
        """Show ``pixels`` [H, W, C] wherever pictures can be shown."""
        for tracker in self._trackers:
            tracker.picture(name, pixels, images=images)

    def close(self) -> None:
        """Write what is still in memory."""
        for tracker in self._trackers:
            tracker.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, events among them; what a kill cut short is left out."""
    found = [(line, _images_of(line)) for line in _lines(folder / LOG_NAME)]
    return [{"kimg": images / 1000.0, **json.loads(line)} for line, images in found if math.isfinite(images)]


def peak_memory(device: torch.device) -> float | None:
    """Most memory held so far, in GiB: on the GPU, or by this process; ``None`` where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    held = use.peak_memory()
    return None if held is None else held / 2**30


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """Six digits each; ``None`` for what is not finite, which JSON cannot say."""
    return {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in values.items()}


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _now() -> dict[str, float]:
    return {"time": round(time.time(), 3)}


def _drop_lines_beyond(file: Path, images: int) -> None:
    lines = _lines(file)
    kept = [line for line in lines if _images_of(line) <= images]
    text = "".join(f"{line}\n" for line in kept)
    # A line that lacks its end would swallow the next one.
    if kept != lines or (lines and not file.read_bytes().endswith(b"\n")):
        with atomic_path(file) as aside:
            aside.write_text(text, encoding="utf-8")


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8", errors="replace").split("\n") if line]
    except FileNotFoundError:
        return []


def _images_of(line: str) -> float:
    """Images at which a line was written; infinite where a kill cut the line short."""
    try:
        return float(json.loads(line)["images"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
