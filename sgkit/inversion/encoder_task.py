"""Training an encoder into a file: interrupted at any moment, the same call continues to the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sgkit.config.encoder import EncoderSettings
from sgkit.errors import UsageError
from sgkit.inversion.encoder_file import EncoderHeader, check_encoder_name, save_encoder
from sgkit.inversion.encoder_training import EncoderTraining, Supply
from sgkit.inversion.training_state import load_state, run, save_state, state_path
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import check_new
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store import StoreDataset, batches
from sgkit.store.header import size_text


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


def train_encoder(
    model: Model,
    path: str | Path,
    settings: EncoderSettings | None = None,
    *,
    data: str | Path | None = None,
    max_seconds: float | None = None,
    precision: ResolvedPrecision = "fp32",
    overwrite: bool = False,
    context: DistributedContext | None = None,
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
        context: the processes that share the images of every step; each of them calls this.
        on_progress: told of every step.

    Raises:
        InputError: ``path`` exists, or holds the state of another training.
        UsageError: the path has another ending, images of the store do not fit the model, or the processes cannot
            share a step equally.
    """
    began, path, settings = time.perf_counter(), Path(path), settings or EncoderSettings()
    check_encoder_name(path)
    context, state = context or DistributedContext(), state_path(path)
    if overwrite and context.is_main:
        state.unlink(missing_ok=True)
    context.barrier()
    check_new(path, overwrite=overwrite or state.is_file())
    if data is not None and settings.batch < 2:
        raise UsageError("batch is 1; with real images (data) half of a batch is generated, so give 2 or more.")
    supply, data_hash = (None, None) if data is None else _supply(data, model, settings.seed)
    job = EncoderTraining(model=model, settings=settings, supply=supply, precision=precision, context=context)
    facts = {**settings.to_dict(), "data": data_hash, "precision": precision}
    header = EncoderHeader(model_hash=model.content_hash(), space=settings.space, images=0, settings=facts)
    held: dict[str, Any] = {"module": job.encoder, "optimizer": job.optimizer}
    held["facts"] = {"model": header.model_hash, **facts}
    if state.is_file():
        job.images = load_state(state, **held)
    resumed_from = job.images
    context.barrier()  # the state may be replaced from now on

    def save() -> None:
        save_state(state, done=job.images, **held)

    run(job, save, context=context, max_seconds=max_seconds, on_progress=on_progress)
    header = replace(header, images=job.images)
    if context.is_main:
        save_encoder(job.encoder, path, header)
        if job.is_finished:
            state.unlink(missing_ok=True)
    context.barrier()
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
