"""Train a generator on the images of a store, into a run directory; resume a run exactly at its last snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sgkit.runtime.distributed import distributed
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store import StoreDataset
from sgkit.tasks.train.configure import new_config, resumed_config, training_precision
from sgkit.tasks.train.result import TrainResult
from sgkit.tasks.train.run import Run
from sgkit.training.loop import check_batch
from sgkit.training.run import RunFolder

__all__ = ["train"]


def train(
    store: str | Path,
    out: str | Path,
    *,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    should_stop: Callable[[], str | None] = lambda: None,
    on_progress: OnProgress = ignore_progress,
) -> TrainResult:
    """How a run over the images of ``store`` ended; its files are in ``out``. Under torchrun, all processes call it.

    Args:
        store: what ``sgkit prepare`` made; it decides image size, channels and labels.
        out: the run directory: new, or with ``resume`` one that holds a run.
        preset: a name from :data:`sgkit.presets.PRESETS`; a resumed run knows its own.
        settings: dotted keys of :class:`sgkit.training.run.RunConfig`, such as ``"train.batch"``.
        resume: go on from the last whole snapshot.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        should_stop: asked after each step; a reason makes the run save a snapshot and return.
        on_progress: told of each step.

    Raises:
        InputError: ``out`` is taken, or holds no run to resume.
        ConfigError: an unknown preset or key, or a value that does not fit the images.
        StoreError: the store cannot be used.
        TrainingError: a loss is not finite, or the run cannot go on with this store.
    """
    with distributed(device) as context:
        folder, dataset = RunFolder(Path(out)), StoreDataset(store)
        if resume:
            config = resumed_config(folder, dataset, preset, settings or {})
        else:
            folder.check_new()
            config = new_config(dataset, store, preset, settings or {})
        check_batch(config.model, config.train, world_size=context.world_size)
        precision = training_precision(config.train.precision, context.device)
        context.barrier()  # nobody writes before everybody has looked
        run = Run(folder, config, dataset, context, precision)
        return run.go(should_stop, on_progress)
