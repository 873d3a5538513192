"""Tiny models that several test modules draw with."""

from __future__ import annotations

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.model import Model, build


def drawn_model(*, noise: float = 0.0, seed: int = 0, **changes: object) -> Model:
    """A StyleGAN2 of 16 px and 8 channels whose average w is not 0; ``noise``: strength at every layer."""
    import torch

    values: dict[str, object] = {
        "image_size": (16, 16),
        "z_dim": 8,
        "w_dim": 8,
        "mapping": MappingConfig(num_layers=2, lr_multiplier=1.0),
        "synthesis": SynthesisConfig(channel_base=64, channel_max=8),
        "discriminator": DiscriminatorConfig(channel_base=64, channel_max=8),
    }
    model = build(ModelConfig(**{**values, **changes}), seed=seed)
    model.generator.mapping.w_avg.copy_(torch.linspace(-0.5, 0.5, 8))
    if noise:
        for spec in model.generator.synthesis.plan:
            if spec.has_noise:
                model.generator.synthesis.layer(spec.name).noise_strength.fill_(noise)
    return model
