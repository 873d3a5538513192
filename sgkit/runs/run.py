"""One run between its start and its end: steps, and all that goes on around them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from sgkit.errors import NonFiniteError, TrainingError
from sgkit.runs.folder import RunConfig, RunFolder
from sgkit.runs.introducing import init_sentences, introduction, new_data_sentences
from sgkit.runs.logs import RunLog, peak_memory
from sgkit.runs.measuring import Measuring
from sgkit.runs.report import write_report
from sgkit.runs.result import NEW_DATA, START, OnEvent, TrainResult
from sgkit.runs.samples import Grids
from sgkit.runs.saving import ROLLBACK, save_snapshot, starting_point, state_at, writing
from sgkit.runs.snapshots import Best, measured, write_metrics
from sgkit.runs.trackers import TensorBoardTracker, Tracker, WandbTracker
from sgkit.runtime.distributed import DistributedContext, is_lost
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress
from sgkit.store import StoreDataset, batches
from sgkit.training.health import Event, HealthWatch, logits_have_signs
from sgkit.training.loop import Averages, TrainReport
from sgkit.training.loop import train as train_steps
from sgkit.training.schedules import Stage, crossed, stage_at


class _CollapseError(TrainingError):
    """Signs of collapse that the run shall go back from."""


class _StopRequestedError(Exception):
    """The process was asked to stop while it measured."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Run:
    """One run between its start and its end. Only the main process writes."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        dataset: StoreDataset,
        context: DistributedContext,
        precision: ResolvedPrecision,
        *,
        on_progress: OnProgress,
        on_event: OnEvent,
    ) -> None:
        self.folder, self.config, self.dataset = folder, config, dataset
        self.context, self.precision = context, precision
        self.on_progress, self.on_event = on_progress, on_event
        self.should_stop: Callable[[], str | None] = lambda: None
        self.point = starting_point(folder, context)
        self.rollbacks = self.point.rollbacks
        self.state, self.transfer = state_at(self.point, config, context)
        if context.is_main:
            text = introduction(folder, config, dataset.header, context, precision)
            on_event(Event(name=START, images=self.state.images, text=text))
        self.measuring = Measuring.start(
            config.metrics, dataset, context, self._progress_of_measuring, self._warn_of_measuring
        )
        self.grids = Grids(dataset, context.device)
        self.watch = self._new_watch()
        self.log: RunLog | None = None
        self.best: Best | None = None
        self.tally = Averages()
        self.unlogged: TrainReport | None = None
        """The last step, where no line of the log tells of it yet."""

    def go(self, should_stop: Callable[[], str | None]) -> TrainResult:
        """Train until the end, or until a process is asked to stop; how it ended.

        Raises:
            NonFiniteError: a loss or gradient is not finite, and the policy is to stop, or the run went back too often.
            TrainingError: signs of collapse, likewise; or files cannot be written, or another process is lost.
        """
        self.should_stop = should_stop
        try:
            with writing("the run", self.folder.path):
                self._open()
            reason = self._train_and_measure()
        except BaseException as error:
            with contextlib.suppress(Exception):  # the error on its way says more than what closing may add
                self._write_log()
            with contextlib.suppress(Exception):
                self._close()
            if is_lost(error, self.context):
                raise TrainingError(_LOST) from error
            raise
        self._close()
        return TrainResult(
            run=self.folder.path,
            snapshot=self.folder.snapshot_at(self.state.images).folder,
            best=self.best.snapshot.folder if self.best else None,
            metrics=measured(self.best.snapshot) if self.best else {},
            kimg=self.state.kimg,
            total_kimg=self.config.train.total_kimg,
            stopped_by=reason,
        )

    # ---------------------------------------------------------------------------------------- the steps

    def _train_and_measure(self) -> str | None:
        """Train from snapshot to snapshot until the end; or the reason to stop before."""
        try:
            self._snapshot(measure=True)
            reason = self._train()
            if reason is None:
                self._snapshot(measure=True, status="complete")
        except _StopRequestedError as request:  # what it was about to measure is measured when the run goes on
            reason = request.reason
        if reason is not None:
            self._snapshot(measure=False, status=f"stopped by {reason}")
        return reason

    def _train(self) -> str | None:
        """Train, going back where the policy says so, until the end; or the reason to stop before."""
        while True:
            try:
                return self._train_on()
            except NonFiniteError as error:
                if self.config.health.nonfinite != "rollback":
                    raise
                self._go_back(error)
            except _CollapseError as error:
                self._go_back(error)

    def _train_on(self) -> str | None:
        config, self.tally = self.config.train, Averages()
        for report in self._reports():
            before = report.images - report.batch
            self.tally.add(report)
            self.unlogged = report
            self.on_progress(self._progress(report))
            skipped = [_skipped(sentence, report) for sentence in report.skipped]
            self._judge([*skipped, *self.watch.add(report)])
            if crossed(before, report.images, kimg=config.log_kimg):
                self._write_log()
            reason = self._agree(self.should_stop())
            if reason:
                return reason
            is_measured = self._is_measured(before, report.images)
            if is_measured or crossed(before, report.images, kimg=config.snapshot_kimg):
                self._snapshot(measure=is_measured)
        return None

    def _reports(self) -> Iterable[TrainReport]:
        return train_steps(
            self.state,
            self._supply,
            self.config.train,
            precision=self.precision,
            context=self.context,
            skip_nonfinite=self.config.health.nonfinite == "skip",
        )

    def _supply(self, stage: Stage, mine: range) -> Any:
        config = self.config.train
        return batches(
            self.dataset,
            batch=stage.batch,
            seed=config.seed,
            start=self.state.images,
            share=mine,
            num_workers=config.num_workers,
            mirror=config.mirror,
            size=stage.size,
        )

    def _is_measured(self, before: int, images: int) -> bool:
        """Whether metrics are due after the step from ``before`` to ``images``."""
        config = self.config.metrics
        return bool(config.names) and crossed(before, images, kimg=config.every_kimg or self.config.train.snapshot_kimg)

    def _agree(self, reason: str | None) -> str | None:
        """The reason of any process to stop, known to all."""
        if self.context.world_size == 1:
            return reason
        asked = torch.tensor(float(reason is not None), device=self.context.device)
        return reason or ("another process" if self.context.all_reduce_sum(asked).item() else None)

    # ------------------------------------------------------------------------------------------- health

    def _new_watch(self) -> HealthWatch:
        signs = logits_have_signs(self.config.train)
        memory = self.state.health
        return HealthWatch(self.config.health, images=self.state.images, signs=signs, memory=memory)

    def _judge(self, events: list[Event]) -> None:
        """Tell of events; signs of collapse among them are dealt with as the policy says."""
        self._tell_all(events)
        collapses = [event for event in events if event.name != _SKIPPED]
        if not collapses or self.config.health.collapse == "warn":
            return
        if self.config.health.collapse == "rollback":
            raise _CollapseError(collapses[0].text)
        raise TrainingError(
            f"At {collapses[0].kimg:g} kimg: {collapses[0].text} The last snapshot is untouched. Resume from it with "
            "lower rates (--set train.g_lr=... --set train.d_lr=...), a larger train.r1_gamma, or more data; or "
            "continue all the same with --set health.collapse=warn."
        )

    def _go_back(self, error: TrainingError) -> None:
        """Continue from the last snapshot with lower learning rates.

        Raises:
            TrainingError: the run has gone back as often as it may; of the same class as ``error``.
        """
        health, images = self.config.health, self.state.images
        if self.rollbacks >= health.max_rollbacks:
            raise type(error)(
                f"{error} The run has gone back to a snapshot {self.rollbacks} times already (health.max_rollbacks), "
                "so it stops here."
            ) from error
        factor = self.state.lr_factor * health.rollback_lr_factor
        self.point = starting_point(self.folder, self.context)
        self.rollbacks += 1
        self.unlogged = None
        self.state, _ = state_at(self.point, self.config, self.context)
        self.state.lr_factor, self.watch = factor, self._new_watch()
        if self.log is not None:
            self.log.rewind(self.state.images)
        text = (
            f"Went back from {images / 1000:g} to {self.state.kimg:g} kimg, with learning rates {factor:g} times those "
            f"of the recipe. {error}"
        )
        facts = {"from_kimg": images / 1000, "lr_factor": factor}
        self._tell(Event(name=ROLLBACK, images=self.state.images, text=text, facts=facts))

    def _tell_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        if self.log is not None:
            with writing("the log", self.folder.path):
                self.log.event(event.name, images=event.images, text=event.text, facts=event.facts)
            self.on_event(event)

    # ------------------------------------------------------------------------------------------ writing

    def _open(self) -> None:
        """Put the folder in order, and open the log; damaged snapshots are moved aside, saying so."""
        if not self.context.is_main:
            return
        before = self.folder.read_config().data if self.folder.config_file.exists() else self.config.data
        self.folder.write_config(self.config)
        self.folder.clear_leftovers()
        since = None if self.point.snapshot is None else self.state.images
        trackers: list[Tracker] = [TensorBoardTracker(self.folder.path, images=since)]
        if self.config.wandb is not None:
            values = self.config.to_dict()
            trackers.append(WandbTracker(self.folder.path, project=self.config.wandb, config=values))
        self.log = RunLog(self.folder.path, images=since, trackers=trackers)
        for snapshot, problem in self.point.damaged:
            aside = self.folder.set_aside(snapshot)
            text = (
                f"Snapshot {snapshot.folder.name} is damaged ({problem}). It was moved to {aside}; the run goes on "
                f"from {self.state.kimg:g} kimg."
            )
            self._tell(Event(name="damaged snapshot", images=self.state.images, text=text))
        if before.content_hash != self.config.data.content_hash:
            text = new_data_sentences(before, self.config.data)
            self._tell(Event(name=NEW_DATA, images=self.state.images, text=text))
        if self.transfer is not None:
            lists = {name: " ".join(tensors) for name, tensors in vars(self.transfer).items() if name != "copied"}
            text = init_sentences(self.config, self.transfer)
            self._tell(Event(name="init", images=self.state.images, text=text, facts=lists))
        self.grids.write_reals(self.folder.reals_file)

    def _close(self) -> None:
        if self.log is not None:
            self.log.close()

    def _write_log(self) -> None:
        """Add a line on the steps since the last one, if there were any."""
        report, tally = self.unlogged, self.tally
        self.unlogged, self.tally = None, Averages()
        if self.log is None or report is None:
            return
        memory = peak_memory(self.context.device)
        values = tally.means() | {"sec_per_kimg": tally.sec_per_kimg, "lr_factor": self.state.lr_factor}
        with writing("the log", self.folder.path):
            self.log.write(report, values if memory is None else values | {"memory_gib": memory})

    def _snapshot(self, *, measure: bool, status: str = "running") -> None:
        """Have the snapshot of now on the disk, with its grid, its metrics on wish, and the page that shows the run."""
        images = self.state.images
        self._write_log()  # a run that continues from the snapshot knows nothing of the steps before it
        # A growing network's pictures, metrics and files are of full size.
        self.state.model.grow(stage_at(images, self.config.model, self.config.train).lod)
        snapshot = self.folder.snapshot_at(images)
        if not self.context.gather_objects(snapshot.folder.exists())[0]:
            ongoing = self.watch.remembered()["ongoing"]
            events = self._write_samples()
            if status == "running":
                self._judge(events)
                ongoing = self.watch.remembered()["ongoing"]
            else:  # too late to act on them, but not to say so; whoever resumes has them still to deal with
                self._tell_all(events)
            self.state.health = self.watch.remembered() | {"ongoing": ongoing}
            if self.context.is_main:
                with writing(f"the snapshot at {images / 1000:g} kimg", self.folder.path):
                    save_snapshot(self.folder, self.state, self.config)
        self.context.barrier()
        if measure and self.measuring and not self.context.gather_objects(measured(snapshot))[0]:
            self._measure(self.measuring)
        if self.context.is_main:
            with writing("the report", self.folder.path):
                self.best = self.folder.mark_best(next(iter(self.config.metrics.names), None))
                self.folder.prune(self.config.keep, self.best)
                write_report(self.folder, self.config, self.dataset.header, images=images, status=status)

    def _write_samples(self) -> list[Event]:
        """Draw the sample grid; what it says of the generator's health, known to all processes."""
        found: list[Event] = []
        if self.log is not None:
            config, images = self.config.train, self.state.images
            with writing("the sample grid", self.folder.path):
                grid = self.grids.write_fakes(
                    self.state.model, self.folder.fakes_file(images), batch=config.micro_batch or config.batch
                )
                self.log.picture("fakes", grid.picture, images=images)
                self.log.measured({"diversity": grid.diversity}, images=images)
            found = self.watch.add_samples(grid.diversity)
        events: list[Event] = self.context.gather_objects(found)[0]
        return events

    def _measure(self, measuring: Measuring) -> None:
        values = measuring.of(self.state.model)
        if self.log is None:
            return
        images = self.state.images
        facts = [
            {"name": v.name, "value": v.value, "std": v.std, "num_images": v.num_images, "num_data": v.num_data}
            for v in values
        ]
        with writing("the metrics", self.folder.path):  # the file last: without it, a resumed run measures again
            self.log.measured({value.name: value.value for value in values}, images=images)
            write_metrics(self.folder.snapshot_at(images), facts)

    def _progress_of_measuring(self, progress: Progress) -> None:
        """Pass progress on. One process stops at once if it is asked to; several agree after the next step."""
        self.on_progress(progress)
        reason = self.should_stop() if self.context.world_size == 1 else None
        if reason is not None:
            raise _StopRequestedError(reason)

    def _warn_of_measuring(self, text: str) -> None:
        self._tell(Event(name="statistics not kept", images=self.state.images, text=text))

    def _progress(self, report: TrainReport) -> Progress:
        tally = self.tally
        fields = _shown(tally.means())
        fields["lr"] = f"{self.config.train.g_lr * self.state.lr_factor:g}"
        memory = peak_memory(self.context.device)
        if memory is not None:
            fields["memory"] = f"{memory:.2f} GiB"
        if self.best is not None:
            fields[f"best {self.best.metric}"] = f"{self.best.value:.4g}"
        total = self.config.train.total_kimg
        return Progress(done=min(report.kimg, total), total=total, unit="kimg", fields=fields)


_SKIPPED = "skipped update"


def _skipped(sentence: str, report: TrainReport) -> Event:
    return Event(name=_SKIPPED, images=report.images, text=sentence)


def _shown(values: Mapping[str, float]) -> dict[str, str]:
    """The values of a step that are worth watching, by short names."""
    names = {"loss G": "loss_g", "loss D": "loss_d", "sign real": "sign_real", "sign fake": "sign_fake"}
    names |= {"augment p": "augment_p", "lod": "lod"}
    signed = {"sign real", "sign fake"}
    return {
        short: f"{values[name]:+.2f}" if short in signed else f"{values[name]:.3f}"
        for short, name in names.items()
        if name in values
    }


_LOST = (
    "Another process of this run is gone, so it cannot continue. Look above for that process's own message. The last "
    "snapshot is complete: continue with --resume (torchrun --max-restarts N does so by itself)."
)
