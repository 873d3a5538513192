"""Metrics of a run's snapshots, computed after training: the curve that the run would have drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from sgkit.errors import InputError
from sgkit.measure.task import MeasureConfig, MeasureResult, measure_each
from sgkit.metrics.values import MetricValue
from sgkit.runs.folder import RunFolder
from sgkit.runs.logs import RunLog
from sgkit.runs.report import write_report
from sgkit.runs.snapshots import Snapshot, metric_facts, read_metrics, write_metrics
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store import StoreDataset

_ALL = 1 << 62


def store_of(run: str | Path) -> str | None:
    """The store that a run was trained on, if it is still there; ``None`` also if ``run`` is not a run."""
    folder = RunFolder(Path(run))
    if not folder.config_file.is_file():
        return None
    store = folder.read_config().data.store
    return store if store and Path(store).is_dir() else None


def measure_snapshots(config: MeasureConfig, *, on_progress: OnProgress = ignore_progress) -> list[MeasureResult]:
    """Measure every snapshot of the run ``config.images``, and write the values where training writes them.

    Values of the same metric are replaced; others stay. ``best.json`` is written again.

    Raises:
        InputError: it is not a run, or has no snapshots.
        TrainingError: the run is being trained.
    """
    folder = RunFolder(Path(config.images))
    snapshots = folder.snapshots()
    if not snapshots or not folder.config_file.is_file():
        raise InputError(f"{folder.path} is not a run with snapshots, whose metrics --all-snapshots could compute.")
    is_main = os.environ.get("RANK", "0") == "0"
    with folder.locked() if is_main else nullcontext():
        results = measure_each(config, [str(snapshot.model) for snapshot in snapshots], on_progress=on_progress)
        if is_main:
            for snapshot, result in zip(snapshots, results, strict=True):
                _keep(folder, snapshot, result.metrics)
            _finish(folder, snapshots, results)
    return results


def _keep(folder: RunFolder, snapshot: Snapshot, values: Sequence[MetricValue]) -> None:
    facts = {fact["name"]: fact for fact in [*read_metrics(snapshot), *metric_facts(values)]}
    write_metrics(snapshot, list(facts.values()))
    log = RunLog(folder.path, images=_ALL)
    log.measured({value.name: value.value for value in values}, images=snapshot.images, again=True)
    log.close()


def _finish(folder: RunFolder, snapshots: Sequence[Snapshot], results: Sequence[MeasureResult]) -> None:
    """Name the best snapshot by the run's first metric, or the first one measured, and write the report."""
    config = folder.read_config()
    named = config.metrics.names or tuple(dict.fromkeys(value.metric for value in results[0].metrics))
    folder.mark_best(named[0])
    store = store_of(folder.path)
    if store is not None:
        shown = tuple(dict.fromkeys([*config.metrics.names, *(value.metric for value in results[0].metrics)]))
        config = replace(config, metrics=replace(config.metrics, names=shown))
        write_report(folder, config, StoreDataset(store).header, images=snapshots[-1].images, status="measured again")
