"""The file of a training state: everything of a snapshot but the networks, as safetensors, never pickle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sgkit.errors import CheckpointError, TrainingError
from sgkit.runtime.files import atomic_path, utf8_name
from sgkit.training.augment import Controller
from sgkit.training.optimizers import LossScale
from sgkit.training.state import TrainState
from sgkit.unpickle.safetensors_header import read_safetensors_header

FORMAT = "sgkit-training-state"
VERSION = 2
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_state(state: TrainState, path: Path) -> None:
    """Write everything but the networks, which travel in the model file, to ``path``."""
    tensors = {"pl_mean": state.pl_mean}
    for name, optimizer in state.optimizers.items():
        for key, parameter in state.trained(name).items():
            for moment, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{name}.{moment}.{key}"] = value.detach().contiguous()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "images": state.images,
        "step": state.step,
        "lr_factor": state.lr_factor,
        "health": state.health,
        "augment": state.augment.to_dict(),
        "loss_scales": {name: asdict(scale) for name, scale in state.loss_scales.items()},
        "has_moments": {name: bool(optimizer.state) for name, optimizer in state.optimizers.items()},
    }
    with atomic_path(path) as temporary, utf8_name(temporary) as name:
        save_file(tensors, name, metadata={"sgkit": json.dumps(header)})


def load_state(state: TrainState, path: Path) -> None:
    """Put what :func:`save_state` wrote into ``state``, whose model is that of the same snapshot.

    Raises:
        TrainingError: the file is damaged, of another version, or does not fit the networks.
    """
    header, tensors = _read(path)
    try:
        state.images, state.step, state.lr_factor = header["images"], header["step"], header["lr_factor"]
        state.health = header.get("health", {})  # runs of earlier versions begin a new window
        state.augment = Controller(**header["augment"])
        state.loss_scales = {name: LossScale(**header["loss_scales"][name]) for name in state.optimizers}
        state.pl_mean.copy_(tensors.pop("pl_mean"))
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not a complete training state ({error}).") from None
    for name, optimizer in state.optimizers.items():
        if not header["has_moments"][name]:
            continue
        for key, parameter in state.trained(name).items():
            optimizer.state[parameter] = {
                moment: _like(tensors.pop(f"{name}.{moment}.{key}", None), parameter, f"{name}.{moment}.{key}", path)
                for moment in _MOMENTS
            }
    if tensors:
        raise TrainingError(_misfit(path, f"it holds {next(iter(tensors))!r}"))


def _misfit(path: Path, what: str) -> str:
    return (
        f"{path} does not fit train.freeze_d, train.freeze_mapping and train.freeze_affine ({what}). Which weights are "
        "trained cannot change during a run: set these keys back to what they were, or start a new run."
    )


def _like(value: Tensor | None, parameter: Tensor, name: str, path: Path) -> Tensor:
    """``value`` where and as Adam keeps it for ``parameter``."""
    if value is None:
        raise TrainingError(_misfit(path, f"it lacks {name!r}"))
    if value.ndim == 0 and name.split(".")[1] == "step":
        return value.to(parameter.device)
    if value.shape != parameter.shape:
        raise TrainingError(f"{path}: {name!r} is {list(value.shape)}, the network's is {list(parameter.shape)}.")
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        header = json.loads(read_safetensors_header(path).metadata.get("sgkit", "{}"))
        with utf8_name(path) as utf8_path, safe_open(utf8_path, framework="pt") as file:
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise TrainingError(f"{path} is not a training state of sgkit.")
            if header.get("version") != VERSION:
                raise TrainingError(
                    f"{path} is a training state of version {header.get('version')}; this sgkit reads version "
                    f"{VERSION}. Use the sgkit that wrote it."
                )
            return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, RecursionError, CheckpointError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error}). Remove its snapshot folder to resume from the one before it."
        ) from error
