"""What a run writes into its folder: log, curves, events, sample grids, snapshots, metrics, the report."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from safetensors import SafetensorError

from sgkit import checkpoint
from sgkit.errors import TrainingError
from sgkit.faults import explain
from sgkit.metrics.values import MetricValue
from sgkit.model import ModelInfo
from sgkit.runs.config import RunConfig
from sgkit.runs.events import DAMAGED, HELD_OUT, INIT, NEW_DATA, OnEvent, init_sentences, new_data_sentences
from sgkit.runs.folder import RunFolder
from sgkit.runs.logs import RunLog, peak_memory
from sgkit.runs.report import write_report
from sgkit.runs.resume import StartingPoint
from sgkit.runs.samples import Grid, Grids
from sgkit.runs.scores import HeldOut, Scores
from sgkit.runs.snapshots import Best, Snapshot, metric_facts, write_metrics
from sgkit.runs.state import save_state
from sgkit.runs.trackers import TensorBoardTracker, Tracker, WandbTracker
from sgkit.runtime.distributed import DistributedContext
from sgkit.store import StoreDataset
from sgkit.training.health import Event
from sgkit.training.loop import Averages, TrainReport
from sgkit.training.schedules import stage_at
from sgkit.training.state import TrainState
from sgkit.training.transfer import Transfer

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Recorder:
    """Writes the files of a run in the main process; in other processes its methods do nothing."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        dataset: StoreDataset,
        context: DistributedContext,
        on_event: OnEvent,
    ) -> None:
        self.folder, self.config, self.dataset, self.on_event = folder, config, dataset, on_event
        self._is_main, self._device = context.is_main, context.device
        self._grids = Grids(dataset, context.device)
        self._held_out = HeldOut(config.health.held_out, dataset) if config.health.held_out else None
        self._log: RunLog | None = None
        self.best: Best | None = None
        self.averages = Averages()
        """Of the steps since the last line of the log."""
        self._last: TrainReport | None = None
        """The last of these steps; ``None``: the log has all."""

    def open(self, state: TrainState, point: StartingPoint, transfer: Transfer | None) -> None:
        """Prepare the folder and the log; report damaged snapshots, which are moved away, and new data."""
        if not self._is_main:
            return
        config, images = self.config, state.images
        before = self.folder.read_config().data if self.folder.config_file.exists() else config.data
        self.folder.write_config(config)
        self.folder.clear_leftovers()
        self.folder.drop_fakes_beyond(images)
        since = None if point.snapshot is None else images
        trackers: list[Tracker] = [TensorBoardTracker(self.folder.path, images=since)]
        if config.wandb is not None:
            trackers.append(WandbTracker(self.folder.path, project=config.wandb, config=config.to_dict()))
        self._log = RunLog(self.folder.path, images=since, trackers=trackers)
        for snapshot, problem in point.damaged:
            text = (
                f"Snapshot {snapshot.folder.name} is damaged ({problem}). It was moved to "
                f"{self.folder.set_aside(snapshot)}; the run continues from {state.kimg:g} kimg."
            )
            self.event(Event(name=DAMAGED, images=images, text=text))
        if before.content_hash != config.data.content_hash:
            self.event(Event(name=NEW_DATA, images=images, text=new_data_sentences(before, config.data)))
        if transfer is not None:
            lists = {name: " ".join(tensors) for name, tensors in vars(transfer).items() if name != "copied"}
            self.event(Event(name=INIT, images=images, text=init_sentences(config, transfer), facts=lists))
        if self._held_out is not None and self._held_out.problem is not None:
            problem = self._held_out.problem.rstrip(".")
            text = f"Held-out images cannot be scored: {problem}. Name another store, or none, with health.held_out."
            self.event(Event(name=HELD_OUT, images=images, text=text))
        self._grids.write_reals(self.folder.reals_file)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._log is not None:
            self._log.close()

    def event(self, event: Event) -> None:
        """Add an event to the log, and show it."""
        if self._log is not None:
            with self.writing("the log"):
                self._log.event(event.name, images=event.images, text=event.text, facts=event.facts)
            self.on_event(event)

    def add(self, report: TrainReport) -> None:
        """Count a step, for the next line of the log."""
        self.averages.add(report)
        self._last = report

    def write_log(self, state: TrainState) -> None:
        """Add a line on the steps since the last one, if there were any."""
        report, averages = self._last, self.averages
        self._last, self.averages = None, Averages()
        if self._log is None or report is None:
            return
        values = averages.means() | {"sec_per_kimg": averages.sec_per_kimg, "lr_factor": state.lr_factor}
        memory = peak_memory(self._device)
        with self.writing("the log"):
            self._log.write(report, values if memory is None else values | {"memory_gib": memory})

    def rewind(self, state: TrainState) -> None:
        """Forget the steps after ``state``: the run went back to it."""
        self._last, self.averages = None, Averages()
        if self._log is not None:
            self._log.rewind(state.images)
            self.folder.drop_fakes_beyond(state.images)

    def write_samples(self, state: TrainState) -> Grid | None:
        """Write the sample grid; what it says. ``None`` in other processes."""
        if self._log is None:
            return None
        config, images = self.config.train, state.images
        with self.writing("the sample grid"):
            grid = self._grids.write_fakes(
                state.model, self.folder.fakes_file(images), batch=config.micro_batch or config.batch
            )
            self._log.picture("fakes", grid.picture, images=images)
            distinct = {} if grid.distinct is None else {"distinct": grid.distinct}
            self._log.measured({"diversity": grid.diversity, **distinct}, images=images)
        return grid

    def write_scores(self, state: TrainState) -> Scores | None:
        """Write D's scores of images that are not trained on; ``None`` without such images, and in other processes."""
        if self._log is None or self._held_out is None:
            return None
        scores = self._held_out.scores(state)
        if scores is not None:
            values = {"held_out_real": scores.real, "held_out": scores.held_out, "held_out_fake": scores.fake}
            with self.writing("the log"):
                self._log.measured(values, images=state.images)
        return scores

    def write_snapshot(self, state: TrainState) -> None:
        """Write the snapshot of ``state``."""
        if self._is_main:
            with self.writing(f"the snapshot at {state.kimg:g} kimg"):
                self.folder.write_snapshot(state.images, lambda snapshot: _save(snapshot, state, self.config))

    def write_metrics(self, values: Sequence[MetricValue], images: int) -> None:
        """Write metrics into the log and into the folder of the snapshot at ``images``."""
        if self._log is None:
            return
        with self.writing("the metrics"):  # the file last: without it, a resumed run measures again
            self._log.measured({value.name: value.value for value in values}, images=images)
            write_metrics(self.folder.snapshot_at(images), metric_facts(values))

    def write_report(self, images: int, status: str) -> None:
        """Write which snapshot is best, remove those that are not kept, and write the report."""
        if self._is_main:
            with self.writing("the report"):
                self.best = self.folder.mark_best(next(iter(self.config.metrics.names), None))
                self.folder.prune(self.config.keep, self.best)
                write_report(self.folder, self.config, self.dataset.header, images=images, status=status)

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """A block that writes ``what`` into the folder; a full disk becomes an error that says how to continue.

        Raises:
            TrainingError: the system refused to write.
        """
        try:
            yield
        except (OSError, SafetensorError) as error:
            raise TrainingError(_refusal(what, self.folder, error)) from error


def _save(snapshot: Snapshot, state: TrainState, config: RunConfig) -> None:
    provenance = {"preset": config.preset, **config.data.to_dict(), "seed": config.train.seed}
    if config.init is not None:
        provenance |= {"init": config.init, "init_kimg": config.init_kimg}
    if config.train.augment.kind == "ada":
        provenance["augment_pipe"] = {"p": state.augment.p}
    lod = stage_at(state.images, config.model, config.train).lod
    state.model.info = ModelInfo(kimg=state.kimg, lod=lod, provenance=provenance)
    checkpoint.save(state.model, snapshot.model)
    save_state(state, snapshot.state)


def _refusal(what: str, folder: RunFolder, error: Exception) -> str:
    number = getattr(error, "errno", None)
    fault = explain(OSError(number, os.strerror(number)) if number else error)
    reason = fault.text.rstrip(".") if fault else str(error)
    advice = "Make room (--keep N holds only the newest N and the best snapshot)" if number in _FULL else "Correct this"
    complete = "Earlier snapshots are complete" if folder.snapshots() else "There is no snapshot yet"
    return f"Cannot write {what} into {folder.path}: {reason}. {complete}. {advice}, then continue with --resume."
