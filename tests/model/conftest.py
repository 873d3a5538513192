from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sgkit.config import ModelConfig, override
from sgkit.model import Model, build
from sgkit.presets import preset

TinyConfig = Callable[..., ModelConfig]
TinyModel = Callable[..., Model]


@pytest.fixture
def tiny_config() -> TinyConfig:
    """A preset's architecture, made tiny: 16 px, 8 channels."""

    def make(
        name: str = "stylegan2-f",
        *,
        size: tuple[int, int] = (16, 16),
        channels: int = 3,
        label_dim: int = 0,
        **changes: Any,
    ) -> ModelConfig:
        config = preset(name, image_size=size, image_channels=channels, label_dim=label_dim).model
        latent = 12
        small: dict[str, Any] = {
            "z_dim": latent,
            "w_dim": latent + (label_dim if config.mapping.label_mode == "direct" else 0),
            "mapping.num_layers": min(config.mapping.num_layers, 2),
            "discriminator.mapping.num_layers": 2,
        }
        for network in ("synthesis", "discriminator"):
            small |= {f"{network}.channel_base": 64, f"{network}.channel_max": 8}
        if config.synthesis.alias_free is not None:
            small |= {"synthesis.alias_free.num_layers": 5, "synthesis.alias_free.margin": 3}
        return override(config, small | {key.replace("__", "."): value for key, value in changes.items()})

    return make


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
