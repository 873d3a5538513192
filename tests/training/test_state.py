from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import TrainingError
from sgkit.model import build
from sgkit.training.state import TrainState

Start = Callable[[TrainConfig], TrainState]


def test_a_model_without_discriminator_or_raw_generator_is_refused(
    model_config: ModelConfig, train_config: TrainConfig
) -> None:
    model = build(model_config)
    with pytest.raises(TrainingError, match="only the averaged generator"):
        TrainState.start(replace(model, raw_generator=None), train_config)
    with pytest.raises(TrainingError, match="has no discriminator"):
        TrainState.start(replace(model, discriminator=None), train_config)


def test_optimizers_are_rescaled_for_lazy_regularization(start: Start, train_config: TrainConfig) -> None:
    group = start(train_config).optimizers["d"].param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 3 / 4)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (3 / 4)))
    plain = start(replace(train_config, pl_weight=0.0)).optimizers["g"].param_groups[0]
    assert (plain["lr"], plain["betas"]) == (0.002, (0.0, 0.99))
