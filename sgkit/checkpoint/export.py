"""Models written for other tools: rosinality's checkpoints, and state dicts with NVIDIA's tensor names.

What is written loads again with :func:`sgkit.load`, every tensor the same bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

import sgkit
from sgkit.checkpoint.adapters import nvidia, rosinality
from sgkit.checkpoint.adapters.tables import Array, written
from sgkit.checkpoint.native import save
from sgkit.checkpoint.state_dicts import ARRAY_KEY, METADATA_KEY
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import UsageError, did_you_mean
from sgkit.model import Model
from sgkit.runtime.files import atomic_path, check_new

__all__ = ["FORMS", "check_target", "export"]

FORMS: dict[str, tuple[str, ...]] = {
    "native": (".safetensors",),
    "nvidia": (".npz", ".safetensors"),
    "rosinality": (".pt",),
}
"""Form -> the endings that its files may have; of several forms with an ending, the first is meant by it."""


def export(model: Model, path: str | Path, *, form: str | None = None, overwrite: bool = False) -> str:
    """The form in which ``model`` was written to ``path``.

    Args:
        model: what to write.
        path: the file to make; its ending chooses the form when none is named.
        form: ``native`` (.safetensors), ``nvidia`` (a state dict with NVIDIA's names: .npz or .safetensors) or
            ``rosinality`` (.pt).
        overwrite: replace the file if it exists.

    Raises:
        InputError: the path exists.
        UsageError: the path has the wrong ending, or the form is unknown or has no place for such a model; what does
            not fit is named.
    """
    path = Path(path)
    form = check_target(path, form, overwrite=overwrite)
    if form == "native":
        save(model, path)
    elif form == "nvidia":
        _write_nvidia(model, path)
    else:
        _write_rosinality(model, path)
    return form


def check_target(path: Path, form: str | None = None, *, overwrite: bool = False) -> str:
    """The form that :func:`export` would write to ``path``; it raises what that would raise, before a model is read."""
    check_new(path, overwrite=overwrite)
    if form is None:
        form = next((name for name, endings in FORMS.items() if path.suffix in endings), None)
    if form is None:
        endings = sorted({ending for endings in FORMS.values() for ending in endings})
        raise UsageError(f"Unsupported extension {path.suffix or '(none)'} of {path.name}. Use {', '.join(endings)}.")
    if form not in FORMS:
        raise UsageError(f"Unknown form {form!r}. {did_you_mean(form, FORMS)}")
    if path.suffix not in FORMS[form]:
        raise UsageError(
            f"Unsupported extension {path.suffix or '(none)'} of {path.name} for --form {form}. "
            f"Use {' or '.join(FORMS[form])}."
        )
    return form


def _refuse(form: str, faults: list[str]) -> None:
    if faults:
        raise UsageError(
            f"Form {form!r} has no place for this model: {'; '.join(faults)}. Write it as native .safetensors instead."
        )


# ------------------------------------------------------------------------------------------------ NVIDIA


def _write_nvidia(model: Model, path: Path) -> None:
    config = model.config
    synthesis, discriminator = config.synthesis, config.discriminator
    faults = [
        *([f"its layers are {synthesis.layer!r}"] if synthesis.layer not in ("modulated", "alias_free") else []),
        *(["it grows"] if synthesis.growing else []),
        *(["its images are not square powers of two"] if not _is_classic(config) else []),
        *([f"its labels are joined by {config.mapping.label_mode!r}"] if _has_odd_labels(config) else []),
        *(["its mapping has gains in the weights"] if config.mapping.gain_in_weight else []),
    ]
    if model.discriminator is not None and config.label_dim > 0 and discriminator.label_mode != "project":
        faults.append(f"its discriminator judges labels by {discriminator.label_mode!r}")
    _refuse("nvidia", faults)
    arrays: dict[str, Array] = {}
    for theirs, ours in nvidia.ROLES.items():
        network = model.networks().get(nvidia.ROLES[theirs])
        if network is None:
            continue
        is_discriminator = ours == "discriminator"
        table = nvidia.discriminator_table(config) if is_discriminator else nvidia.generator_table(config)
        tensors = {**written(network.state_dict(), table), **_filters(config, is_discriminator)}
        arrays.update({f"{theirs}.{name}": array for name, array in tensors.items()})
    header = _header(model)
    with atomic_path(path) as aside:
        if path.suffix == ".npz":
            np.savez(aside, **{ARRAY_KEY: np.array(header)}, **arrays)  # type: ignore[arg-type]
        else:
            save_file(arrays, aside, metadata={METADATA_KEY: header})


def _filters(config: ModelConfig, discriminator: bool) -> dict[str, Array]:
    return nvidia.derived_tensors(config, discriminator=discriminator)


def _header(model: Model) -> str:
    """What a state dict cannot say: configuration and provenance."""
    info = model.info
    values = {"sgkit_version": sgkit.__version__, "config": model.config.to_dict(), "kimg": info.kimg}
    return json.dumps({**values, "provenance": dict(info.provenance)}, sort_keys=True)


def _is_classic(config: ModelConfig) -> bool:
    return config.base == (4, 4)


def _has_odd_labels(config: ModelConfig) -> bool:
    return config.label_dim > 0 and config.mapping.label_mode != "embed"


# -------------------------------------------------------------------------------------------- rosinality


def _write_rosinality(model: Model, path: Path) -> None:
    config = model.config
    _refuse("rosinality", _rosinality_faults(model))
    roles = {"generator": "g_ema", "raw_generator": "g", "discriminator": "d"}
    saved: dict[str, Any] = {}
    for ours, network in model.networks().items():
        is_discriminator = ours == "discriminator"
        table = rosinality.discriminator_table(config) if is_discriminator else rosinality.generator_table(config)
        arrays = {**written(network.state_dict(), table), **rosinality.derived_tensors(config, roles[ours])}
        saved[roles[ours]] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if ours == "generator":
            saved["latent_avg"] = network.state_dict()["mapping.w_avg"].detach().cpu().clone()
        elif ours == "raw_generator":
            saved["g_latent_avg"] = network.state_dict()["mapping.w_avg"].detach().cpu().clone()
    saved["kimg"] = float(model.info.kimg)
    with atomic_path(path) as aside:
        torch.save(saved, aside)


def _rosinality_faults(model: Model) -> list[str]:
    """Where a model's configuration departs from the only one that rosinality's code has."""
    config = model.config
    width = config.w_dim
    wanted: list[tuple[str, Any, Any]] = [
        ("label_dim", config.label_dim, 0),
        ("image_channels", config.image_channels, 3),
        ("base_size", config.base, (4, 4)),
        ("z_dim", config.z_dim, width),
        *_departures("mapping", config.mapping, MappingConfig(), ("num_layers", "w_avg_beta", "layer_features")),
        *_departures("synthesis", config.synthesis, SynthesisConfig(), ("channel_base", "channel_max", "channels")),
    ]
    if config.mapping.layer_features is not None:
        wanted.append(("mapping.layer_features", config.mapping.layer_features, width))
    if model.discriminator is not None:
        free = ("channel_base", "channel_max", "channels", "mapping", "label_mode", "label_projection_dim")
        wanted += _departures("discriminator", config.discriminator, DiscriminatorConfig(), free)
    return [f"{name} is {value!r}, it has {only!r}" for name, value, only in wanted if value != only]


def _departures(where: str, given: Any, default: Any, free: tuple[str, ...]) -> list[tuple[str, Any, Any]]:
    return [(f"{where}.{n}", getattr(given, n), getattr(default, n)) for n in vars(given) if n not in free]
