"""The presets and the recipes that train them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sgkit.config import (
    ARCHITECTURES,
    AugmentConfig,
    GrowthConfig,
    MappingConfig,
    ModelConfig,
    SynthesisConfig,
    TrainConfig,
)
from sgkit.config.presets.networks import BLUR, NO_BLUR, SELF_MODULATED, ada, progressive, stylegan2, stylegan3
from sgkit.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model and the recipe that trains it."""

    name: str
    summary: str
    model: ModelConfig
    train: TrainConfig
    fit: Callable[[Preset, int], Preset] = field(default=lambda row, _: row, repr=False)
    """What depends on image resolution, batch and number of processes: returns the row, fitted to its ``model``'s size
    and its ``train``'s batch."""


def preset(
    name: str,
    *,
    image_size: tuple[int, int] | None = None,
    image_channels: int = 3,
    label_dim: int = 0,
    num_processes: int = 1,
    batch: int | None = None,
) -> Preset:
    """Return the preset called ``name``, fitted to images of ``image_size`` (height, width).

    ``num_processes`` that train together set the batch, and what depends on it, where the recipe has it so
    (``ada-auto``). ``batch`` replaces the preset's; constants that NVIDIA's code derives from ``--batch`` follow it
    (``stylegan3-t``, ``stylegan3-r``), all others stay.

    Raises:
        ConfigError: there is no such preset (the nearest is named), or no network fits the image size.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}. {did_you_mean(name, PRESETS)}")
    row = PRESETS[name]
    mapping, w_dim = row.model.mapping, row.model.w_dim
    if mapping.num_layers == 0 and mapping.label_mode == "direct":
        w_dim = row.model.z_dim + label_dim  # without a mapping network w is z and the label side by side
    model = replace(
        row.model,
        image_size=row.model.image_size if image_size is None else image_size,
        base_size=None,
        image_channels=image_channels,
        label_dim=label_dim,
        w_dim=w_dim,
    )
    row = replace(row, model=model)
    if batch is None:
        return row.fit(row, num_processes)
    row = row.fit(replace(row, train=replace(row.train, batch=batch)), num_processes)
    return replace(row, train=replace(row.train, batch=batch))


def magnitude_ema_beta(batch: int) -> float:
    """Decay of StyleGAN3's running input magnitudes in a step of ``batch`` images: a half-life of 20 kimg."""
    return math.pow(0.5, batch / 20e3)


