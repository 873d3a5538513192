"""All that a run carries from step to step beside its configuration, and its file: safetensors, never pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sgkit.config import TrainConfig
from sgkit.errors import TrainingError
from sgkit.model import Discriminator, Generator, Model
from sgkit.runtime.files import atomic_path
from sgkit.training.schedules import lazy_adam

__all__ = ["TrainState", "load_state", "save_state"]

FORMAT = "sgkit-training-state"
VERSION = 1
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(kw_only=True)
class TrainState:
    """Networks, optimizers and counts of a run. Random numbers are functions of the counts, so none are kept."""

    model: Model
    g_optimizer: torch.optim.Adam
    d_optimizer: torch.optim.Adam
    pl_mean: Tensor
    """Running mean of path lengths, a scalar."""
    images: int = 0
    """Real images shown to the discriminator so far."""
    step: int = 0

    @classmethod
    def start(cls, model: Model, config: TrainConfig) -> TrainState:
        """State of a run that begins with ``model``, which must have its discriminator.

        Raises:
            TrainingError: the model has no discriminator.
        """
        if model.discriminator is None:
            raise TrainingError("The model has no discriminator, so it cannot be trained. Start from one that has.")
        if model.raw_generator is None:
            raise TrainingError("The model holds only the averaged generator. Start from a snapshot of a run.")
        model.generator.requires_grad_(False).eval()
        for network in (model.raw_generator, model.discriminator):
            network.requires_grad_(False).train()
        device = next(model.generator.parameters()).device
        return cls(
            model=model,
            g_optimizer=_adam(
                model.raw_generator, config, config.g_lr, config.pl_interval if config.pl_weight else None
            ),
            d_optimizer=_adam(
                model.discriminator, config, config.d_lr, config.r1_interval if config.r1_gamma else None
            ),
            pl_mean=torch.zeros([], device=device),
        )

    @property
    def generator(self) -> Generator:
        """The generator that is trained, not averaged."""
        assert self.model.raw_generator is not None
        return self.model.raw_generator

    @property
    def discriminator(self) -> Discriminator:
        """The discriminator."""
        assert self.model.discriminator is not None
        return self.model.discriminator

    @property
    def kimg(self) -> float:
        """Thousands of images shown so far."""
        return self.images / 1000.0


def save_state(state: TrainState, path: Path) -> None:
    """Write everything but the networks, which travel in the model file, to ``path``."""
    tensors = {"pl_mean": state.pl_mean}
    for name, network, optimizer in _parts(state):
        for key, parameter in network.named_parameters():
            for moment, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{name}.{moment}.{key}"] = value.detach().contiguous()
    header = {"format": FORMAT, "version": VERSION, "images": state.images, "step": state.step}
    with atomic_path(path) as aside:
        save_file(tensors, aside, metadata={"sgkit": json.dumps(header)})


def load_state(state: TrainState, path: Path) -> None:
    """Put what :func:`save_state` wrote into ``state``, whose model is that of the same snapshot.

    Raises:
        TrainingError: the file is damaged, of another version, or does not fit the networks.
    """
    header, tensors = _read(path)
    state.images, state.step = int(header["images"]), int(header["step"])
    state.pl_mean.copy_(tensors.pop("pl_mean"))
    for name, network, optimizer in _parts(state):
        for key, parameter in network.named_parameters():
            moments = {moment: tensors.pop(f"{name}.{moment}.{key}", None) for moment in _MOMENTS}
            if state.step == 0 and all(value is None for value in moments.values()):
                continue
            optimizer.state[parameter] = {
                moment: _like(value, parameter, f"{name}.{moment}.{key}", path) for moment, value in moments.items()
            }
    if tensors:
        raise TrainingError(f"{path} holds {next(iter(tensors))!r}, which the networks have no place for.")


def _parts(state: TrainState) -> tuple[tuple[str, nn.Module, torch.optim.Adam], ...]:
    return ("g", state.generator, state.g_optimizer), ("d", state.discriminator, state.d_optimizer)


def _like(value: Tensor | None, parameter: Tensor, name: str, path: Path) -> Tensor:
    """``value`` where and as Adam keeps it for ``parameter``."""
    if value is None:
        raise TrainingError(f"{path} lacks {name!r}; it belongs to another network.")
    if value.ndim == 0 and name.split(".")[1] == "step":
        return value.to(parameter.device)
    if value.shape != parameter.shape:
        raise TrainingError(f"{path}: {name!r} is {list(value.shape)}, the network's is {list(parameter.shape)}.")
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("sgkit", "{}"))
            if header.get("format") != FORMAT:
                raise TrainingError(f"{path} is no training state of sgkit.")
            if header.get("version") != VERSION:
                raise TrainingError(
                    f"{path} is a training state of version {header.get('version')}; this sgkit reads version "
                    f"{VERSION}. Use the sgkit that wrote it."
                )
            return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error}). Remove its snapshot folder to resume from the one before it."
        ) from error


def _adam(network: nn.Module, config: TrainConfig, lr: float, interval: int | None) -> torch.optim.Adam:
    lr, betas = lazy_adam(lr, config.adam_betas, interval=interval)
    # Not fused: that one changes weights without telling their version, by which the networks know what to recompute.
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, eps=config.adam_eps, foreach=True)
