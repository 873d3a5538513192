"""Models written for other tools: rosinality's checkpoints, and state dicts with NVIDIA's tensor names.

What is written loads again with :func:`sgkit.load`, every tensor the same bit for bit unless a note says what was
changed to fit the form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

import sgkit
from sgkit.checkpoint.adapters import nvidia, rosinality
from sgkit.checkpoint.adapters.translate import translate_back
from sgkit.checkpoint.fitting import LAYERS, fit_rosinality
from sgkit.checkpoint.foreign_file import Array
from sgkit.checkpoint.native import save
from sgkit.checkpoint.state_dict_files import CONFIG_KEY
from sgkit.config import ModelConfig
from sgkit.errors import UsageError, did_you_mean
from sgkit.model import Model
from sgkit.model.labels import LabelChoice, label_vector
from sgkit.runtime.files import atomic_path, check_new, utf8_name

FORMS: dict[str, tuple[str, ...]] = {
    "native": (".safetensors",),
    "nvidia": (".npz", ".safetensors"),
    "rosinality": (".pt",),
}
"""Form -> the endings that its files may have; of several forms with an ending, the first is meant by it."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Result of :func:`export`."""

    form: str
    """``native``, ``nvidia`` or ``rosinality``."""
    notes: dict[str, str]
    """What was changed or left out to fit the form, and what the form does not say: topic -> sentence."""


def export(
    model: Model,
    path: str | Path,
    *,
    form: str | None = None,
    label: LabelChoice | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write ``model`` to ``path``, in the form that its ending or ``form`` names.

    Args:
        model: what to write.
        path: the file to make; its ending chooses the form when none is named.
        form: ``native`` (.safetensors), ``nvidia`` (a state dict with NVIDIA's names: .npz or .safetensors) or
            ``rosinality`` (.pt).
        label: the class of a conditional model to keep, for the form without labels (``rosinality``).
        overwrite: replace the file if it exists.

    Raises:
        InputError: the path exists.
        UsageError: the path has the wrong ending, the form is unknown or has no place for such a model, or the label
            does not fit; what does not fit is named.
    """
    path = Path(path)
    form = check_target(path, form, overwrite=overwrite)
    if label is not None and form != "rosinality":
        raise UsageError("This format keeps all classes, so --class has no effect here. Remove --class.")
    vector = None if label is None else label_vector(model, label)
    notes: dict[str, str] = {}
    if form == "native":
        save(model, path)
    elif form == "nvidia":
        _write_nvidia(model, path)
    else:
        notes = _write_rosinality(model, path, vector)
    return Exported(form=form, notes=notes)


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


FORM_NAMES = {"nvidia": "a state dict with NVIDIA's tensor names", "rosinality": "rosinality .pt"}


def _refuse(form: str, faults: list[str]) -> None:
    if faults:
        raise UsageError(f"Cannot export this model as {FORM_NAMES[form]}: {'; '.join(faults)}. Use .safetensors.")


# ------------------------------------------------------------------------------------------------ NVIDIA

OLDER_LAYERS = {"adain", "pixel_norm", "self_modulated"}


def _write_nvidia(model: Model, path: Path) -> None:
    config = model.config
    synthesis, discriminator = config.synthesis, config.discriminator
    faults = [
        *([f"that format has no {LAYERS[synthesis.layer]}"] if synthesis.layer in OLDER_LAYERS else []),
        *(["that format has no networks that grow"] if synthesis.growing else []),
        *(["that format has square images of a power of two only"] if not _is_classic(config) else []),
        *(
            [f"that format joins labels by an embedding, this model by {config.mapping.label_mode!r}"]
            if _has_odd_labels(config)
            else []
        ),
        *(["its mapping network has gains in the weights"] if config.mapping.gain_in_weight else []),
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
        table = nvidia.discriminator_rows(config) if is_discriminator else nvidia.generator_rows(config)
        filters = nvidia.filters(config, None, is_discriminator)
        tensors = {**translate_back(network.state_dict(), table), **filters}
        arrays.update({f"{theirs}.{name}": array for name, array in tensors.items()})
    header = _header(model)
    with atomic_path(path) as aside:
        if path.suffix == ".npz":
            np.savez(aside, **{CONFIG_KEY: np.array(header)}, **arrays)  # type: ignore[arg-type]
        else:
            with utf8_name(aside) as name:
                save_file(arrays, name, metadata={CONFIG_KEY: header})


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


def _write_rosinality(model: Model, path: Path, label: Tensor | None) -> dict[str, str]:
    fitted, notes = fit_rosinality(model, label)
    config = fitted.config
    roles = {"generator": "g_ema", "raw_generator": "g", "discriminator": "d"}
    saved: dict[str, Any] = {}
    for ours, network in fitted.networks().items():
        is_discriminator = ours == "discriminator"
        table = rosinality.discriminator_rows(config) if is_discriminator else rosinality.generator_rows(config)
        filters = rosinality.filters(config, discriminator=is_discriminator)
        arrays = {**translate_back(network.state_dict(), table), **filters}
        saved[roles[ours]] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if ours == "generator":
            saved["latent_avg"] = network.state_dict()["mapping.w_avg"].detach().cpu().clone()
        elif ours == "raw_generator":
            saved["g_latent_avg"] = network.state_dict()["mapping.w_avg"].detach().cpu().clone()
    saved["kimg"] = float(fitted.info.kimg)
    with atomic_path(path) as aside:
        torch.save(saved, aside)
    return notes
