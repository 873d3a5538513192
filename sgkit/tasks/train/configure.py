"""The configuration that a run starts or goes on with, and the refusal of what does not fit its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sgkit
from sgkit import checkpoint, presets
from sgkit.config import GrowthConfig, ModelConfig, TrainConfig, differences, override
from sgkit.errors import CheckpointError, ConfigError, InputError, TrainingError, UsageError
from sgkit.store import StoreDataset
from sgkit.store.header import size_text
from sgkit.training.run import DataFacts, RunConfig, RunFolder
from sgkit.training.transfer import fitted_config

__all__ = ["INIT_PRESET", "new_config", "resumed_config"]

INIT_PRESET = "ada-auto"
"""Recipe of a run that begins from a model and names no preset."""
FP16_CLAMP = 256.0


def new_config(
    dataset: StoreDataset,
    store: str | Path,
    preset: str | None,
    settings: Mapping[str, Any],
    *,
    num_processes: int = 1,
) -> RunConfig:
    """The configuration of a new run: a preset fitted to images and processes, with ``settings`` over it.

    With the setting ``init`` the networks are those of that model, fitted to the images, and the preset is the recipe.

    Raises:
        ConfigError: an unknown preset or key, or a value that does not fit the images.
        UsageError: neither preset nor model is named.
    """
    changes = _own_changes(settings)
    if str(changes.get("model.label_dim")) == "0":
        dataset = dataset.unlabelled()
    init = override(RunConfig(), {"init": changes.pop("init", None)}).init  # the "none" of a file is None
    name = preset or changes.pop("preset", None)
    if not name and init is None:
        raise UsageError(f"Name a preset with --preset: {', '.join(presets.PRESETS)}.")
    changes.pop("preset", None)
    name = name or INIT_PRESET
    row = presets.preset(name, **_images(dataset), num_processes=num_processes, batch=_batch(name, changes))
    if init is not None:
        row = _begun_from(checkpoint.load(init).config, row, dataset)
    header = dataset.header
    data = DataFacts(
        store=str(store),
        content_hash=header.content_hash,
        num_images=header.num_images,
        class_names=header.labels.names if header.labels.kind == "class" and dataset.label_dim else (),
    )
    config = RunConfig(preset=name, sgkit=sgkit.__version__, init=init, data=data, model=row.model, train=row.train)
    config = override(config, changes)
    _check_fits(config, dataset)
    return _clamped(config) if config.train.precision == "fp16" else config


def _batch(name: str, changes: Mapping[str, Any]) -> int | None:
    """Return the batch that ``changes`` ask for, on which other constants of a preset may depend; ``None``: its own.

    Raises:
        ConfigError: the preset's batch follows the resolution, so one number would do nothing.
    """
    if "train.batch" not in changes:
        return None
    batch = override(TrainConfig(), {"batch": changes["train.batch"]}).batch
    growth = presets.PRESETS[name].train.growth if name in presets.PRESETS else None
    if growth is not None and growth.batches and not {"train.growth", "train.growth.batches"} & changes.keys():
        raise ConfigError(
            f"train.batch is {batch}, but the batch of preset {name!r} follows the resolution: "
            f"{', '.join(map(str, growth.batches))} at 4, 8, 16 ... pixels. To use {batch} at every resolution: "
            f"--set train.growth.batches={batch}"
        )
    return batch


def _begun_from(source: ModelConfig, row: presets.Preset, dataset: StoreDataset) -> presets.Preset:
    """Return the row's recipe for the networks of another model, fitted to the images.

    Average and augmentation react faster than in a run from nothing and nothing is blurred before D, as ADA and
    StyleGAN3 do it for transfer learning; networks that grew are trained at full size.
    """
    model = fitted_config(source, **_images(dataset))
    augment = replace(row.train.augment, kimg=min(row.train.augment.kimg, 100.0))
    alias_free = model.synthesis.alias_free
    if alias_free is not None:  # its running magnitudes follow this run's batch, not that of the source
        alias_free = replace(alias_free, magnitude_ema_beta=presets.magnitude_ema_beta(row.train.batch))
        model = replace(model, synthesis=replace(model.synthesis, alias_free=alias_free))
    growth = None
    if model.synthesis.growing:
        growth = replace(row.train.growth or GrowthConfig(), start_resolution=model.resolution)
    train = replace(row.train, augment=augment, ema_rampup=None, d_blur_sigma=0.0, growth=growth)
    return replace(row, model=model, train=train)


def _images(dataset: StoreDataset) -> dict[str, Any]:
    return {
        "image_size": dataset.image_size,
        "image_channels": dataset.image_channels,
        "label_dim": dataset.label_dim,
    }


def _clamped(config: RunConfig) -> RunConfig:
    """The networks with layers clamped to what fp16 can hold, where the preset has no clamp (ADA, appendix)."""
    model = config.model
    parts = {
        name: replace(getattr(model, name), conv_clamp=getattr(model, name).conv_clamp or FP16_CLAMP)
        for name in ("synthesis", "discriminator")
    }
    return replace(config, model=replace(model, **parts))


def resumed_config(
    folder: RunFolder, dataset: StoreDataset, preset: str | None, settings: Mapping[str, Any]
) -> RunConfig:
    """The configuration that the run in ``folder`` goes on with: its own, with ``settings`` over it."""
    stored = folder.read_config()
    _check_unchanged(folder, stored)
    if preset not in (None, stored.preset):
        raise ConfigError(
            f"{folder.path} was started with preset {stored.preset!r}; it cannot continue with {preset!r}. "
            "Leave --preset out, or start a new run."
        )
    config = override(stored, _own_changes(settings))
    fixed = [key for key in differences(config, stored) if key.startswith(_FIXED)]
    if fixed:
        raise ConfigError(
            f"The network of {folder.path} is fixed; {fixed[0]!r} cannot change on --resume. "
            "Leave it out, or start a new run."
        )
    if dataset.header.content_hash != stored.data.content_hash:
        raise TrainingError(
            f"{folder.path} was trained on different images ({stored.data.num_images} of store {stored.data.store!r}) "
            f"than this store's {dataset.header.num_images}. Name that store to resume, or start a new run."
        )
    _check_fits(config, dataset.unlabelled() if config.model.label_dim == 0 else dataset)
    return config


_FIXED = ("preset", "init", "model.", "train.freeze_")


def _check_unchanged(folder: RunFolder, stored: RunConfig) -> None:
    """Refuse a ``config.toml`` whose networks are not those of the snapshots.

    Raises:
        ConfigError: says which key has changed, from what to what.
    """
    for snapshot in reversed(folder.snapshots()):
        try:
            trained = checkpoint.read_header(snapshot.model).config
        except (CheckpointError, InputError):  # damaged: an older one decides
            continue
        changed = differences(stored.model, trained)
        if changed:
            words = [f"model.{key} is {now!r} instead of {before!r}" for key, (now, before) in changed.items()]
            raise ConfigError(
                f"{folder.config_file} does not fit snapshot {snapshot.folder.name}: {'; '.join(words[:5])}"
                f"{'; ...' if len(words) > 5 else ''}. The networks of a run are fixed: change this back, or "
                "start a new run."
            )
        return


def _own_changes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` without what a run finds out itself, so that the ``config.toml`` of one run may start another."""
    return {key: value for key, value in settings.items() if not key.startswith("data.") and key != "sgkit"}


def _check_fits(config: RunConfig, dataset: StoreDataset) -> None:
    model = config.model
    pairs = [
        ("image_size", size_text(model.image_size), size_text(dataset.image_size)),
        ("image_channels", model.image_channels, dataset.image_channels),
        ("label_dim", model.label_dim, dataset.label_dim),
    ]
    for name, wanted, given in pairs:
        if wanted != given:
            raise ConfigError(
                f"model.{name} is {wanted}, but the store's is {given}. Leave it out: the store decides; "
                f"or {'set it to 0 to train without labels' if name == 'label_dim' else 'prepare a store that fits'}."
            )
