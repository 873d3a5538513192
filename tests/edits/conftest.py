from __future__ import annotations

import pytest
import torch

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.model import Branch, Model, build


@pytest.fixture(scope="session", params=["skip", "resnet", "orig"])
def model(request: pytest.FixtureRequest) -> Model:
    config = ModelConfig(
        image_size=(16, 16),
        z_dim=8,
        w_dim=8,
        mapping=MappingConfig(num_layers=2),
        synthesis=SynthesisConfig(architecture=request.param, channel_base=128, channel_max=8),
        discriminator=DiscriminatorConfig(channel_base=128, channel_max=8),
    )
    model = build(config, seed=3)
    for name, parameter in model.generator.synthesis.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture(scope="session")
def pair(model: Model) -> list[Branch]:
    """Two branches of one network."""
    styles = model.styles(model.map(model.sample_z([1, 2])))
    network = model.generator.synthesis
    return [Branch(network, {name: style[i : i + 1] for name, style in styles.items()}) for i in range(2)]
