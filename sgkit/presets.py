"""Presets: one row for each row of the papers' tables, and small ones of the same kind for CPUs. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig, TrainConfig
from sgkit.errors import ConfigError, did_you_mean

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model and the recipe that trains it."""

    name: str
    summary: str
    model: ModelConfig
    train: TrainConfig


def preset(
    name: str, *, image_size: tuple[int, int] | None = None, image_channels: int = 3, label_dim: int = 0
) -> Preset:
    """The preset called ``name``, fitted to images of ``image_size`` (height, width).

    Raises:
        ConfigError: there is no such preset (the nearest is named), or no network fits the image size.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}. {did_you_mean(name, PRESETS)}")
    row = PRESETS[name]
    size = row.model.image_size if image_size is None else image_size
    model = replace(row.model, image_size=size, base_size=None, image_channels=image_channels, label_dim=label_dim)
    return replace(row, model=model)


def _stylegan2(
    resolution: int, *, channel_base: int, channel_max: int = 512, latent: int = 512, mapping_layers: int = 8
) -> ModelConfig:
    return ModelConfig(
        image_size=(resolution, resolution),
        z_dim=latent,
        w_dim=latent,
        mapping=MappingConfig(num_layers=mapping_layers),
        synthesis=SynthesisConfig(channel_base=channel_base, channel_max=channel_max),
        discriminator=DiscriminatorConfig(channel_base=channel_base, channel_max=channel_max),
    )


_ROWS = (
    Preset(
        name="stylegan2-e",
        summary="StyleGAN2 config E: skip generator, residual discriminator (1024 px)",
        model=_stylegan2(1024, channel_base=16384),
        train=TrainConfig(r1_gamma=100.0),
    ),
    Preset(
        name="stylegan2-f",
        summary="StyleGAN2 config F: config E with twice the channels (1024 px)",
        model=_stylegan2(1024, channel_base=32768),
        train=TrainConfig(r1_gamma=10.0),
    ),
    Preset(
        name="stylegan2-64",
        summary="a small StyleGAN2 that trains on a CPU (64 px)",
        model=_stylegan2(64, channel_base=2048, channel_max=128, latent=128, mapping_layers=4),
        train=TrainConfig(
            total_kimg=1000, g_lr=0.0025, d_lr=0.0025, r1_gamma=1.0, ema_kimg=5.0, ema_rampup=0.05, snapshot_kimg=25
        ),
    ),
    Preset(
        name="stylegan2-32",
        summary="a smaller StyleGAN2 that trains on a CPU in an hour (32 px)",
        model=_stylegan2(32, channel_base=1024, channel_max=128, latent=128, mapping_layers=4),
        train=TrainConfig(
            total_kimg=200, g_lr=0.0025, d_lr=0.0025, r1_gamma=0.5, ema_kimg=5.0, ema_rampup=0.05, snapshot_kimg=10
        ),
    ),
)

PRESETS: dict[str, Preset] = {row.name: row for row in _ROWS}
"""Every preset by name."""
