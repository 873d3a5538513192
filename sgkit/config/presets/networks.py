"""The networks of the presets, as functions of what differs between them. Loads no torch."""

from __future__ import annotations

from dataclasses import replace

from sgkit.config import (
    AliasFreeConfig,
    Architecture,
    DiscriminatorConfig,
    MappingConfig,
    ModelConfig,
    SynthesisConfig,
)


def _model(
    resolution: int,
    synthesis: SynthesisConfig,
    discriminator: DiscriminatorConfig,
    *,
    mapping: MappingConfig,
    latent: int = 512,
) -> ModelConfig:
    return ModelConfig(
        image_size=(resolution, resolution),
        z_dim=latent,
        w_dim=latent,
        mapping=mapping,
        synthesis=synthesis,
        discriminator=discriminator,
    )


def stylegan2(
    resolution: int,
    *,
    channel_base: int,
    channel_max: int = 512,
    latent: int = 512,
    mapping_layers: int = 8,
    generator: Architecture = "skip",
    discriminator: Architecture = "resnet",
    growing: bool = False,
) -> ModelConfig:
    """Return StyleGAN2's networks for square images of side ``resolution``."""
    return _model(
        resolution,
        SynthesisConfig(architecture=generator, growing=growing, channel_base=channel_base, channel_max=channel_max),
        DiscriminatorConfig(
            architecture=discriminator, growing=growing, channel_base=channel_base, channel_max=channel_max
        ),
        mapping=MappingConfig(num_layers=mapping_layers, w_avg_beta=0.995),
        latent=latent,
    )


BLUR = (1.0, 2.0, 1.0)
"""StyleGAN's bilinear low-pass filter."""
NO_BLUR = (1.0,)
"""ProGAN's: none."""


def progressive(
    synthesis: SynthesisConfig, *, mapping: MappingConfig, blur: tuple[float, ...], group: int = 4
) -> ModelConfig:
    """Return ProGAN's or StyleGAN's networks: the discriminator differs only in blur, groups and use of labels."""
    return _model(
        1024,
        replace(synthesis, architecture="orig", growing=True, channel_base=16384, resample_filter=blur),
        DiscriminatorConfig(
            layer="pooled",
            architecture="orig",
            growing=True,
            channel_base=16384,
            resample_filter=blur,
            label_mode="auxiliary" if mapping.num_layers == 0 else "classes",
            mbstd_group_size=group,
        ),
        mapping=mapping,
    )


def stylegan3(*, rotation: bool) -> ModelConfig:
    """Return StyleGAN3's networks: config R with ``rotation``, else T."""
    scale = 2 if rotation else 1  # config R doubles the channels of its 1x1 convolutions
    return _model(
        1024,
        SynthesisConfig(
            layer="alias_free",
            input="fourier",
            architecture="orig",
            channel_base=32768 * scale,
            channel_max=512 * scale,
            use_noise=False,
            conv_clamp=256.0,
            alias_free=AliasFreeConfig(kernel=1 if rotation else 3, radial_filters=rotation),
        ),
        DiscriminatorConfig(conv_clamp=256.0),
        mapping=MappingConfig(num_layers=2, w_avg_beta=0.998),
    )


def ada(
    resolution: int,
    *,
    channel_base: int,
    mapping_layers: int = 8,
    group: int = 4,
    discriminator: Architecture = "resnet",
) -> ModelConfig:
    """Return ADA's networks: StyleGAN2's, clamped for fp16."""
    row = stylegan2(resolution, channel_base=channel_base, mapping_layers=mapping_layers, discriminator=discriminator)
    critic = replace(row.discriminator, conv_clamp=256.0, mbstd_group_size=group)
    return replace(row, synthesis=replace(row.synthesis, conv_clamp=256.0), discriminator=critic)


SELF_MODULATED = _model(
    128,
    SynthesisConfig(
        layer="self_modulated",
        input="dense",
        architecture="orig",
        activation="relu",
        channel_base=8192,
        resample_filter=NO_BLUR,
        use_noise=False,
        norm_eps=1e-5,
    ),
    DiscriminatorConfig(channel_base=8192),
    mapping=MappingConfig(num_layers=0, normalize=False, label_mode="shift_scale"),
    latent=128,
)
"""Chen et al. (2019): batch normalisation that z scales and shifts."""
