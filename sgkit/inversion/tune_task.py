"""Pivotal tuning from the folders of projections to a file of tuned weights."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.checkpoint.deltas import save_delta, with_delta
from sgkit.config.tune import TuneSettings
from sgkit.errors import InputError, UsageError
from sgkit.inversion.losses import distance_to, pixel_error
from sgkit.inversion.targets import read_targets, target_images
from sgkit.inversion.training_state import load_state, run, save_state, state_path
from sgkit.inversion.tuning import Tuning, shown
from sgkit.latents.files import load_latents
from sgkit.latents.spaces import Latents, join
from sgkit.model import Model
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import check_new
from sgkit.runtime.path_checks import latent_files, one_or_many
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, ignore_progress

TARGET = "target.png"
DRIFT_SEEDS = range(16)
"""Seeds whose images are compared before and after."""
_SHOWN = 64
"""Images measured at a time."""


@dataclass(frozen=True, kw_only=True)
class TunedImage:
    """What tuning did to the image of one pivot."""

    name: str
    psnr_before: float
    """Peak signal-to-noise ratio to the target in decibels, of the model given."""
    psnr: float
    """The same of the tuned model, as the file has it."""
    distance_before: float
    """By the loss."""
    distance: float


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """What was written."""

    path: Path
    images: tuple[TunedImage, ...]
    rank: int | None
    rank_error: float
    """Length of the changes that the rank leaves out, as a fraction of all changes; 0: the file is exact."""
    parameters: int
    """Numbers in the file."""
    bytes: int
    drift_psnr: float
    """Peak signal-to-noise ratio in decibels between images of seeds before and after: how far the model moved
    elsewhere."""
    model_hash: str
    """Of the model given."""
    tuned_hash: str
    """Of the tuned model."""
    resumed_from: int
    """Steps that an earlier call had made."""
    seconds: float


def tune_files(
    model: Model,
    projections: str | Path | Iterable[str | Path],
    path: str | Path,
    settings: TuneSettings | None = None,
    *,
    precision: ResolvedPrecision = "fp32",
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> TuneResult:
    """Tune ``model`` to the targets of projections, and write what changed to ``path``.

    Args:
        model: the model that the projections were made with.
        projections: folders that ``sgkit project`` wrote, of one image or several: latents and targets are read.
        path: the file of tuned weights (``.safetensors``). While the tuning is not finished, its state is beside it.
        settings: how to tune.
        precision: of the networks' passes.
        overwrite: replace an older file, and start over.
        on_progress: told of every step.

    Raises:
        InputError: no projection was given, or it is of a different model; or ``path`` exists, or holds the state of a
            different tuning.
        UsageError: the latents are of several spaces or do not fit the model; or the path has another ending.
    """
    began, path, settings = time.perf_counter(), Path(path), settings or TuneSettings()
    state = state_path(path)
    if overwrite:
        state.unlink(missing_ok=True)
    check_new(path, overwrite=overwrite or state.is_file())
    latents, targets = read_pivots(projections, model)
    job = Tuning(before=model, latents=latents, targets=targets, settings=settings, precision=precision)
    resumed_from = _tune(job, state, on_progress)
    tuned = job.result()
    facts: dict[str, Any] = {"images": list(latents.names[:100])} | settings.to_dict()
    header = save_delta(model, tuned, path, rank=settings.rank, settings=facts)
    state.unlink(missing_ok=True)
    tuned = with_delta(model, path)
    before, after = (_measured(one, latents, targets, settings, precision) for one in (model, tuned))
    return TuneResult(
        path=path,
        images=tuple(
            TunedImage(name=name, psnr_before=old[0], psnr=new[0], distance_before=old[1], distance=new[1])
            for name, old, new in zip(latents.names, before, after, strict=True)
        ),
        rank=header.rank,
        rank_error=header.error,
        parameters=header.parameters,
        bytes=path.stat().st_size,
        drift_psnr=_drift(model, tuned),
        model_hash=header.model_hash,
        tuned_hash=header.tuned_hash,
        resumed_from=resumed_from,
        seconds=time.perf_counter() - began,
    )


def _tune(job: Tuning, state: Path, on_progress: OnProgress) -> int:
    """Tune to the end, from the state that an earlier call left if there is one; the step that it began with."""
    digest = hashlib.sha256(job.targets.cpu().numpy().tobytes())
    for tensor in [*job.latents.values.values(), *job.latents.noise.values()]:
        digest.update(tensor.cpu().numpy().tobytes())
    facts = {"model": job.before.content_hash(), "images": digest.hexdigest(), "precision": job.precision}
    held: dict[str, Any] = {"module": job.moved, "optimizer": job.optimizer, "facts": facts | job.settings.to_dict()}
    if state.is_file():
        job.done = load_state(state, **held)
    resumed_from = job.done
    run(
        job,
        lambda: save_state(state, done=job.done, **held),
        context=DistributedContext(),
        unit="steps",
        on_progress=on_progress,
    )
    return resumed_from


def read_pivots(projections: str | Path | Iterable[str | Path], model: Model) -> tuple[Latents, Tensor]:
    """The latents of projections, and the images that they were found for, [N, C, H, W], -1 to 1.

    Raises:
        InputError: a folder holds no projection, or one of a different model.
        UsageError: the latents are of several spaces.
    """
    own, fitting = model.content_hash(), (None, model.content_hash(), *model.info.tuned_from)
    parts, images = [], []
    for file in [file for one in one_or_many(projections) for file in latent_files(one)]:
        latents, target = load_latents(file, model=model), file.parent / TARGET
        if latents.model_hash not in fitting:
            raise InputError(
                f"{file} was made with a different model: its latents belong to the one with the hash "
                f"{str(latents.model_hash)[:12]}, and the given one has {own[:12]}. Give that model, or project the "
                "image again: sgkit project MODEL IMAGE --out FOLDER"
            )
        if not target.is_file() or len(latents) != 1:
            raise InputError(
                f"{file} is not the latent of a projection: there is no {TARGET} beside it, to which the model is "
                "tuned. Give a folder that 'sgkit project MODEL IMAGE --out FOLDER' made."
            )
        parts.append(latents)
        images.append(target)
    if not parts:
        raise UsageError("No projection was given. Make one with: sgkit project MODEL IMAGE --out FOLDER")
    return join(parts), target_images(list(read_targets(images, model)), model)


@torch.no_grad()
def _measured(
    model: Model, latents: Latents, targets: Tensor, settings: TuneSettings, precision: ResolvedPrecision
) -> list[tuple[float, float]]:
    """(PSNR, distance) of each pivot's image."""
    found = []
    images = shown(model, latents, precision).clamp(-1, 1)
    for start in range(0, len(images), _SHOWN):
        part = slice(start, start + _SHOWN)
        distances = distance_to(targets[part], model, settings.likeness())(images[part])
        errors = pixel_error(images[part], targets[part])
        found += [(_psnr(error), distance) for error, distance in zip(errors.tolist(), distances.tolist(), strict=True)]
    return found


@torch.no_grad()
def _drift(model: Model, tuned: Model) -> float:
    """PSNR between images of seeds before and after."""
    z = model.sample_z(DRIFT_SEEDS) if model.config.z_dim else None
    count, dim = len(DRIFT_SEEDS), model.config.label_dim
    label = torch.eye(dim, device=model.device)[torch.arange(count) % dim] if dim else None
    ws = model.map(z, label)
    old, new = (torch.cat([one.synthesize(w[None]) for w in ws]).float().clamp(-1, 1) for one in (model, tuned))
    return _psnr(pixel_error(old, new).mean().item())


def _psnr(error: float) -> float:
    """Decibels for a mean squared error of values from -1 to 1."""
    return -10 * math.log10(max(error / 4, 1e-12))
