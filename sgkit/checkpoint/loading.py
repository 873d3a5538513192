"""One function that opens any model: sgkit's own file, a run directory, or a foreign checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from sgkit.checkpoint.adapters import model_of
from sgkit.checkpoint.native import is_native, load_native, read_header
from sgkit.errors import CheckpointError, InputError
from sgkit.model import Model

__all__ = ["load", "model_file"]

SNAPSHOTS = "snapshots"


def load(path: str | Path, *, device: torch.device | str = "cpu") -> Model:
    """The model at ``path``: a ``.safetensors`` of sgkit, a run directory, or a checkpoint of another project.

    Nothing in a file is ever executed. Networks come in evaluation mode, on ``device``.

    Raises:
        CheckpointError: the file is damaged, hostile, unsupported, or does not fit its network.
        InputError: there is nothing at ``path``.
    """
    file = model_file(path)
    if is_native(file):
        return load_native(file, device=device)
    return model_of(file).to(device)


def model_file(path: str | Path) -> Path:
    """The file that ``path`` stands for: itself, or the snapshot of a run directory that has seen the most images.

    Raises:
        InputError: there is nothing at ``path``, or a directory without snapshots.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"There is no model {str(path)!r}. Give a model file, a run directory, or a checkpoint.")
    folder = path / SNAPSHOTS if (path / SNAPSHOTS).is_dir() else path
    snapshots = {}
    for file in sorted([*folder.glob("[!.]*.safetensors"), *folder.glob("[!.]*/[!.]*.safetensors")]):
        try:
            snapshots[file] = read_header(file).info.kimg
        except CheckpointError:
            continue  # a file of another purpose, such as the state that a run continues from
    if not snapshots:
        raise InputError(f"{str(path)!r} holds no snapshots yet. Give a model file, or a run directory with snapshots.")
    return max(snapshots, key=lambda file: (snapshots[file], str(file)))
