"""Curves and images of a run in TensorBoard and Weights & Biases."""

from __future__ import annotations

import importlib
import itertools
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sgkit.errors import MissingDependencyError
from sgkit.runtime.files import atomic_path

_COUNT = itertools.count()
"""Numbers the event files of this process."""


class Tracker(Protocol):
    """Takes points of curves, and pictures, each at a number of images."""

    def scalars(self, values: Mapping[str, float], *, images: int) -> None:
        """Add a point to each curve."""

    def picture(self, name: str, pixels: npt.NDArray[np.uint8], *, images: int) -> None:
        """Add ``pixels`` [H, W, C]."""

    def rewind(self, images: int) -> None:
        """Hide the points beyond ``images``: the run went back there."""

    def close(self) -> None:
        """Write what is still in memory."""


class TensorBoardTracker:
    """Event files in ``folder``; points beyond ``images`` of earlier files are hidden.

    Every point is on the disk when a call returns, and a full disk is an error of that call. torch's own writer hands
    points to a thread, which keeps them for up to two minutes.
    """

    def __init__(self, folder: Path, *, images: int | None = None) -> None:
        self._folder = folder
        self._open(images)

    def scalars(self, values: Mapping[str, float], *, images: int) -> None:
        """See :class:`Tracker`."""
        for name, value in values.items():
            self._write(step=images, summary=_summaries().scalar(name, value))

    def picture(self, name: str, pixels: npt.NDArray[np.uint8], *, images: int) -> None:
        """See :class:`Tracker`."""
        self._write(step=images, summary=_summaries().image(name, pixels, dataformats="HWC"))

    def rewind(self, images: int) -> None:
        """See :class:`Tracker`."""
        self.close()
        self._open(images)

    def close(self) -> None:
        """See :class:`Tracker`."""
        self._file.close()

    def _open(self, images: int | None) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog  # slow to import
        from tensorboard.summary.writer.record_writer import RecordWriter

        # TensorBoard reads files in the order of their names.
        name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_COUNT):06d}"
        self._file = (self._folder / f"events.out.tfevents.{name}").open("wb")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if images is not None:
            self._write(step=images + 1, session_log=SessionLog(status=SessionLog.START))

    def _write(self, **event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **event).SerializeToString())
        self._file.flush()


def _summaries() -> Any:
    return importlib.import_module("torch.utils.tensorboard.summary")


class WandbTracker:
    """A run of the same name as ``folder`` in a project of Weights & Biases; resumed when the run is.

    Raises:
        MissingDependencyError: the package ``wandb`` is not installed.
    """

    def __init__(self, folder: Path, *, project: str, config: Mapping[str, Any]) -> None:
        self._wandb = _package()
        self._run = self._wandb.init(
            project=project,
            name=folder.resolve().name,
            id=_run_id(folder / "wandb.txt"),
            resume="allow",
            dir=str(folder),
            config=dict(config),
        )
        self._run.define_metric("*", step_metric="kimg")

    def scalars(self, values: Mapping[str, float], *, images: int) -> None:
        """See :class:`Tracker`."""
        self._run.log({"kimg": images / 1000.0, **values})

    def picture(self, name: str, pixels: npt.NDArray[np.uint8], *, images: int) -> None:
        """See :class:`Tracker`."""
        self._run.log({"kimg": images / 1000.0, name: self._wandb.Image(pixels)})

    def rewind(self, images: int) -> None:
        """Nothing: points that were sent stay; those sent again come after them, at the same kimg."""

    def close(self) -> None:
        """See :class:`Tracker`."""
        self._run.finish()

    @staticmethod
    def check() -> None:
        """Check early that the package is there.

        Raises:
            MissingDependencyError: the package ``wandb`` is not installed.
        """
        _package()


def _package() -> Any:
    try:
        return importlib.import_module("wandb")
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "Reporting to Weights & Biases needs the package 'wandb'. Install it with 'pip install wandb' and run "
            "'wandb login' once, or leave --wandb out (--set wandb=none for a run that has it)."
        ) from None


def _run_id(file: Path) -> str:
    """The run's id at Weights & Biases: random, kept in ``file``."""
    if not file.is_file():
        with atomic_path(file) as aside:
            aside.write_text(secrets.token_hex(8), encoding="ascii")
    return file.read_text(encoding="ascii").strip()
