"""A tiny model and its recipe."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig, TrainConfig
from sgkit.model import build
from sgkit.training.state import TrainState


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
    return lambda config: TrainState.start(build(model_config, seed=1), config)
