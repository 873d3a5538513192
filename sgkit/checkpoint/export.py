"""Models written for other tools: rosinality's checkpoints, state dicts with NVIDIA's tensor names, and programs.

Checkpoints and state dicts load again with :func:`sgkit.load`, every tensor the same bit for bit unless a note says
what was changed to fit the format. Programs (ONNX, .pt2) are for other engines and are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import sgkit
from sgkit.checkpoint.adapters import nvidia
from sgkit.checkpoint.adapters.translate import translate_back
from sgkit.checkpoint.foreign_file import Array
from sgkit.checkpoint.native import save
from sgkit.checkpoint.programs import InputSpace, check_program, write_program
from sgkit.checkpoint.rosinality_export import ABSENT_LAYERS, write_rosinality
from sgkit.checkpoint.state_dict_files import CONFIG_KEY
from sgkit.errors import UsageError, did_you_mean
from sgkit.model import Model
from sgkit.model.labels import LabelChoice, label_vector
from sgkit.runtime.files import atomic_path, check_new, utf8_name

FORMS: dict[str, tuple[str, ...]] = {
    "native": (".safetensors",),
    "nvidia": (".npz", ".safetensors"),
    "rosinality": (".pt",),
    "onnx": (".onnx",),
    "pt2": (".pt2",),
}
"""Form -> the extensions that its files may have; an extension of several forms stands for the first."""
PROGRAMS = ("onnx", "pt2")
"""Forms that hold the generator as a program."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Result of :func:`export`."""

    form: str
    """One of :data:`FORMS`."""
    notes: dict[str, str]
    """What was changed or left out to fit the form, and what the form does not say: topic -> sentence."""


def export(
    model: Model,
    path: str | Path,
    *,
    form: str | None = None,
    label: LabelChoice | None = None,
    half: bool = False,
    space: InputSpace | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write ``model`` to ``path``, in the form that its extension or ``form`` names.

    Args:
        model: what to write.
        path: the file to make; its extension chooses the form when none is named.
        form: ``native`` (.safetensors), ``nvidia`` (a state dict with NVIDIA's names: .npz or .safetensors),
            ``rosinality`` (.pt), ``onnx`` (.onnx) or ``pt2`` (.pt2, for ``torch.export.load``).
        label: the class of a conditional model to keep, for the form without labels (``rosinality``).
        half: round every number to 16 bits, which halves a ``native`` file.
        space: the input of a program: ``z`` (default; with label and truncation psi) or ``w+``.
        overwrite: replace the file if it exists.

    Raises:
        InputError: the path exists.
        UsageError: the path has the wrong extension, the form is unknown or has no place for such a model, or the
            label does not fit; what does not fit is named.
        MissingDependencyError: ``onnx`` needs the package onnxscript.
    """
    path = Path(path)
    form = check_target(path, form, space=space, overwrite=overwrite)
    if label is not None and form != "rosinality":
        raise UsageError("This format keeps all classes, so --class has no effect here. Remove --class.")
    if half and form != "native":
        raise UsageError("Only sgkit's own format has 16 bits, so --half has no effect here. Remove --half.")
    vector = None if label is None else label_vector(model, label)
    notes: dict[str, str] = {}
    if form == "native":
        save(model, path, half=half)
        notes = {"precision": "every number was rounded to 16 bits"} if half else {}
    elif form == "nvidia":
        _write_nvidia(model, path)
    elif form in PROGRAMS:
        notes = write_program(model, path, form=form, space=space or "z")
    else:
        notes = write_rosinality(model, path, vector)
    return Exported(form=form, notes=notes)


def check_target(
    path: Path, form: str | None = None, *, space: InputSpace | None = None, overwrite: bool = False
) -> str:
    """The form that :func:`export` would write to ``path``; it raises what that would raise, before a model is read."""
    check_new(path, overwrite=overwrite)
    if form is not None and form not in FORMS:
        raise UsageError(f"Unknown form {form!r}. {did_you_mean(form, FORMS)}")
    chosen = [name for name, endings in FORMS.items() if path.suffix in endings and form in (None, name)]
    if not chosen:
        allowed = FORMS[form] if form else sorted({ending for endings in FORMS.values() for ending in endings})
        wanted = f" for --form {form}" if form else ""
        raise UsageError(
            f"Unsupported extension {path.suffix or '(none)'} of {path.name}{wanted}. Use {', '.join(allowed)}."
        )
    if space is not None and chosen[0] not in PROGRAMS:
        raise UsageError(
            f"--space chooses the inputs of an exported program, and {path.name} is not one. Remove --space, or write "
            ".onnx or .pt2."
        )
    check_program(chosen[0])
    return chosen[0]


def _write_nvidia(model: Model, path: Path) -> None:
    faults = list(_nvidia_faults(model))
    if faults:
        raise UsageError(
            f"Cannot export this model as a state dict with NVIDIA's tensor names: {'; '.join(faults)}. Use "
            ".safetensors."
        )
    config = model.config
    arrays: dict[str, Array] = {}
    for theirs, ours in nvidia.ROLES.items():
        network = model.networks().get(ours)
        if network is not None:
            is_discriminator = theirs == "D"
            table = nvidia.discriminator_rows(config) if is_discriminator else nvidia.generator_rows(config)
            tensors = translate_back(network.state_dict(), table) | nvidia.filters(config, None, is_discriminator)
            arrays |= {f"{theirs}.{name}": array for name, array in tensors.items()}
    _write_arrays(path, arrays, _header(model))


def _nvidia_faults(model: Model) -> Iterator[str]:
    """What the format cannot hold, each as a clause."""
    config = model.config
    if config.synthesis.layer in ABSENT_LAYERS and config.synthesis.layer != "alias_free":
        yield f"that format has no {ABSENT_LAYERS[config.synthesis.layer]}"
    if config.synthesis.growing:
        yield "that format has no networks that grow"
    if config.base != (4, 4):
        yield "that format has square images of a power of two only"
    if config.label_dim > 0 and config.mapping.label_mode != "embed":
        yield f"that format joins labels by an embedding, this model by {config.mapping.label_mode!r}"
    if config.mapping.gain_in_weight:
        yield "its mapping network has gains in the weights"
    mode = config.discriminator.label_mode
    if model.discriminator is not None and config.label_dim > 0 and mode != "project":
        yield f"its discriminator sees labels by {mode!r}"


def _header(model: Model) -> str:
    """What a state dict cannot say: configuration and provenance."""
    values = {"sgkit_version": sgkit.__version__, "config": model.config.to_dict(), "kimg": model.info.kimg}
    return json.dumps({**values, "provenance": dict(model.info.provenance)}, sort_keys=True)


def _write_arrays(path: Path, arrays: dict[str, Array], header: str) -> None:
    with atomic_path(path) as temporary:
        if path.suffix == ".npz":
            np.savez(temporary, **{CONFIG_KEY: np.array(header)}, **arrays)  # type: ignore[arg-type]
        else:
            with utf8_name(temporary) as name:
                save_file(arrays, name, metadata={CONFIG_KEY: header})
