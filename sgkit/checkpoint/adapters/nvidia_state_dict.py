"""State dicts with NVIDIA's tensor names and nothing else, as editing projects save them: sizes are read from shapes.

What shapes do not say is assumed as in NVIDIA's code, and noted; resampling filters are in the file and must agree.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from sgkit.checkpoint.adapters.nvidia import ROLES, alias_free_name, discriminator_rows, filters, generator_rows
from sgkit.checkpoint.adapters.reading import channel_rule, shape_of
from sgkit.checkpoint.adapters.translate import Format
from sgkit.checkpoint.foreign_file import ForeignFile, ForeignNetwork
from sgkit.config import AliasFreeConfig, DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import synthesis_plan

ALIAS_FREE = re.compile(r"synthesis\.L(\d+)_(\d+)_(\d+)\.weight")
TAPS = (1.0, 3.0, 3.0, 1.0)
CHANNEL_BASES = tuple(1 << power for power in range(8, 19))


def config_of(_: ForeignFile, generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    """The configuration that follows from the shapes of tensors."""
    embed = generator.tensors.get("mapping.embed.weight")
    mapping = _mapping(generator)
    is_alias_free = "synthesis.input.freqs" in generator.tensors
    style = "synthesis.input.affine.weight" if is_alias_free else "synthesis.b4.conv1.affine.weight"
    w_dim = shape_of(generator, style, 2)[1]
    joined = shape_of(generator, "mapping.fc0.weight", 2)[1] if mapping.num_layers else w_dim
    common: dict[str, Any] = {
        "base_size": (4, 4),
        "z_dim": joined - (0 if embed is None else len(embed)),
        "w_dim": w_dim,
        "label_dim": 0 if embed is None else shape_of(generator, "mapping.embed.weight", 2)[1],
        "mapping": mapping,
    }
    config = _alias_free(generator, common) if is_alias_free else _stylegan2(generator, common)
    return replace(config, discriminator=_discriminator(discriminator)) if discriminator else config


def _mapping(network: ForeignNetwork) -> MappingConfig:
    count = sum(1 for name in network.tensors if re.fullmatch(r"mapping\.fc\d+\.weight", name))
    embed = network.tensors.get("mapping.embed.weight")
    return MappingConfig(
        num_layers=count,
        layer_features=shape_of(network, "mapping.fc0.weight", 2)[0] if count > 1 else None,
        label_features=None if embed is None else len(embed),
    )


def _stylegan2(network: ForeignNetwork, common: dict[str, Any]) -> ModelConfig:
    side, tensors = _side(network, "synthesis."), network.tensors
    has_skips, has_residuals = "synthesis.b4.torgb.weight" in tensors, "synthesis.b8.skip.weight" in tensors
    return ModelConfig(
        image_size=(side, side),
        image_channels=shape_of(network, f"synthesis.b{side}.torgb.weight", 4)[0],
        synthesis=SynthesisConfig(
            architecture="skip" if has_skips else "resnet" if has_residuals else "orig",
            resample_filter=_taps(network, "synthesis.b8.conv0.resample_filter"),
            use_noise="synthesis.b4.conv1.noise_strength" in tensors,
            **channel_rule(shape_of(network, f"synthesis.b{r}.conv1.weight", 4)[0] for r in _resolutions(side)),
        ),
        **common,
    )


def _alias_free(network: ForeignNetwork, common: dict[str, Any]) -> ModelConfig:
    """StyleGAN3's schedule follows from the names of its layers, which contain sizes and channels."""
    layers = sorted(
        tuple(map(int, found.groups())) for name in network.tensors if (found := ALIAS_FREE.fullmatch(name))
    )
    if len(layers) < 4:
        raise CheckpointError("Its StyleGAN3 layers are incomplete.")
    names = ["L{}_{}_{}".format(*layer) for layer in layers]
    kernel = shape_of(network, f"synthesis.{names[0]}.weight", 4)[2]
    side, widest = layers[-1][1], max(layer[2] for layer in layers[:-1])
    alias_free = AliasFreeConfig(num_layers=len(layers) - 1, kernel=kernel, radial_filters=kernel == 1)
    for base in CHANNEL_BASES:
        config = ModelConfig(
            image_size=(side, side),
            image_channels=layers[-1][2],
            synthesis=SynthesisConfig(
                layer="alias_free",
                input="fourier",
                channel_base=base,
                channel_max=widest,
                use_noise=False,
                alias_free=alias_free,
            ),
            **common,
        )
        if [alias_free_name(spec) for spec in synthesis_plan(config)[1:]] == names:
            return config
    raise CheckpointError(
        "Its StyleGAN3 layers follow no schedule of NVIDIA's, and a state dict does not say which. Use the .pkl file."
    )


def _discriminator(network: ForeignNetwork) -> DiscriminatorConfig:
    side, tensors = _side(network, ""), network.tensors
    names = [f"b{r * 2}.conv1.weight" for r in _resolutions(side)[:-1]] + [f"b{side}.fromrgb.weight"]
    channels = [shape_of(network, name, 4)[0] for name in names]
    is_conditional = "mapping.embed.weight" in tensors
    has_residuals, has_skips = f"b{side}.skip.weight" in tensors, "b4.fromrgb.weight" in tensors
    return DiscriminatorConfig(
        architecture="resnet" if has_residuals else "skip" if has_skips else "orig",
        resample_filter=_taps(network, f"b{side}.conv1.resample_filter"),
        mbstd_num_channels=shape_of(network, "b4.conv.weight", 4)[1] - channels[0],
        mapping=_mapping(network) if is_conditional else MappingConfig(),
        label_projection_dim=shape_of(network, "b4.out.weight", 2)[0] if is_conditional else None,
        **channel_rule(channels),
    )


def _side(network: ForeignNetwork, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"b(\d{1,5})\.")
    sides = {int(found[1]) for name in network.tensors if (found := pattern.match(name))}
    side = max(sides, default=0)
    if side < 8 or side & (side - 1):
        raise CheckpointError(f"Its blocks are of {sorted(sides)} pixels; powers of two from 4 up are expected.")
    return side


def _resolutions(side: int) -> list[int]:
    return [4 << level for level in range(side.bit_length() - 2)]


def _taps(network: ForeignNetwork, name: str) -> tuple[float, ...]:
    """The filter from the buffer that holds its outer product; NVIDIA's usual one where the file has none."""
    held = network.tensors.get(name)
    if held is None or held.ndim != 2 or not 1 <= held.shape[0] == held.shape[1] <= 64:
        return TAPS
    taps = np.asarray(held, np.float64).sum(axis=0)
    usual = np.asarray(TAPS) / sum(TAPS)
    return TAPS if taps.shape == usual.shape and np.allclose(taps, usual, atol=1e-4) else tuple(map(float, taps))


FORMAT = Format(
    roles=ROLES,
    config=config_of,
    generator=generator_rows,
    discriminator=discriminator_rows,
    implied=filters,
    has_options=False,
    optional=("mapping.w_avg",),
    assumed="the file has weights only; activation, learning-rate multiplier and no clamp are NVIDIA's defaults",
)
