"""One run between its start and its end: training from snapshot to snapshot, and what to do when it diverges."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sgkit.errors import NonFiniteError, TrainingError
from sgkit.runs.auto import this_machine
from sgkit.runs.config import RunConfig
from sgkit.runs.culprits import culprit
from sgkit.runs.events import (
    COMPUTING,
    ROLLBACK,
    SKIPPED,
    STALLED,
    START,
    OnEvent,
    choices_event,
    columns_event,
    introduction,
)
from sgkit.runs.folder import RunFolder
from sgkit.runs.logs import peak_memory
from sgkit.runs.measuring import Measuring
from sgkit.runs.recorder import Recorder
from sgkit.runs.resume import starting_point, state_at
from sgkit.runs.snapshots import measured
from sgkit.runs.timing import RunClock
from sgkit.runtime.distributed import DistributedContext, is_lost
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress
from sgkit.store import StoreDataset, batches
from sgkit.training.health import COLLAPSES, Event, HealthWatch, logits_have_signs
from sgkit.training.loop import TrainReport
from sgkit.training.loop import train as train_steps
from sgkit.training.schedules import Stage, crossed, stage_at

READ_STEPS = 16
"""Steps after which a GPU's values are read at the latest: a round of lazy regularization."""


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


class _CollapseError(TrainingError):
    """Signs of collapse after which the run is rolled back."""


