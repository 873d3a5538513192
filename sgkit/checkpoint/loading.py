"""One function that opens any model: sgkit's own file, a run directory, or a foreign checkpoint."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch

from sgkit.checkpoint.adapters import model_of
from sgkit.checkpoint.compressed import unpacked
from sgkit.checkpoint.deltas import with_delta
from sgkit.checkpoint.native import METADATA_KEY, load_native, read_header
from sgkit.checkpoint.state_dict_files import CONFIG_KEY, load_state_dicts
from sgkit.errors import CheckpointError, CheckpointWarning, InputError, UsageError
from sgkit.model import Model
from sgkit.model.inputs import as_device
from sgkit.runtime.detect import detect
from sgkit.runtime.model_names import split_name
from sgkit.runtime.path_checks import check_model
from sgkit.text import name_list
from sgkit.unpickle.safetensors_header import read_safetensors_header

SNAPSHOTS, BEST = "snapshots", "best.json"


def load(path: str | Path, *, device: torch.device | str = "cpu", image_size: int | None = None) -> Model:
    """The model at ``path``: a ``.safetensors`` of sgkit, a run directory, or a checkpoint of another project.

    Or the packaged model of that name (:func:`sgkit.list_models`), if there is no such file or folder; or any of these
    with the weights that ``sgkit tune`` made, as ``MODEL+DELTA``.

    Nothing in a file is ever executed. Networks come in evaluation mode, on ``device``.

    Args:
        path: file, run directory, or name of a packaged model.
        device: where to put the networks.
        image_size: side of the images, for the one kind of file that does not say it (rosinality's StyleGAN1).

    Raises:
        CheckpointError: the file is damaged, hostile, unsupported, or does not fit its network.
        InputError: there is nothing at ``path``.
    """
    file, device = model_file(path), as_device(device)
    base, delta = split_name(file)
    if delta is not None:
        return with_delta(load(base, image_size=image_size), delta).to(device)
    with unpacked(detect(file)) as inner:
        form = form_of(inner)
        if form == "native":
            if image_size is not None:
                raise UsageError(f"{file.name} records the size of its images. Remove --size {image_size}.")
            return load_native(inner, device=device)
        if form == "state dict":
            model, is_own = load_state_dicts(inner, is_npz=detect(inner).kind == "npz", image_size=image_size)
            if is_own:
                return model.to(device)
        else:
            model = model_of(inner, image_size=image_size)
    for text in load_notes(model):
        warnings.warn(f"{file.name}: {text}", CheckpointWarning, stacklevel=2)
    return model.to(device)


def load_notes(model: Model) -> list[str]:
    """What a user of a foreign file should know: what was left out, and what replaces what was missing."""
    told = model.info.provenance
    notes: list[str] = []
    if told.get("ignored"):
        notes.append(f"ignored, as the networks have no place for it: {name_list(told['ignored'])}.")
    for name, reason in told.get("left_out", {}).items():
        notes.append(f"the {name.replace('_', ' ')} was left out, which changes no image: {reason}")
    notes += [f"{told[key]}." for key in ("generator", "w_avg", "noise_maps") if key in told]
    if isinstance(told.get("options"), str):
        notes.append(f"{told['options']}.")
    return notes


def form_of(file: Path) -> Literal["native", "state dict", "foreign"]:
    """Who can read a file, by its first bytes and, of a ``.safetensors``, by its header."""
    kind = detect(file).kind
    if kind != "safetensors":
        return "state dict" if kind == "npz" else "foreign"
    with suppress(CheckpointError):
        metadata = read_safetensors_header(file).metadata
        return "state dict" if CONFIG_KEY in metadata or METADATA_KEY not in metadata else "native"
    return "native"  # damaged: its reader says how


def model_file(path: str | Path) -> Path:
    """The model file at ``path``: itself (``MODEL+DELTA``, too), or a snapshot of a run directory.

    That is the best one by the run's first metric, or where none was measured the one that has seen the most images.

    Raises:
        InputError: there is nothing at ``path``, or a directory without snapshots.
    """
    found = check_model(path)
    if not found.is_folder:
        return found.path
    path = found.path
    best = _best(path)
    if best is not None:
        return best
    folder = path / SNAPSHOTS if (path / SNAPSHOTS).is_dir() else path
    snapshots = {}
    for file in sorted([*folder.glob("[!.]*.safetensors"), *folder.glob("[!.]*/[!.]*.safetensors")]):
        try:
            snapshots[file] = read_header(file).info.kimg
        except (CheckpointError, InputError):
            continue  # a folder of that name, or a file of another purpose, such as the state that a run continues from
    if not snapshots:
        raise InputError(f"Not a model: {path} is {found.phrase}. {found.advice}")
    return max(snapshots, key=lambda file: (snapshots[file], str(file)))


def _best(run: Path) -> Path | None:
    """The model of the snapshot that a run directory names as its best, if it is still there."""
    try:
        name = json.loads((run / BEST).read_text(encoding="utf-8"))["snapshot"]
        file = run / SNAPSHOTS / Path(str(name)).name / "model.safetensors"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return file if file.is_file() else None
