"""One run between its start and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sgkit import checkpoint
from sgkit.model import ModelInfo, build
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress
from sgkit.store import StoreDataset, batches
from sgkit.tasks.train.pictures import sample, screen_grid, write_grid
from sgkit.tasks.train.result import TrainResult
from sgkit.training.logs import RunLog, Tally, peak_memory
from sgkit.training.loop import TrainReport
from sgkit.training.loop import train as train_steps
from sgkit.training.run import RunConfig, RunFolder, Snapshot
from sgkit.training.schedules import crossed
from sgkit.training.state import TrainState, load_state, save_state

__all__ = ["Run"]


class Run:
    """One run between its start and its end. Only the main process writes."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        dataset: StoreDataset,
        context: DistributedContext,
        precision: ResolvedPrecision,
    ) -> None:
        self.folder, self.config, self.dataset = folder, config, dataset
        self.context, self.precision = context, precision
        self.state = self._state()
        self.grid = screen_grid(dataset.image_size)
        self.labels: torch.Tensor | None = None

    def go(self, should_stop: Callable[[], str | None], on_progress: OnProgress) -> TrainResult:
        """Train until the end, or until a process is asked to stop; how it ended."""
        config, state = self.config.train, self.state
        if self.context.is_main:
            self.folder.write_config(self.config)
        log = RunLog(self.folder.path, images=state.images) if self.context.is_main else None
        try:
            self._write_reals()
            snapshot = self._snapshot(log)
            tally, reason = Tally(), None
            for report in train_steps(state, self._batches(), config, precision=self.precision, context=self.context):
                before = report.images - config.batch
                tally.add(report, images=config.batch)
                on_progress(self._progress(report, tally))
                if crossed(before, report.images, kimg=config.log_kimg):
                    self._log(log, report, tally)
                    tally = Tally()
                reason = self._agree(should_stop())
                if reason or crossed(before, report.images, kimg=config.snapshot_kimg):
                    snapshot = self._snapshot(log)
                if reason:
                    break
            snapshot = self._snapshot(log)
        finally:
            if log is not None:
                log.close()
        return TrainResult(
            run=self.folder.path,
            snapshot=snapshot.folder,
            kimg=state.kimg,
            total_kimg=config.total_kimg,
            stopped_by=reason,
        )

    def _state(self) -> TrainState:
        """The state that the run goes on from: its last snapshot, or a fresh one."""
        model = build(self.config.model, seed=self.config.train.seed)
        snapshots = self.folder.snapshots()
        if snapshots:
            saved = checkpoint.load(snapshots[-1].model).networks()
            for name, network in model.networks().items():
                # Copied into memory of our own: what is loaded may be mapped from the file.
                network.load_state_dict(saved[name].state_dict())
        model.to(self.context.device)
        state = TrainState.start(model, self.config.train)
        if snapshots:
            load_state(state, snapshots[-1].state)
        return state

    def _batches(self) -> Any:
        config = self.config.train
        return batches(
            self.dataset,
            batch=config.batch,
            seed=config.seed,
            start=self.state.images,
            rank=self.context.rank,
            world_size=self.context.world_size,
            num_workers=config.num_workers,
            mirror=config.mirror,
        )

    def _agree(self, reason: str | None) -> str | None:
        """The reason of any process to stop, known to all."""
        if self.context.world_size == 1:
            return reason
        asked = torch.tensor(float(reason is not None), device=self.context.device)
        return reason or ("another process" if self.context.all_reduce_sum(asked).item() else None)

    # ------------------------------------------------------------------------------------------- writing

    def _log(self, log: RunLog | None, report: TrainReport, tally: Tally) -> None:
        if log is None:
            return
        memory = peak_memory(self.context.device)
        values = tally.means() | {"sec_per_kimg": tally.sec_per_kimg}
        log.write(report, values if memory is None else values | {"memory_gib": memory})

    def _write_reals(self) -> None:
        """A grid of training images spread over the store; their labels are those of the sample grids, too."""
        if not self.context.is_main:
            return
        count, total = self.grid[0] * self.grid[1], len(self.dataset)
        picks = [self.dataset[index * total // count] for index in range(count)]
        if self.dataset.label_dim > 0:
            self.labels = torch.stack([label for _, label in picks]).to(self.context.device)
        write_grid([image.permute(1, 2, 0).numpy() for image, _ in picks], self.grid, self.folder.reals_file)

    def _snapshot(self, log: RunLog | None) -> Snapshot:
        """The snapshot of now, with its sample grid; nothing is written twice."""
        state, images = self.state, self.state.images
        final = self.folder.snapshot_at(images)
        if log is not None and not final.folder.exists():
            samples = sample(
                state.model,
                count=self.grid[0] * self.grid[1],
                labels=self.labels,
                batch=self.config.train.micro_batch or self.config.train.batch,
            )
            picture = write_grid(samples, self.grid, self.folder.fakes_file(images))
            log.picture("fakes", picture, images=images)
            self.folder.write_snapshot(images, self._write_files)
        return final

    def _write_files(self, snapshot: Snapshot) -> None:
        provenance = {"preset": self.config.preset, **self.config.data.to_dict(), "seed": self.config.train.seed}
        self.state.model.info = ModelInfo(kimg=self.state.kimg, provenance=provenance)
        checkpoint.save(self.state.model, snapshot.model)
        save_state(self.state, snapshot.state)

    def _progress(self, report: TrainReport, tally: Tally) -> Progress:
        fields = {"G": f"{report.values['loss_g']:.3f}", "D": f"{report.values['loss_d']:.3f}"}
        fields["sec/kimg"] = f"{tally.sec_per_kimg:.2f}"
        memory = peak_memory(self.context.device)
        if memory is not None:
            fields["memory"] = f"{memory:.2f} GiB"
        return Progress(done=report.kimg, total=self.config.train.total_kimg, unit="kimg", fields=fields)