class _StopRequestedError(Exception):
    """The process was asked to stop while it measured."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Run:
    """One run between its start and its end."""

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
        self.context, self.precision, self.on_progress = context, precision, on_progress
        self.should_stop: Callable[[], str | None] = lambda: None
        self.point = starting_point(folder, context)
        self.rollbacks = self.point.rollbacks
        self.state, self.transfer = state_at(self.point, config, context)
        if context.is_main:
            text = introduction(folder, config, dataset.header, context, precision)
            on_event(Event(name=START, images=self.state.images, text=text))
            if config.choices and self.point.snapshot is None:
                machine = this_machine(context.device, num_processes=context.world_size)
                on_event(choices_event(config, machine.words, self.state.images))
        self.on_event, self.clock = on_event, RunClock(config, context)
        self.watch = self._new_watch()
        self.recorder = Recorder(folder, config, dataset, context, on_event)
        self.measuring = Measuring.start(
            config.metrics, dataset, context, self._progress_of_measuring, self._warn_of_measuring
        )

    def go(self, should_stop: Callable[[], str | None]) -> TrainResult:
        """Train until the end, or until a process is asked to stop; how it ended.

        Raises:
            NonFiniteError: a loss or gradient is not finite, and the policy is to stop; or too many rollbacks.
            TrainingError: the same for signs of collapse; or files cannot be written, or another process is lost.
        """
        self.should_stop = should_stop
        try:
            with self.recorder.writing("the run"):
                self.recorder.open(self.state, self.point, self.transfer)
            reason = self._train_and_measure()
        except BaseException as error:
            with contextlib.suppress(Exception):  # the error on its way says more than what closing may add
                self.recorder.write_log(self.state)
            with contextlib.suppress(Exception):
                self.recorder.close()
            if is_lost(error, self.context):
                raise TrainingError(_LOST) from error
            raise
        self.recorder.close()
        best = self.recorder.best
        return TrainResult(
            run=self.folder.path,
            snapshot=self.folder.snapshot_at(self.state.images).folder,
            best=best.snapshot.folder if best else None,
            metrics=measured(best.snapshot) if best else {},
            kimg=self.state.kimg,
            total_kimg=self.config.train.total_kimg,
            stopped_by=reason,
        )

    # ---------------------------------------------------------------------------------------- training

    def _train_and_measure(self) -> str | None:
        """Train from snapshot to snapshot until the end; or the reason to stop before."""
        try:
            self._snapshot(measure=True)
            reason = self._train()
            if reason is None:
                self._snapshot(measure=True, status="complete")
        except _StopRequestedError as request:  # a resumed run measures what this one was about to
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
                found = self._culprit(self.state.images)
                if found is not None:  # going back would only meet it again
                    raise NonFiniteError(f"{error} {found}") from error
                if self.config.health.nonfinite != "rollback":
                    raise
                self._go_back(error)
            except _CollapseError as error:
                self._go_back(error)

    def _train_on(self) -> str | None:
        config, metrics = self.config.train, self.config.metrics
        steps = train_steps(
            self.state,
            self._supply,
            config,
            precision=self.precision,
            context=self.context,
            skip_nonfinite=self.config.health.nonfinite == "skip",
        )
        unread: list[TrainReport] = []
        for report in steps:
            before, now = report.images - report.batch, report.images
            unread.append(report)
            is_logged, is_saved = (crossed(before, now, kimg=kimg) for kimg in (config.log_kimg, config.snapshot_kimg))
            is_measured = bool(metrics.names) and crossed(before, now, kimg=metrics.every_kimg or config.snapshot_kimg)
            if is_logged or is_saved or is_measured or report.pending is None or len(unread) >= READ_STEPS:
                self._settle(unread)
                unread.clear()
            if is_logged:
                self.recorder.write_log(self.state)
            reason = self._agree(self.should_stop())
            if reason:
                self._settle(unread)
                return reason
            if is_measured or is_saved:
                self._snapshot(measure=is_measured)
                if is_measured and self._is_stalled():
                    return None
            elif self.context.is_main and self.clock.pictures.is_due():
                self._draw()
        self._settle(unread)
        return None

    def _settle(self, reports: list[TrainReport]) -> None:
        """Wait for the values of ``reports``; record and show them, and act on what they say."""
        for one in reports:
            report = one.read()
            now = report.images
            self.recorder.add(report)
            self._show(report)
            is_told = report.skipped and self.precision != "fp16"
            why = self._culprit(now - report.batch) if is_told else None
            skipped = [Event(name=SKIPPED, images=now, text=f"{text} {why or ''}".strip()) for text in report.skipped]
            notes = [Event(name=COMPUTING, images=now, text=text) for text in report.notes]
            self._handle([*notes, *skipped, *self.watch.add(report)])

    def _is_stalled(self) -> bool:
        """Whether the first metric has not improved for ``metrics.patience_kimg``; told as an event."""
        patience, best = self.config.metrics.patience_kimg, self.context.gather_objects(self.recorder.best)[0]
        if patience is None or best is None or self.state.kimg - best.snapshot.kimg < patience:
            return False
        text = (
            f"{best.metric} has not been better than {best.value:.4g}, at {best.snapshot.kimg:g} kimg, for "
            f"{patience:g} kimg (metrics.patience_kimg), so training ends. To train on, resume with a larger "
            "number or none."
        )
        self.recorder.event(Event(name=STALLED, images=self.state.images, text=text))
        return True

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

    def _agree(self, reason: str | None) -> str | None:
        """The reason of any process to stop, known to all."""
        if self.context.world_size == 1:
            return reason
        asked = torch.tensor(float(reason is not None), device=self.context.device)
        return reason or ("another process" if self.context.all_reduce_sum(asked).item() else None)

    def _snapshot(self, *, measure: bool, status: str = "running") -> None:
        """Write a snapshot if there is none, its metrics if ``measure``, and the report."""
        state, recorder = self.state, self.recorder
        recorder.write_log(state)  # a run that continues from the snapshot knows nothing of the steps before it
        # A growing network's samples, metrics and files are of full size.
        state.model.grow(stage_at(state.images, self.config.model, self.config.train).lod)
        snapshot = self.folder.snapshot_at(state.images)
        if not self.context.gather_objects(snapshot.folder.exists())[0]:
            self._check_samples(is_last=status != "running")
            recorder.write_snapshot(state)
        self.context.barrier()
        if measure and self.measuring and not self.context.gather_objects(measured(snapshot))[0]:
            recorder.write_metrics(self.measuring.of(state.model), state.images)
        recorder.write_report(state.images, status)

    def _draw(self) -> None:
        """Write pictures and the report between two snapshots: what is trained does not notice."""
        began, images = self.clock.pictures.now(), self.state.images
        self.state.model.grow(stage_at(images, self.config.model, self.config.train).lod)
        self.recorder.write_samples(self.state)
        self.recorder.write_report(images, "running")
        self.clock.pictures.drawn(seconds=self.clock.pictures.now() - began)

    # ------------------------------------------------------------------------------------------- health

    def _new_watch(self) -> HealthWatch:
        signs = logits_have_signs(self.config.train)
        return HealthWatch(
            self.config.health,
            images=self.state.images,
            signs=signs,
            num_data=len(self.dataset),
            memory=self.state.health,
        )

    def _check_samples(self, *, is_last: bool) -> None:
        """Write samples, act on what they say of the generator's health, and have the state remember it."""
        before = self.watch.remembered()["ongoing"]
        grid, scores = self.recorder.write_samples(self.state), self.recorder.write_scores(self.state)
        found = [] if grid is None else self.watch.add_samples(grid.diversity, grid.distinct)
        if scores is not None:
            found += self.watch.add_scores(real=scores.real, held_out=scores.held_out, fake=scores.fake)
        events: list[Event] = self.context.gather_objects(found)[0]
        if is_last:  # too late to act, so whoever resumes finds them again
            for event in events:
                self.recorder.event(event)
            self.state.health = self.watch.remembered() | {"ongoing": before}
        else:
            self._handle(events)
            self.state.health = self.watch.remembered()

    def _culprit(self, first: int) -> str | None:
        """The image at fault in the step that began at image ``first``, in any process's share, in words."""
        config = self.config.train
        batch = stage_at(first, self.config.model, config).batch
        return culprit(self.dataset, self.state, seed=config.seed, positions=range(first, first + batch))

    def _handle(self, events: list[Event]) -> None:
        """Tell of events, and do what the policy says about signs of collapse among them."""
        for event in events:
            self.recorder.event(event)
        collapses = [event for event in events if event.name in COLLAPSES]
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
            TrainingError: there were ``max_rollbacks`` already; of the same class as ``error``.
        """
        health, images = self.config.health, self.state.images
        if self.rollbacks >= health.max_rollbacks:
            raise type(error)(
                f"{error} The run has already been rolled back {self.rollbacks} times (health.max_rollbacks), so it "
                "stops."
            ) from error
        factor = self.state.lr_factor * health.rollback_lr_factor
        self.point = starting_point(self.folder, self.context)
        self.rollbacks += 1
        self.state, _ = state_at(self.point, self.config, self.context)
        self.state.lr_factor, self.watch = factor, self._new_watch()
        self.recorder.rewind(self.state)
        text = (
            f"Rolled back from {images / 1000:g} to {self.state.kimg:g} kimg, with learning rates {factor:g} times "
            f"those of the recipe. {error}"
        )
        facts = {"from_kimg": images / 1000, "lr_factor": factor}
        self.recorder.event(Event(name=ROLLBACK, images=self.state.images, text=text, facts=facts))

    # ----------------------------------------------------------------------------------------- progress

    def _show(self, report: TrainReport) -> None:
        """Show a step: its numbers, what they mean, and what to expect when the speed is known."""
        progress, is_first = self._progress(report), self.clock.pace.sec_per_kimg is None
        events = self.clock.add(report)
        if self.context.is_main and is_first:
            self.on_event(columns_event(progress.fields, report.images))
        self.on_progress(replace(progress, seconds_per_unit=self.clock.pace.sec_per_kimg))
        for event in events:
            self.recorder.event(event)

    def _progress(self, report: TrainReport) -> Progress:
        fields = _shown(self.recorder.averages.means())
        fields["lr"] = f"{self.config.train.g_lr * self.state.lr_factor:g}"
        memory, best, total = peak_memory(self.context.device), self.recorder.best, self.config.train.total_kimg
        if memory is not None:
            fields["memory"] = f"{memory:.2f} GiB"
        if best is not None:
            fields[f"best {best.metric}"] = f"{best.value:.4g}"
        return Progress(done=min(report.kimg, total), total=total, unit="kimg", fields=fields)

    def _progress_of_measuring(self, progress: Progress) -> None:
        """Pass progress on. One process stops at once if it is asked to; several agree after the next step."""
        self.on_progress(progress)
        reason = self.should_stop() if self.context.world_size == 1 else None
        if reason is not None:
            raise _StopRequestedError(reason)

    def _warn_of_measuring(self, text: str) -> None:
        self.recorder.event(Event(name="statistics not kept", images=self.state.images, text=text))


def _shown(values: Mapping[str, float]) -> dict[str, str]:
    """The values of a step that are worth watching, by short names."""
    names = {"loss G": "loss_g", "loss D": "loss_d", "sign real": "sign_real", "sign fake": "sign_fake"}
    names |= {"augment p": "augment_p", "lod": "lod"}
    return {
        short: f"{values[name]:+.2f}" if name.startswith("sign") else f"{values[name]:.3f}"
        for short, name in names.items()
        if name in values
    }


_LOST = (
    "Another process of this run was lost, so the run cannot continue. Look above for that process's own message. The "
    "last snapshot is complete: continue with --resume (torchrun --max-restarts N does so by itself)."
)
