"""Train a generator on the images of a store, into a run directory; resume a run exactly at its last snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import sgkit
from sgkit import checkpoint, presets
from sgkit.config import override
from sgkit.errors import ConfigError, TrainingError, UsageError
from sgkit.model import Model, ModelInfo, build
from sgkit.runtime.distributed import DistributedContext, distributed
from sgkit.runtime.files import atomic_path
from sgkit.runtime.precision import ResolvedPrecision, resolve_precision
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store import StoreDataset, batches
from sgkit.store.pictures import Pixels, arrange, to_pixels, write_png
from sgkit.training.logs import RunLog, Tally, peak_memory
from sgkit.training.loop import TrainReport, check_batch
from sgkit.training.loop import train as train_steps
from sgkit.training.run import DataFacts, RunConfig, RunFolder, Snapshot
from sgkit.training.schedules import crossed
from sgkit.training.state import TrainState, load_state, save_state

__all__ = ["TrainResult", "train"]


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
            config = _resumed_config(folder, dataset, preset, settings or {})
        else:
            folder.check_new()
            config = _new_config(dataset, store, preset, settings or {})
        check_batch(config.model, config.train, world_size=context.world_size)
        precision = _training_precision(config.train.precision, context.device)
        context.barrier()  # nobody writes before everybody has looked
        run = _Run(folder, config, dataset, context, precision)
        return run.go(should_stop, on_progress)


# ----------------------------------------------------------------------------------------- configuration


def _new_config(dataset: StoreDataset, store: str | Path, preset: str | None, settings: Mapping[str, Any]) -> RunConfig:
    changes = _own_changes(settings)
    name = preset or changes.pop("preset", None)
    if not name:
        raise UsageError(f"Name a preset with --preset: {', '.join(presets.PRESETS)}.")
    changes.pop("preset", None)
    row = presets.preset(
        name, image_size=dataset.image_size, image_channels=dataset.image_channels, label_dim=dataset.label_dim
    )
    header = dataset.header
    data = DataFacts(store=str(store), content_hash=header.content_hash, num_images=header.num_images)
    config = RunConfig(preset=name, sgkit=sgkit.__version__, data=data, model=row.model, train=row.train)
    config = override(config, changes)
    _check_fits(config, dataset)
    return config


def _resumed_config(
    folder: RunFolder, dataset: StoreDataset, preset: str | None, settings: Mapping[str, Any]
) -> RunConfig:
    stored = folder.read_config()
    if preset not in (None, stored.preset):
        raise ConfigError(
            f"{folder.path} was started with preset {stored.preset!r}; it cannot go on with {preset!r}. "
            "Leave --preset out, or start a new run."
        )
    config = override(stored, _own_changes(settings))
    if config.model != stored.model:
        changed = [key for key, value in config.model.to_dict().items() if stored.model.to_dict()[key] != value]
        raise ConfigError(
            f"The network of {folder.path} is fixed; {'model.' + changed[0]!r} cannot change on --resume. "
            "Leave it out, or start a new run."
        )
    if dataset.header.content_hash != stored.data.content_hash:
        raise TrainingError(
            f"{folder.path} was trained on other images ({stored.data.num_images} of store {stored.data.store!r}) than "
            f"this store's {dataset.header.num_images}. Name that store to resume, or start a new run."
        )
    return config


def _own_changes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` without what a run finds out itself, so that the ``config.toml`` of one run may start another."""
    return {key: value for key, value in settings.items() if not key.startswith("data.") and key != "sgkit"}


def _check_fits(config: RunConfig, dataset: StoreDataset) -> None:
    model = config.model
    pairs = [
        ("image_size", _size(model.image_size), _size(dataset.image_size)),
        ("image_channels", model.image_channels, dataset.image_channels),
        ("label_dim", model.label_dim, dataset.label_dim),
    ]
    for name, wanted, given in pairs:
        if wanted != given:
            raise ConfigError(
                f"model.{name} is {wanted}, but the store's is {given}. Leave it out: the store decides; "
                "or prepare a store that fits."
            )


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _training_precision(name: str, device: torch.device) -> ResolvedPrecision:
    precision = resolve_precision(name, device)
    if precision == "fp16":
        raise ConfigError("train.precision fp16 needs loss scaling, which is not there yet. Use bf16 or fp32.")
    return precision


# --------------------------------------------------------------------------------------------------- run


class _Run:
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
        _write_grid([image.permute(1, 2, 0).numpy() for image, _ in picks], self.grid, self.folder.reals_file)

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
            picture = _write_grid(samples, self.grid, self.folder.fakes_file(images))
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


# ---------------------------------------------------------------------------------------------- pictures


def screen_grid(image_size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of a grid of images of ``image_size`` (height, width) that fills about 1024x768 pixels."""
    height, width = image_size
    return min(max(1024 // width, 3), 16), min(max(768 // height, 2), 12)


@torch.no_grad()
def sample(model: Model, *, count: int, labels: torch.Tensor | None, batch: int) -> Iterator[Pixels]:
    """``count`` pictures of the averaged generator at seeds 0, 1, 2 ..., with its stored noise.

    Draws nothing from any random state that training uses. ``labels`` [count, label_dim] where the model takes them.
    """
    z = model.sample_z(range(count))
    for first in range(0, count, batch):
        part = slice(first, first + batch)
        yield from to_pixels(model.generator(z[part], None if labels is None else labels[part]))


def _write_grid(pictures: Iterable[Pixels], shape: tuple[int, int], path: Path) -> Pixels:
    picture = arrange(pictures, shape)
    with atomic_path(path) as aside:
        write_png(picture, aside)
    return picture
