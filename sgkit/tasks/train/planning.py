"""What a run would be, before it begins: its configuration, size, memory and time; and the table of presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import ConfigError
from sgkit.model import Discriminator, Generator
from sgkit.presets import PRESETS, preset
from sgkit.runtime.device import resolve_device
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, resolve_precision
from sgkit.store import StoreDataset
from sgkit.store.header import Header, size_text
from sgkit.tasks.train.configure import new_config
from sgkit.tasks.train.probe import Cost, measure_cost
from sgkit.training.loop import check_batch, share
from sgkit.training.run import RunConfig, RunFolder
from sgkit.training.schedules import stages

__all__ = ["PresetRow", "TrainPlan", "bounded", "introduction", "parameter_counts", "plan", "preset_rows"]

_BYTES = 4


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
    hours: float
    """From start to end."""
    snapshot_mib: float
    num_snapshots: int
    """That stay on the disk."""
    probed_images: int
    """Memory and time are those of steps with so many images, scaled."""


@dataclass(frozen=True, kw_only=True)
class PresetRow:
    """A preset in numbers."""

    name: str
    summary: str
    size: str
    """``WxH`` that the numbers are for."""
    generator: int
    """Parameters."""
    discriminator: int
    batch: int
    lr: float
    r1_gamma: float
    pl_weight: float
    mixing: float
    loss: str
    kimg: float


def preset_rows(image_size: tuple[int, int] | None = None) -> list[PresetRow]:
    """Every preset, fitted to images of ``image_size`` (height, width); ``None``: each as it is made for.

    Raises:
        ConfigError: no network fits the size.
    """
    rows = []
    for name in PRESETS:
        row = preset(name, image_size=image_size)
        counts, train = parameter_counts(row.model), row.train
        height, width = row.model.image_size
        rows.append(
            PresetRow(
                name=name,
                summary=row.summary,
                size=f"{width}x{height}",
                generator=counts["generator"],
                discriminator=counts["discriminator"],
                batch=full_size_batch(row.model, train),
                lr=train.g_lr,
                r1_gamma=train.r1_gamma,
                pl_weight=train.pl_weight,
                mixing=train.style_mixing_prob,
                loss=train.loss,
                kimg=train.total_kimg,
            )
        )
    return rows


def parameter_counts(model: ModelConfig) -> dict[str, int]:
    """Parameters of generator and discriminator; nothing is allocated for it."""
    with torch.device("meta"):
        networks = {"generator": Generator(model), "discriminator": Discriminator(model)}
    return {name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()}


def plan(
    store: str | Path,
    *,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    memory_gib: float | None = None,
    device: str = "auto",
) -> TrainPlan:
    """What a new run would be, from a few steps of it; nothing is written.

    Raises:
        ConfigError: an unknown preset or key, a value that does not fit the images, or too little memory.
        StoreError: the store cannot be used.
    """
    dataset = StoreDataset(store)
    config = new_config(dataset, store, preset, settings or {})
    check_batch(config.model, config.train)
    context = DistributedContext(device=resolve_device(device))
    precision = resolve_precision(config.train.precision, context.device)
    config, cost = bounded(config, context, precision, memory_gib)
    counts, train = parameter_counts(config.model), config.train
    held = held_images(config, context)
    pace = cost.seconds_per_image * 1000
    # Weights and two moments of each, and the averaged generator.
    size = (4 * counts["generator"] + 3 * counts["discriminator"]) * _BYTES
    snapshots = int(train.total_kimg / train.snapshot_kimg) + 1
    kept = snapshots if config.keep.last is None else min(snapshots, config.keep.last + config.keep.best)
    return TrainPlan(
        config=config,
        device=str(context.device),
        precision=precision,
        parameters=counts,
        held_images=held,
        memory_gib=cost.peak(held),
        sec_per_kimg=pace,
        hours=pace * train.total_kimg / 3600,
        snapshot_mib=size / 2**20,
        num_snapshots=kept,
        probed_images=cost.batch,
    )


def bounded(
    config: RunConfig, context: DistributedContext, precision: ResolvedPrecision, memory_gib: float | None
) -> tuple[RunConfig, Cost]:
    """``config`` with the largest micro batch that stays below ``memory_gib`` (``None``: as it is), and what it costs.

    Raises:
        ConfigError: the smallest micro batch needs more.
    """
    model, train = config.model, config.train
    wanted = held_images(config, context)
    cost = measure_cost(
        model, train, device=context.device, precision=precision, num_images=wanted, limit_gib=memory_gib
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
    return replace(config, train=replace(train, micro_batch=fitting[-1])), cost


def full_size_batch(model: ModelConfig, train: TrainConfig) -> int:
    """Images per step at full size: what costs most where networks grow and the batch shrinks as they do."""
    return stages(model, train)[-1].batch


def held_images(config: RunConfig, context: DistributedContext) -> int:
    """Images that a process holds in memory at once, at full size."""
    part = len(share(full_size_batch(config.model, config.train), rank=0, world_size=context.world_size))
    return min(config.train.micro_batch or part, part)


def introduction(
    folder: RunFolder, config: RunConfig, header: Header, context: DistributedContext, precision: ResolvedPrecision
) -> str:
    """What is trained on what, and how, in a line."""
    model = config.model
    sizes = ", ".join(f"{name} {count:,}" for name, count in parameter_counts(model).items())
    kind = "classes" if config.data.class_names else "labels"
    labels = f" with {model.label_dim} {kind}" if model.label_dim else ""
    processes = f", {context.world_size} processes" if context.world_size > 1 else ""
    return (
        f"{config.preset} (parameters: {sizes}) on {header.num_images:,} images of "
        f"{size_text(model.image_size)}x{model.image_channels}{labels}, to {config.train.total_kimg:g} kimg; "
        f"{precision} on {context.device}{processes}. To watch: {folder.report_file}"
    )
