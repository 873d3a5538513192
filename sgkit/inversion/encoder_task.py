"""Training an encoder into a file: interrupted at any moment, the same call continues to the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sgkit.config.encoder import EncoderSettings
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.inversion.encoder_file import EncoderHeader, check_encoder_name, read_tensors, save_encoder, write_tensors
from sgkit.inversion.encoder_training import EncoderTraining, Supply
from sgkit.model import Model
from sgkit.runtime.files import check_new
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store import StoreDataset, batches
from sgkit.store.header import size_text

SAVED_EVERY = 60.0
"""Seconds between states that a killed training continues from."""
AVERAGE, SQUARE = "adam.average.", "adam.square."


@dataclass(frozen=True, kw_only=True)
class EncoderResult:
    """What was written."""

    path: Path
    space: str
    images: int
    """That the encoder has seen."""
    finished: bool
    """Whether it has seen all of them; else the same command continues."""
    w_error: float
    """Mean squared error of w on unseen images of the model; the mean w has 1."""
    psnr: float
    """Peak signal-to-noise ratio in decibels between unseen images of the model and those of the latents found."""
    parameters: int
    bytes: int
    model_hash: str
    resumed_from: int
    """Images that an earlier call had trained on."""
    seconds: float


def state_path(path: Path) -> Path:
    """Where an unfinished training into ``path`` keeps its state."""
    return path.with_name(f"{path.name}.partial")


def train_encoder(
    model: Model,
    path: str | Path,
    settings: EncoderSettings | None = None,
    *,
    data: str | Path | None = None,
    max_seconds: float | None = None,
    precision: ResolvedPrecision = "fp32",
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> EncoderResult:
    """Train an encoder for ``model`` and write it to ``path``.

    Args:
        model: any that has w.
        path: the file (``.safetensors``). While the training is not finished, its state is beside it.
        settings: how to train.
        data: a store of real images, which are half of every batch.
        max_seconds: stop then; the file is written, and the same call continues.
        precision: of the networks' passes.
        overwrite: replace an older file, and start over.
        on_progress: told of every step.

    Raises:
        InputError: ``path`` exists, or holds the state of another training.
        UsageError: the path has another ending, or images of the store do not fit the model.
    """
    began, path, settings = time.perf_counter(), Path(path), settings or EncoderSettings()
    check_encoder_name(path)
    state = state_path(path)
    if overwrite:
        state.unlink(missing_ok=True)
    check_new(path, overwrite=overwrite or state.is_file())
    if data is not None and settings.batch < 2:
        raise UsageError("batch is 1; with real images (data) half of a batch is generated, so give 2 or more.")
    supply, data_hash = (None, None) if data is None else _supply(data, model, settings.seed)
    job = EncoderTraining(model=model, settings=settings, supply=supply, precision=precision)
    facts = {**settings.to_dict(), "data": data_hash, "precision": precision}
    header = EncoderHeader(model_hash=model.content_hash(), space=settings.space, images=0, settings=facts)
    if state.is_file():
        _continue(job, state, header)
    resumed_from = job.images
    _run(job, state, header, max_seconds, on_progress)
    header = replace(header, images=job.images)
    save_encoder(job.encoder, path, header)
    if job.is_finished:
        state.unlink(missing_ok=True)
    found = job.measured()
    return EncoderResult(
        path=path,
        space=settings.space,
        images=job.images,
        finished=job.is_finished,
        w_error=found["w"],
        psnr=found["psnr"],
        parameters=sum(weight.numel() for weight in job.encoder.parameters()),
        bytes=path.stat().st_size,
        model_hash=header.model_hash,
        resumed_from=resumed_from,
        seconds=time.perf_counter() - began,
    )


def _run(
    job: EncoderTraining,
    state: Path,
    header: EncoderHeader,
    max_seconds: float | None,
    on_progress: OnProgress,
) -> None:
    """Train to the end or until the time is up, one step at least, and keep the state of what is not finished."""
    began = saved = time.perf_counter()
    before = job.images
    try:
        while not job.is_finished:
            if max_seconds is not None and job.images > before and time.perf_counter() - began >= max_seconds:
                break
            losses = job.step()
            shown = {name: f"{value:.4f}" for name, value in losses.items()}
            on_progress(Progress(done=job.images, total=job.total, fields=shown))
            if time.perf_counter() - saved > SAVED_EVERY:
                _save(job, state, header)
                saved = time.perf_counter()
    finally:  # an interrupt, or an error such as a full disk: what was learned is kept
        if job.is_whole and not job.is_finished:
            _save(job, state, header)


def _supply(data: str | Path, model: Model, seed: int) -> tuple[Supply, str]:
    """Batches of a store's images, and its content hash.

    Raises:
        UsageError: its images are of another size or number of channels.
    """
    dataset = StoreDataset(data).unlabelled()
    wanted, held = (model.config.image_channels, *model.image_size), (dataset.image_channels, *dataset.image_size)
    if held != wanted:
        raise UsageError(
            f"The store {data} has images of {size_text(dataset.image_size)} with {held[0]} channels; the model makes "
            f"{size_text(model.image_size)} with {wanted[0]}. Prepare one that fits: sgkit prepare IMAGES --out STORE "
            f"--size {model.image_size[1]}x{model.image_size[0]}"
        )

    def supply(batch: int, start: int) -> Iterator[Tensor]:
        for found in batches(dataset, batch=batch, seed=seed, start=start):
            yield found.images.float() / 127.5 - 1

    return supply, dataset.header.content_hash


# ----------------------------------------------------------------------------------------------- state


def _save(job: EncoderTraining, path: Path, header: EncoderHeader) -> None:
    tensors = dict(job.encoder.state_dict())
    for name, weight in job.encoder.named_parameters():
        moments = job.optimizer.state.get(weight)
        if moments:
            tensors[AVERAGE + name], tensors[SQUARE + name] = moments["exp_avg"], moments["exp_avg_sq"]
    write_tensors(tensors, path, replace(header, images=job.images))


def _continue(job: EncoderTraining, path: Path, header: EncoderHeader) -> None:
    """Bring ``job`` to the state in ``path``.

    Raises:
        InputError: it is that of another training; the message says what differs.
        CheckpointError: it is damaged.
    """
    found, tensors = read_tensors(path)
    advice = f"Start over with --force (in Python: overwrite=True), or choose a different --out than {path.stem}."
    pairs: dict[str, tuple[object, object]] = {"model": (found.model_hash, header.model_hash)}
    pairs |= {name: (found.settings.get(name), value) for name, value in header.settings.items()}
    for name, (old, new) in pairs.items():
        if old != new:
            raise InputError(f"{path} is of a training with a different {name} ({old}, not {new}). {advice}")
    weights = {name: value for name, value in tensors.items() if not name.startswith((AVERAGE, SQUARE))}
    try:
        job.encoder.load_state_dict(weights)
        for name, weight in job.encoder.named_parameters() if found.images else ():
            job.optimizer.state[weight] = {
                "step": torch.tensor(float(found.images // job.settings.batch)),
                "exp_avg": tensors[AVERAGE + name].to(weight).reshape(weight.shape),
                "exp_avg_sq": tensors[SQUARE + name].to(weight).reshape(weight.shape),
            }
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"Cannot continue from {path}: it is damaged. {advice}") from error
    job.images = found.images