def _fit_ada_auto(row: Preset, num_processes: int) -> Preset:
    """ADA's rules for what is best unknown: batch by memory, R1 by pixels over batch, average by batch."""
    resolution, model = row.model.resolution, row.model
    batch = max(min(num_processes * min(4096 // resolution, 32), 64), num_processes)
    base = 32768 if resolution >= 512 else 16384
    lr = 0.002 if resolution >= 1024 else 0.0025
    gamma = 0.0002 * resolution**2 / batch
    train = replace(row.train, batch=batch, g_lr=lr, d_lr=lr, r1_gamma=gamma, ema_kimg=batch * 10 / 32, ema_rampup=0.05)
    discriminator = replace(model.discriminator, channel_base=base, mbstd_group_size=min(batch // num_processes, 4))
    model = replace(model, synthesis=replace(model.synthesis, channel_base=base), discriminator=discriminator)
    return replace(row, model=model, train=train)


def _fit_stylegan3(row: Preset, num_processes: int) -> Preset:  # noqa: ARG001
    """StyleGAN3's R1: four times as strong for each doubling of the resolution, 32 at 1024; averages by batch."""
    batch, alias_free = row.train.batch, row.model.synthesis.alias_free
    assert alias_free is not None
    train = replace(
        row.train,
        r1_gamma=32.0 * (row.model.resolution / 1024) ** 2,
        ema_kimg=batch * 10 / 32,
        d_blur_kimg=batch * 200 / 32,
    )
    alias_free = replace(alias_free, magnitude_ema_beta=magnitude_ema_beta(batch))
    model = replace(row.model, synthesis=replace(row.model.synthesis, alias_free=alias_free))
    return replace(row, train=train, model=model)


_UNMAPPED = MappingConfig(num_layers=0, label_mode="direct")
_MAPPED = MappingConfig(label_mode="matrix", gain_in_weight=True, w_avg_beta=0.995)
_PROGAN = SynthesisConfig(layer="pixel_norm", input="dense", use_noise=False)
_ADAIN = SynthesisConfig(layer="adain")
_GROWTH = GrowthConfig(batches=(512, 256, 128, 64, 32), lr_factors=(1.0, 1.0, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 3.0))
_STYLEGAN1 = TrainConfig(growth=_GROWTH, g_lr=0.001, d_lr=0.001, d_reg_interval=1, pl_weight=0.0, style_mixing_prob=0.0)
_STYLEGAN1_A = replace(
    _STYLEGAN1,
    total_kimg=12000,
    growth=replace(_GROWTH, start_resolution=4, ema_rampup=None),
    loss="wgan",
    drift_weight=0.001,
    r1_gamma=0.0,
    gp_weight=10.0,
    ema_decay=0.999,
)
_PROGAN_BATCHES = (16, 16, 16, 16, 16, 16, 14, 6, 3)
_PROGAN_RECIPE = replace(
    _STYLEGAN1_A,
    total_kimg=19000,
    batch=16,
    growth=GrowthConfig(start_resolution=4, stable_kimg=800, fade_kimg=800, batches=_PROGAN_BATCHES, ema_rampup=None),
)
_STYLEGAN2 = TrainConfig(lazy_scaling="always")
_STYLEGAN2_C = replace(_STYLEGAN2, growth=_GROWTH, g_lr=0.001, d_lr=0.001, pl_weight=0.0)
_STYLEGAN3 = TrainConfig(
    g_lr=0.0025,
    r1_gamma=32.0,
    pl_weight=0.0,
    pl_interval=1,
    style_mixing_prob=0.0,
    lazy_scaling="always",
    ema_rampup=0.05,
    reduced_resolutions=4,
)
_ADA = replace(_STYLEGAN2, augment=AugmentConfig(kind="ada"), reduced_resolutions=4)
_SMALL = TrainConfig(g_lr=0.0025, d_lr=0.0025, ema_kimg=5.0, ema_rampup=0.05)

_ROWS = (
    Preset(
        name="progan",
        summary="ProGAN, trained as the paper's CelebA-HQ run (appendix A.1), not by the released code's defaults",
        model=progressive(_PROGAN, mapping=_UNMAPPED, blur=NO_BLUR, group=16),
        train=_PROGAN_RECIPE,
    ),
    Preset(
        name="stylegan1-a",
        summary="StyleGAN config A: the ProGAN baseline, trained by ProGAN's released code for 8 GPUs",
        model=progressive(_PROGAN, mapping=_UNMAPPED, blur=NO_BLUR),
        train=_STYLEGAN1_A,
    ),
    Preset(
        name="stylegan1-b",
        summary="config A, tuned, with bilinear resampling",
        model=progressive(_PROGAN, mapping=_UNMAPPED, blur=BLUR),
        train=_STYLEGAN1,
    ),
    Preset(
        name="stylegan1-c",
        summary="config B with a mapping network and styles",
        model=progressive(replace(_ADAIN, input="dense", use_noise=False), mapping=_MAPPED, blur=BLUR),
        train=_STYLEGAN1,
    ),
    Preset(
        name="stylegan1-d",
        summary="config C from a learned constant",
        model=progressive(replace(_ADAIN, use_noise=False), mapping=_MAPPED, blur=BLUR),
        train=_STYLEGAN1,
    ),
    Preset(
        name="stylegan1-e",
        summary="config D with noise inputs",
        model=progressive(_ADAIN, mapping=_MAPPED, blur=BLUR),
        train=_STYLEGAN1,
    ),
    Preset(
        name="stylegan1-f",
        summary="config E with style mixing: the StyleGAN of the paper",
        model=progressive(_ADAIN, mapping=_MAPPED, blur=BLUR),
        train=replace(_STYLEGAN1, style_mixing_prob=0.9),
    ),
    Preset(
        name="stylegan2-a",
        summary="StyleGAN2 config A: the StyleGAN baseline",
        model=progressive(_ADAIN, mapping=_MAPPED, blur=BLUR),
        train=replace(_STYLEGAN1, style_mixing_prob=0.9),
    ),
    Preset(
        name="stylegan2-b",
        summary="config A with weight demodulation",
        model=stylegan2(1024, channel_base=16384, generator="orig", discriminator="orig", growing=True),
        train=replace(_STYLEGAN2_C, d_reg_interval=1, lazy_scaling="applied"),
    ),
    Preset(
        name="stylegan2-c",
        summary="config B with lazy regularization",
        model=stylegan2(1024, channel_base=16384, generator="orig", discriminator="orig", growing=True),
        train=_STYLEGAN2_C,
    ),
    Preset(
        name="stylegan2-d",
        summary="config C with path length regularization",
        model=stylegan2(1024, channel_base=16384, generator="orig", discriminator="orig", growing=True),
        train=replace(_STYLEGAN2_C, pl_weight=2.0),
    ),
    Preset(
        name="stylegan2-e",
        summary="config D without growing: skip generator, residual discriminator",
        model=stylegan2(1024, channel_base=16384),
        train=replace(_STYLEGAN2, r1_gamma=100.0),
    ),
    Preset(
        name="stylegan2-f",
        summary="config E with twice the channels: the StyleGAN2 of the paper",
        model=stylegan2(1024, channel_base=32768),
        train=_STYLEGAN2,
    ),
    *(
        Preset(
            name=f"stylegan2-e-g{generator}-d{discriminator}",
            summary=f"config E with generator {generator!r} and discriminator {discriminator!r}",
            model=stylegan2(1024, channel_base=16384, generator=generator, discriminator=discriminator),
            train=replace(_STYLEGAN2, r1_gamma=100.0),
        )
        for generator in ARCHITECTURES
        for discriminator in ARCHITECTURES
    ),
    Preset(
        name="ada-auto",
        summary="ADA's automatic choice: batch, R1 and average by resolution and number of processes",
        model=ada(1024, channel_base=32768, mapping_layers=2),
        train=_ADA,
        fit=_fit_ada_auto,
    ),
    Preset(
        name="ada-stylegan2",
        summary="config F with augmentation",
        model=ada(1024, channel_base=32768),
        train=_ADA,
    ),
    Preset(
        name="ada-paper256",
        summary="the ADA paper's networks for 256 px",
        model=ada(256, channel_base=16384, group=8),
        train=replace(_ADA, batch=64, g_lr=0.0025, d_lr=0.0025, r1_gamma=1.0, ema_kimg=20.0),
    ),
    Preset(
        name="ada-paper512",
        summary="the ADA paper's networks for 512 px",
        model=ada(512, channel_base=32768, group=8),
        train=replace(_ADA, batch=64, g_lr=0.0025, d_lr=0.0025, r1_gamma=0.5, ema_kimg=20.0),
    ),
    Preset(
        name="ada-paper1024",
        summary="the ADA paper's networks for 1024 px",
        model=ada(1024, channel_base=32768),
        train=replace(_ADA, r1_gamma=2.0),
    ),
    Preset(
        name="ada-cifar",
        summary="the ADA paper's networks for CIFAR-10: no mixing, no path lengths",
        model=ada(32, channel_base=32768, mapping_layers=2, group=32, discriminator="orig"),
        train=replace(
            _ADA,
            total_kimg=100000,
            batch=64,
            g_lr=0.0025,
            d_lr=0.0025,
            r1_gamma=0.01,
            pl_weight=0.0,
            style_mixing_prob=0.0,
            ema_kimg=500.0,
            ema_rampup=0.05,
        ),
    ),
    Preset(
        name="self-modulated",
        summary="batch norm scaled and shifted by z (Chen et al. 2019)",
        model=SELF_MODULATED,
        train=TrainConfig(style_mixing_prob=0.0, pl_weight=0.0),
    ),
    Preset(
        name="stylegan3-t",
        summary="StyleGAN3, equivariant to translation",
        model=stylegan3(rotation=False),
        train=_STYLEGAN3,
        fit=_fit_stylegan3,
    ),
    Preset(
        name="stylegan3-r",
        summary="StyleGAN3, equivariant to translation and rotation",
        model=stylegan3(rotation=True),
        train=replace(_STYLEGAN3, d_blur_sigma=10.0),
        fit=_fit_stylegan3,
    ),
    Preset(
        name="stylegan2-64",
        summary="a small StyleGAN2 for CPUs, made for 64 px",
        model=stylegan2(64, channel_base=2048, channel_max=128, latent=128, mapping_layers=4),
        train=replace(_SMALL, total_kimg=1000, r1_gamma=0.1, snapshot_kimg=25),
    ),
    Preset(
        name="stylegan2-mini",
        summary="the smallest: learns the gist of 32 px images in minutes on a CPU, without path lengths",
        model=stylegan2(32, channel_base=512, channel_max=64, latent=64, mapping_layers=2),
        train=replace(_SMALL, total_kimg=100, batch=16, r1_gamma=0.05, pl_weight=0.0, snapshot_kimg=10),
    ),
    Preset(
        name="stylegan2-32",
        summary="a smaller StyleGAN2 for CPUs, made for 32 px",
        model=stylegan2(32, channel_base=1024, channel_max=128, latent=128, mapping_layers=4),
        train=replace(_SMALL, total_kimg=200, r1_gamma=0.05, snapshot_kimg=10),
    ),
)

PRESETS: dict[str, Preset] = {row.name: row.fit(row, 1) for row in _ROWS}
"""Every preset by name."""
