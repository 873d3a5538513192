"""The configuration that a new or resumed run trains with, checked against its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sgkit
from sgkit import checkpoint
from sgkit.config import GrowthConfig, ModelConfig, TrainConfig, override, presets
from sgkit.config.base import differences
from sgkit.config.synonyms import known_as
from sgkit.errors import CheckpointError, ConfigError, InputError, TrainingError, UsageError
from sgkit.metrics.registry import metric_rows
from sgkit.model import ModelInfo
from sgkit.model.precision import training_precision
from sgkit.runs import auto
from sgkit.runs.applies import check_effect
from sgkit.runs.auto import Machine
from sgkit.runs.config import DataFacts, RunConfig
from sgkit.runs.culprits import check_labels
from sgkit.runs.folder import RunFolder
from sgkit.runs.presets import check_memory, memory_bytes
from sgkit.runs.scores import other_part
from sgkit.runs.trackers import WandbTracker
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.precision import ResolvedPrecision, resolve_precision
from sgkit.store import StoreDataset
from sgkit.store.header import LabelSchema, size_text
from sgkit.training.batches import check_batch
from sgkit.training.schedules import stage_at
from sgkit.training.transfer import fitted_config

FP16_CLAMP = 256.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, apart from the images."""

    store: str
    preset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys; each must have an effect."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys of a configuration file, under ``settings``. A whole configuration, as runs write it, may hold keys
    that have no effect."""
    new_data: bool = False
    """The run continues with different images than before."""
    memory_gib: float | None = None
    """Memory that training must fit in, by splitting batches."""
    is_restarted: bool = False
    """torchrun has started this process again after a failure, with the same request."""

    @property
    def changes(self) -> dict[str, Any]:
        """All keys except those that sgkit determines.

        Raises:
            UsageError: ``settings`` has one of these.
        """
        for key in self.settings:
            if key.startswith("data.") or key in _FOUND:
                raise UsageError(f"{key} cannot be set: sgkit determines it. Remove it.")
        given = {**self.base, **self.settings}
        return {key: value for key, value in given.items() if not key.startswith("data.") and key not in _FOUND}

    @property
    def checked(self) -> list[str]:
        """The keys that must have an effect."""
        is_whole = "sgkit" in self.base
        return [*self.settings, *(() if is_whole else self.base)]


_FOUND = ("sgkit", "init_kimg", "choices")


def configured(
    folder: RunFolder | None, dataset: StoreDataset, request: Request, context: DistributedContext
) -> RunConfig:
    """The configuration of the run to resume in ``folder`` (``None``: of a new one), which fits images and processes.

    Raises:
        ConfigError, UsageError, TrainingError: as :func:`new_config` and :func:`resumed_config`.
    """
    if request.memory_gib is not None and "train.micro_batch" in request.settings:
        raise UsageError(
            "--memory and train.micro_batch both say how many images are held in memory at once. Give one of them."
        )
    if folder is None:
        if request.new_data:
            raise UsageError("--new-data has no effect here: there is no run to resume in this folder. Remove it.")
        memory = memory_bytes(context.device)
        machine = auto.this_machine(context.device, num_processes=context.world_size, memory_bytes=memory)
        config = new_config(dataset, request, machine=machine)
    else:
        config = resumed_config(folder, dataset, request)
    if request.memory_gib is not None:
        config = replace(config, train=replace(config.train, micro_batch=None))
    check_batch(config.model, config.train, world_size=context.world_size)
    check_memory(config.model, context.device)
    if config.model.label_dim > 0:
        check_labels(dataset)
    if config.wandb is not None:
        WandbTracker.check()
    if config.metrics.names:
        rows = metric_rows(config.metrics.names)  # refuses unknown ones
        lacking = [row.name for row in rows if row.method == "linear_separability"]
        if lacking:
            raise UsageError(
                f"{lacking[0]} needs a classifier, so it is not measured during training. Measure snapshots: sgkit "
                f"metrics RUN --metrics {lacking[0]} --classifier FILE"
            )
    return config


def run_precision(
    config: RunConfig, request: Request, context: DistributedContext, *, resumed: bool
) -> ResolvedPrecision:
    """The number format of a run.

    A new run records what ``auto`` became. So a resumed one says ``auto`` only if an earlier version started it, by the
    rule of that version, or if the request asks for it now.
    """
    if resumed and "train.precision" not in request.settings:
        return resolve_precision(config.train.precision, context.device)
    return training_precision(config.train.precision, config.model, context)


def is_restarted() -> bool:
    """Whether torchrun has started this process again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def new_config(dataset: StoreDataset, request: Request, *, machine: Machine | None = None) -> RunConfig:
    """The configuration of a new run: a preset fitted to images and machine, with the request over it.

    Without a preset, or with ``auto``, it is chosen by images and machine. With the setting ``init`` the networks are
    those of that model, fitted to the images, and the preset is the recipe.

    Raises:
        ConfigError: an unknown preset or key, or a value that does not fit the images.
        UsageError: a key has no effect.
    """
    machine = machine or Machine()
    changes = request.changes
    if str(changes.get("model.label_dim")) == "0":
        dataset = dataset.unlabelled()
    init = override(RunConfig(), {"init": changes.pop("init", None)}).init  # the "none" of a file is None
    named = changes.pop("preset", None)
    source = None if init is None else checkpoint.load(init)
    name, chosen = request.preset or named or auto.AUTO, None
    if name == auto.AUTO:
        chosen = auto.choose(
            auto.Images(count=len(dataset), size=dataset.image_size, labels=_labels(dataset)),
            machine,
            given=changes,
            init=None if source is None else source.config,
        )
        name = chosen.preset
    count = machine.num_processes
    row = presets.preset(name, **_images(dataset), num_processes=count, batch=_batch(name, changes))
    info = ModelInfo()
    if source is not None:
        row, info = _begun_from(source.config, row, dataset), source.info
    config = RunConfig(
        preset=name,
        sgkit=sgkit.__version__,
        choices=() if chosen is None else chosen.lines,
        init=init,
        init_kimg=info.kimg,
        data=_data_facts(dataset, request.store),
        model=row.model,
        train=row.train,
    )
    beside = other_part(dataset.reader.path)
    if beside is not None:
        config = replace(config, health=replace(config.health, held_out=str(beside)))
    config = override(config, (chosen.changes if chosen else {}) | changes, synonym=known_as)
    _check_fits(config, dataset)
    check_effect(config, request.checked)
    config = _with_p(config, info)
    if chosen is not None and request.memory_gib is None:
        config = _in_memory(config, machine)
    return _clamped(config) if config.train.precision == "fp16" else config


