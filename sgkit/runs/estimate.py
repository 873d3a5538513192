"""What a run would be, before it begins: its configuration, size, memory and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sgkit.errors import ConfigError
from sgkit.runs.config import RunConfig
from sgkit.runs.configure import Request, configured, run_precision
from sgkit.runs.expect import expectations
from sgkit.runs.folder import RunFolder
from sgkit.runs.presets import BYTES, full_size_batch, parameter_counts
from sgkit.runs.probe import Cost, measure_cost
from sgkit.runtime.device import resolve_device
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.store import StoreDataset
from sgkit.training.batches import mixes_batch, share


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a run would be."""

    config: RunConfig
    device: str
    precision: str
    parameters: dict[str, int]
    """Of generator and discriminator."""
    held_images: int
    """Images in memory at once, per process."""
    memory_gib: float
    """At most, per process."""
    sec_per_kimg: float
    done_kimg: float
    """What the run to resume has done; 0 for a new one."""
    hours: float
    """From there to the end."""
    expected: dict[str, str]
    """When to expect recognisable pictures and a usable model, in words; those that are still to come."""
    snapshot_mib: float
    num_snapshots: int
    """That stay on the disk."""
    probed_images: int
    """Memory and time are those of steps with fewer images, scaled."""


def plan(
    store: str | Path,
    out: str | Path | None = None,
    *,
    preset: str | None = None,
    config: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    new_data: bool = False,
    memory_gib: float | None = None,
    device: str = "auto",
    on_progress: OnProgress = ignore_progress,
) -> TrainPlan:
    """What :func:`sgkit.runs.run` with these arguments would do, from a few steps of it; nothing is written.

    Raises:
        ConfigError: an unknown preset or key, a value that does not fit the images, or too little memory.
        InputError: ``out`` cannot hold the run.
        StoreError: the store cannot be used.
    """
    folder, dataset = None if out is None else RunFolder(Path(out)), StoreDataset(store)
    context = DistributedContext(device=resolve_device(device))
    request = Request(
        store=str(store),
        preset=preset,
        base=config or {},
        settings=settings or {},
        new_data=new_data,
        memory_gib=memory_gib,
    )
    resumed = folder if folder is not None and resume and folder.config_file.exists() else None
    if folder is not None and resumed is None:
        folder.check_new()
    run = configured(resumed, dataset, request, context)
    precision = run_precision(run, request, context, resumed=resumed is not None)
    run, cost = bounded(run, context, precision, memory_gib, on_progress=on_progress)
    counts, train = parameter_counts(run.model), run.train
    held, pace = held_images(run, context), cost.seconds_per_image * 1000
    done = resumed.snapshots()[-1].kimg if resumed is not None and resumed.snapshots() else 0.0
    # Weights and two moments of each, and the averaged generator.
    size = (4 * counts["generator"] + 3 * counts["discriminator"]) * BYTES
    snapshots = int(train.total_kimg / train.snapshot_kimg) + 1
    kept = snapshots if run.keep.last is None else min(snapshots, run.keep.last + run.keep.best)
    expected = expectations(run, sec_per_kimg=pace, memory_gib=None, done_kimg=done)
    for name in ("measured", "the end", "to stop"):
        expected.pop(name, None)
    return TrainPlan(
        config=run,
        device=str(context.device),
        precision=precision,
        parameters=counts,
        held_images=held,
        memory_gib=cost.peak(held),
        sec_per_kimg=pace,
        done_kimg=done,
        hours=pace * max(train.total_kimg - done, 0.0) / 3600,
        expected=expected,
        snapshot_mib=size / 2**20,
        num_snapshots=kept,
        probed_images=cost.batch,
    )


def bounded(
    config: RunConfig,
    context: DistributedContext,
    precision: ResolvedPrecision,
    memory_gib: float | None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> tuple[RunConfig, Cost]:
    """``config`` with the largest micro batch that stays below ``memory_gib`` (``None``: as it is), and what it costs.

    Raises:
        ConfigError: the smallest micro batch needs more, or the generator needs the whole batch at once.
    """
    model, train = config.model, config.train
    wanted = held_images(config, context)
    cost = measure_cost(
        model,
        train,
        device=context.device,
        precision=precision,
        num_images=wanted,
        limit_gib=memory_gib,
        on_progress=on_progress,
    )
    if memory_gib is None or cost.peak(wanted) <= memory_gib:
        return config, cost
    group = model.discriminator.mbstd_group_size if model.discriminator.mbstd_num_channels > 0 else 1
    unit = wanted if group is None else min(group, wanted)
    fitting = [number for number in range(unit, wanted + 1, unit) if cost.peak(number) <= memory_gib]
    if not fitting:
        raise ConfigError(
            f"Training needs about {cost.peak(unit):.2f} GiB even with {unit} images at once; --memory allows "
            f"{memory_gib:g}. Allow more, or take a smaller preset or smaller images."
        )
    if mixes_batch(model):
        raise ConfigError(
            f"Training needs about {cost.peak(wanted):.2f} GiB; --memory allows {memory_gib:g}. A self-modulated "
            "generator makes all images of a step at once, so its batch cannot be split to fit. Use --batch "
            f"{fitting[-1] * context.world_size} or less, or allow more."
        )
    return replace(config, train=replace(train, micro_batch=fitting[-1])), cost


def held_images(config: RunConfig, context: DistributedContext) -> int:
    """Images that a process holds in memory at once, at full size."""
    part = len(share(full_size_batch(config.model, config.train), rank=0, world_size=context.world_size))
    return min(config.train.micro_batch or part, part)
