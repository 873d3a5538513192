from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sgkit.config import ModelConfig
from sgkit.model import Model, build

TinyConfig = Callable[..., ModelConfig]
TinyModel = Callable[..., Model]


@pytest.fixture
def tiny_model(tiny_config: TinyConfig) -> TinyModel:
    """A fresh tiny model whose zeros and ones (biases, noise strengths, mean w) are moved, so that all count."""

    def make(name: str = "stylegan2-f", **options: Any) -> Model:
        model = build(tiny_config(name, **options), seed=3)
        generator = torch.Generator().manual_seed(4)
        for network in model.networks().values():
            for key, value in network.state_dict().items():
                if key.endswith(("bias", "noise_strength", "w_avg", "running_mean", "const", "input.affine.weight")):
                    value.add_(0.3 * torch.randn(value.shape, generator=generator))
        return model

    return make