def _labels(dataset: StoreDataset) -> LabelSchema:
    return dataset.header.labels if dataset.label_dim else LabelSchema()


def _in_memory(config: RunConfig, machine: Machine) -> RunConfig:
    """``config`` with its batch split where the machine's memory seems to be too small for it."""
    train = config.train
    found = None if train.micro_batch else auto.micro_batch(config.model, train.batch, machine)
    if found is None:
        return config
    held, line = found
    return replace(config, train=replace(train, micro_batch=held), choices=(*config.choices, line))


def _data_facts(dataset: StoreDataset, store: str) -> DataFacts:
    header = dataset.header
    return DataFacts(
        store=store,
        content_hash=header.content_hash,
        num_images=header.num_images,
        class_names=header.labels.names if header.labels.kind == "class" and dataset.label_dim else (),
    )


def _with_p(config: RunConfig, info: ModelInfo) -> RunConfig:
    """``config`` with the probability of augmentation that the model of ``info`` was trained with last, for ADA."""
    p, augment = info.augment_p, config.train.augment
    if augment.kind != "ada" or augment.p is not None or p is None:
        return config
    return replace(config, train=replace(config.train, augment=replace(augment, p=round(p, 6))))


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


def resumed_config(folder: RunFolder, dataset: StoreDataset, request: Request) -> RunConfig:
    """The configuration that the run in ``folder`` continues with: its own, with the request over it.

    Raises:
        ConfigError: a key cannot change, is unknown, or has a value that does not fit.
        UsageError: a key has no effect.
        TrainingError: the images are different ones, and the request does not allow that.
    """
    stored = folder.read_config()
    _check_unchanged(folder, stored)
    if request.preset not in (None, stored.preset):
        raise ConfigError(
            f"{folder.path} was started with preset {stored.preset!r}; it cannot continue with {request.preset!r}. "
            "Leave --preset out, or start a new run."
        )
    config = override(stored, request.changes, synonym=known_as)
    fixed = [key for key in differences(config, stored) if key.startswith(_FIXED)]
    if fixed:
        what = "network" if fixed[0].startswith(("model.", "train.")) else "beginning"
        raise ConfigError(
            f"The {what} of {folder.path} is fixed; {fixed[0]!r} cannot change on --resume. "
            "Leave it out, or start a new run."
        )
    check_effect(config, request.checked)
    _check_length(folder, config, stored, request)
    if config.model.label_dim == 0:
        dataset = dataset.unlabelled()
    config = _checked_data(folder, config, dataset, request)
    _check_fits(config, dataset)
    return config


def _checked_data(folder: RunFolder, config: RunConfig, dataset: StoreDataset, request: Request) -> RunConfig:
    """``config`` with the images that the run continues with."""
    before, now = config.data, _data_facts(dataset, request.store)
    if before.content_hash == now.content_hash:
        if request.new_data and not request.is_restarted:
            raise UsageError(f"--new-data has no effect here: {folder.path} is trained on these images. Remove it.")
        return config
    if not request.new_data:
        raise TrainingError(
            f"{folder.path} was trained on different images ({before.num_images} of store {before.store!r}) than this "
            f"store's {now.num_images}. Name that store to resume; add --new-data to continue with this one; or start "
            "a new run."
        )
    if before.class_names != now.class_names and len(before.class_names) == len(now.class_names):
        raise ConfigError(
            f"{folder.path} cannot continue with {request.store}: its classes are "
            f"{', '.join(now.class_names) or 'none'}, the run's are {', '.join(before.class_names) or 'none'}. Prepare "
            "a store with the same classes, in the same order."
        )
    return replace(config, data=now)


def _check_length(folder: RunFolder, config: RunConfig, stored: RunConfig, request: Request) -> None:
    """Refuse a new length that has been passed already: it would do nothing."""
    snapshots, total = folder.snapshots(), config.train.total_kimg
    if not snapshots or "train.total_kimg" not in request.settings or total == stored.train.total_kimg:
        return
    done = snapshots[-1].images
    if total * 1000 <= done - stage_at(done, config.model, config.train).batch:
        raise UsageError(
            f"--kimg {total:g} has no effect here: {folder.path} is already trained to {done / 1000:g} kimg. Give a "
            "larger number, or leave it out."
        )


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
