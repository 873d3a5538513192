"""The configuration that a run starts or goes on with, and the refusal of what does not fit its images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import sgkit
from sgkit import presets
from sgkit.config import override
from sgkit.errors import ConfigError, TrainingError, UsageError
from sgkit.runtime.precision import ResolvedPrecision, resolve_precision
from sgkit.store import StoreDataset
from sgkit.training.run import DataFacts, RunConfig, RunFolder

__all__ = ["new_config", "resumed_config", "training_precision"]


def new_config(dataset: StoreDataset, store: str | Path, preset: str | None, settings: Mapping[str, Any]) -> RunConfig:
    """The configuration of a new run: a preset fitted to the images, with ``settings`` over it."""
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


def resumed_config(
    folder: RunFolder, dataset: StoreDataset, preset: str | None, settings: Mapping[str, Any]
) -> RunConfig:
    """The configuration that the run in ``folder`` goes on with: its own, with ``settings`` over it."""
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


def training_precision(name: str, device: torch.device) -> ResolvedPrecision:
    """The precision that ``name`` stands for, where training can use it."""
    precision = resolve_precision(name, device)
    if precision == "fp16":
        raise ConfigError("train.precision fp16 needs loss scaling, which is not there yet. Use bf16 or fp32.")
    return precision
