"""One function that opens any model: sgkit's own file, a run directory, or a foreign checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch

from sgkit.checkpoint.adapters import model_of
from sgkit.checkpoint.native import is_native, load_native, read_header
from sgkit.checkpoint.state_dicts import is_state_dict, load_state_dicts
from sgkit.errors import CheckpointError, InputError, UsageError
from sgkit.model import Model

__all__ = ["form_of", "load", "model_file"]

SNAPSHOTS, BEST = "snapshots", "best.json"


def load(path: str | Path, *, device: torch.device | str = "cpu", image_size: int | None = None) -> Model:
    """The model at ``path``: a ``.safetensors`` of sgkit, a run directory, or a checkpoint of another project.

    Nothing in a file is ever executed. Networks come in evaluation mode, on ``device``.

    Args:
        path: file or run directory.
        device: where the networks shall be.
        image_size: side of the images, for the one kind of file that does not say it (rosinality's StyleGAN1).

    Raises:
        CheckpointError: the file is damaged, hostile, unsupported, or does not fit its network.
        InputError: there is nothing at ``path``.
    """
    file = model_file(path)
    form = form_of(file)
    if form != "foreign" and image_size is not None:
        raise UsageError(f"Image size {image_size} was given, but {file.name} says itself how large images are.")
    if form == "native":
        return load_native(file, device=device)
    if form == "state dict":
        return load_state_dicts(file).to(device)
    return model_of(file, image_size=image_size).to(device)


def form_of(file: Path) -> Literal["native", "state dict", "foreign"]:
    """Who can read a file, by its first bytes."""
    if is_state_dict(file):
        return "state dict"
    return "native" if is_native(file) else "foreign"


def model_file(path: str | Path) -> Path:
    """The file that ``path`` stands for: itself, or a snapshot of a run directory.

    That is the best one by the run's first metric, or where none was measured the one that has seen the most images.

    Raises:
        InputError: there is nothing at ``path``, or a directory without snapshots.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"There is no model {str(path)!r}. Give a model file, a run directory, or a checkpoint.")
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
        raise InputError(f"{str(path)!r} holds no snapshots yet. Give a model file, or a run directory with snapshots.")
    return max(snapshots, key=lambda file: (snapshots[file], str(file)))


def _best(run: Path) -> Path | None:
    """The model of the snapshot that a run directory names as its best, if it is still there."""
    try:
        name = json.loads((run / BEST).read_text(encoding="utf-8"))["snapshot"]
        file = run / SNAPSHOTS / Path(str(name)).name / "model.safetensors"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return file if file.is_file() else None
