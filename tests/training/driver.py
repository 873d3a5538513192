"""Training without a store: images and labels that are functions of their number in the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.config import ModelConfig, TrainConfig
from sgkit.model import build
from sgkit.runs.state import load_state, save_state
from sgkit.training.batches import Supply
from sgkit.training.loop import TrainReport, train
from sgkit.training.schedules import Stage
from sgkit.training.state import TrainState


@dataclass(frozen=True)
class Batch:
    images: Tensor
    labels: Tensor


def supply_for(config: ModelConfig, *, start: int = 0, steps: int | None = None) -> Supply:
    """Batches of noise from image ``start`` on, with one class after the other; they end after ``steps``."""

    def supply(stage: Stage, mine: range) -> Iterator[Batch]:
        classes = torch.eye(max(config.label_dim, 1))[:, : config.label_dim]
        for step in itertools.count() if steps is None else range(steps):
            first = start + step * stage.batch
            numbers = range(first + mine.start, first + mine.stop)
            shape = (config.image_channels, *stage.size)
            random = [torch.Generator().manual_seed(number) for number in numbers]
            images = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for generator in random]
            yield Batch(torch.stack(images), torch.stack([classes[number % len(classes)] for number in numbers]))

    return supply


def steps(state: TrainState, config: TrainConfig, **options: Any) -> Iterator[TrainReport]:
    """Reports of a whole run, one after each step."""

    def supply(stage: Stage, mine: range) -> Any:
        return supply_for(state.model.config, start=state.images)(stage, mine)

    return train(state, supply, config, **options)


def run(state: TrainState, config: TrainConfig, **options: Any) -> list[TrainReport]:
    """All reports of a whole run."""
    return list(steps(state, config, **options))


def resumed(state: TrainState, config: TrainConfig, path: Path) -> TrainState:
    """What a new process makes of ``state``, whose file is written to ``path``."""
    save_state(state, path)
    torch.manual_seed(99)  # global random state must not matter
    model = build(state.model.config, seed=7)
    for name, network in model.networks().items():
        network.load_state_dict(state.model.networks()[name].state_dict())
    again = TrainState.start(model, config)
    load_state(again, path)
    return again


def weights(state: TrainState) -> dict[str, Tensor]:
    """All tensors of the networks, by name."""
    networks = state.model.networks().items()
    return {f"{name}.{key}": value.clone() for name, net in networks for key, value in net.state_dict().items()}


def tensors(state: TrainState) -> dict[str, Tensor]:
    """Everything that a run carries, by name."""
    found = {"pl_mean": state.pl_mean.clone()}
    for name, optimizer in state.optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            found |= {f"{name}.{index}.{key}": value.clone() for key, value in moments.items()}
    return found | weights(state)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Names of the tensors that differ."""
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.allclose(value, after[name], 0, 0, equal_nan=True)}
