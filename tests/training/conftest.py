"""A tiny model, its recipe, and images that need no store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig, TrainConfig
from sgkit.model import build
from sgkit.training.batches import Supply
from sgkit.training.schedules import Stage
from sgkit.training.state import TrainState


@dataclass(frozen=True)
class FakeBatch:
    images: Tensor
    labels: Tensor


SupplyMaker = Callable[..., Supply]


@pytest.fixture
def model_config() -> ModelConfig:
    return ModelConfig(
        image_size=(8, 16),
        z_dim=6,
        w_dim=5,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(channel_base=64, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=64, channel_max=8, mbstd_group_size=2),
    )


@pytest.fixture
def train_config() -> TrainConfig:
    return TrainConfig(
        total_kimg=0.048, batch=8, r1_gamma=1.0, d_reg_interval=3, pl_interval=2, ema_kimg=0.02, ema_rampup=0.5
    )


@pytest.fixture
def start(model_config: ModelConfig) -> Callable[[TrainConfig], TrainState]:
    def state(config: TrainConfig) -> TrainState:
        return TrainState.start(build(model_config, seed=1), config)

    return state


@pytest.fixture
def reals(model_config: ModelConfig) -> SupplyMaker:
    """Makes a supply of images from image ``start`` on, each a function of its position; it ends after ``steps``."""

    def maker(*, start: int = 0, steps: int | None = None) -> Supply:
        def supply(stage: Stage, mine: range) -> Iterator[FakeBatch]:
            first, shape = start, (model_config.image_channels, *stage.size)
            for _ in itertools.count() if steps is None else range(steps):
                images = [
                    torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(position))
                    for position in range(first + mine.start, first + mine.stop)
                ]
                yield FakeBatch(torch.stack(images), torch.zeros(len(mine), model_config.label_dim))
                first += stage.batch

        return supply

    return maker
