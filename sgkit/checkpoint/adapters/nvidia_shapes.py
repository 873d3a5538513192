"""State dicts with NVIDIA's tensor names and nothing else, as editing projects save them: sizes are read from shapes.

What shapes do not tell is what NVIDIA's code uses by default, and is noted; resampling filters are in the file and must
agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.estimates import add_mean_w
from sgkit.checkpoint.adapters.nvidia import (
    ROLES,
    alias_free_name,
    derived_tensors,
    discriminator_table,
    generator_table,
)
from sgkit.checkpoint.adapters.tables import Adapted, Array, channel_rule, convert_networks, converted, known_part
from sgkit.checkpoint.description import ForeignFile, ForeignNetwork
from sgkit.config import AliasFreeConfig, DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import synthesis_plan

ALIAS_FREE = re.compile(r"synthesis\.L(\d+)_(\d+)_(\d+)\.weight")
ASSUMED = (
    "the file has weights only; activation, learning-rate multiplier and no clamp are assumed, as NVIDIA's code has"
)
TAPS = (1.0, 3.0, 3.0, 1.0)
BASES = tuple(1 << power for power in range(8, 19))


def adapt(file: ForeignFile) -> Adapted:
    """The checkpoint in our terms.

    Raises:
        CheckpointError: the generator is missing, incomplete or of unusual options; tensors are named.
    """
    generator = file.networks.get("G_ema") or file.networks.get("G")
    if generator is None:
        raise CheckpointError(f"It holds no generator, only {', '.join(file.notes['found'].values())}.")
    notes: dict[str, Any] = {"options": ASSUMED}
    config, networks = convert_networks(
        file,
        ROLES,
        _config(generator),
        used=generator,
        notes=notes,
        generator=lambda name, network, config: _generator(
            network, config, file.extras.get(f"{name}.latent_avg"), notes
        ),
        discriminator=lambda network, config: _discriminator(network, config, notes),
    )
    return Adapted(config, networks, notes=notes)


def _generator(
    network: ForeignNetwork, config: ModelConfig, mean: Array | None, notes: dict[str, Any]
) -> dict[str, Tensor]:
    table, derived = generator_table(config), derived_tensors(config, discriminator=False)
    own = dict(network.tensors)
    if "mapping.w_avg" not in own and mean is not None and mean.size % config.w_dim == 0 and mean.dtype.kind == "f":
        own["mapping.w_avg"] = mean.reshape(-1, config.w_dim)[0]
    is_averaged = "mapping.w_avg" in own or config.label_dim > 0
    if not is_averaged:
        table = [entry for entry in table if entry.ours != "mapping.w_avg"]
    network = known_part(replace(network, tensors=own), table, derived=derived, notes=notes)
    tensors = converted(network, table, derived=derived)
    if not is_averaged:
        add_mean_w(tensors, config, notes)
    return tensors


def _discriminator(
    network: ForeignNetwork, config: ModelConfig, notes: dict[str, Any]
) -> tuple[ModelConfig, dict[str, Tensor]]:
    config = replace(config, discriminator=_discriminator_config(network))
    table, derived = discriminator_table(config), derived_tensors(config, discriminator=True)
    network = known_part(network, table, derived=derived, notes=notes)
    return config, converted(network, table, derived=derived)


# ------------------------------------------------------------------------------------------ configuration


def _config(network: ForeignNetwork) -> ModelConfig:
    embed = network.tensors.get("mapping.embed.weight")
    label_dim = 0 if embed is None else _shape(network, "mapping.embed.weight", 2)[1]
    mapping = _mapping(network)
    is_alias_free = "synthesis.input.freqs" in network.tensors
    style = "synthesis.input.affine.weight" if is_alias_free else "synthesis.b4.conv1.affine.weight"
    w_dim = _shape(network, style, 2)[1]
    joined = _shape(network, "mapping.fc0.weight", 2)[1] if mapping.num_layers else w_dim
    common: dict[str, Any] = {
        "base_size": (4, 4),
        "z_dim": joined - (0 if embed is None else len(embed)),
        "w_dim": w_dim,
        "label_dim": label_dim,
        "mapping": mapping,
    }
    if is_alias_free:
        return _alias_free(network, common)
    side = _side(network, "synthesis.")
    return ModelConfig(
        image_size=(side, side),
        image_channels=_shape(network, f"synthesis.b{side}.torgb.weight", 4)[0],
        synthesis=SynthesisConfig(
            architecture="skip"
            if "synthesis.b4.torgb.weight" in network.tensors
            else "resnet"
            if "synthesis.b8.skip.weight" in network.tensors
            else "orig",
            resample_filter=_taps(network, "synthesis.b8.conv0.resample_filter"),
            use_noise="synthesis.b4.conv1.noise_strength" in network.tensors,
            **channel_rule([_shape(network, f"synthesis.b{r}.conv1.weight", 4)[0] for r in _resolutions(side)]),
        ),
        **common,
    )


def _mapping(network: ForeignNetwork) -> MappingConfig:
    count = sum(1 for name in network.tensors if re.fullmatch(r"mapping\.fc\d+\.weight", name))
    embed = network.tensors.get("mapping.embed.weight")
    return MappingConfig(
        num_layers=count,
        layer_features=_shape(network, "mapping.fc0.weight", 2)[0] if count > 1 else None,
        label_features=None if embed is None else len(embed),
    )


def _alias_free(network: ForeignNetwork, common: dict[str, Any]) -> ModelConfig:
    """StyleGAN3's schedule is told by the names of its layers, which hold sizes and channels."""
    layers = sorted(
        tuple(map(int, found.groups())) for name in network.tensors if (found := ALIAS_FREE.fullmatch(name))
    )
    if len(layers) < 4:
        raise CheckpointError("Its StyleGAN3 layers are incomplete.")
    kernel = _shape(network, "synthesis.L0_{}_{}.weight".format(*layers[0][1:]), 4)[2]
    side, widest = layers[-1][1], max(layer[2] for layer in layers[:-1])
    for base in BASES:
        alias_free = AliasFreeConfig(num_layers=len(layers) - 1, kernel=kernel, radial_filters=kernel == 1)
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
        names = [alias_free_name(spec) for spec in synthesis_plan(config)[1:]]
        if names == ["L{}_{}_{}".format(*layer) for layer in layers]:
            return config
    raise CheckpointError(
        "Its StyleGAN3 layers follow no schedule of NVIDIA's, and a state dict does not say which. Use the .pkl file."
    )


def _discriminator_config(network: ForeignNetwork) -> DiscriminatorConfig:
    side = _side(network, "")
    names = [f"b{r * 2}.conv1.weight" for r in _resolutions(side)[:-1]]
    channels = [_shape(network, name, 4)[0] for name in names] + [_shape(network, f"b{side}.fromrgb.weight", 4)[0]]
    inner, outer = _shape(network, "b4.conv.weight", 4)[1], channels[0]
    conditional = "mapping.embed.weight" in network.tensors
    mapping = _mapping(network) if conditional else MappingConfig()
    return DiscriminatorConfig(
        architecture="resnet"
        if f"b{side}.skip.weight" in network.tensors
        else "skip"
        if "b4.fromrgb.weight" in network.tensors
        else "orig",
        resample_filter=_taps(network, f"b{side}.conv1.resample_filter"),
        mbstd_num_channels=inner - outer,
        mapping=mapping,
        label_projection_dim=_shape(network, "b4.out.weight", 2)[0] if conditional else None,
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
    return list(_doubled(side))


def _doubled(side: int) -> Iterator[int]:
    resolution = 4
    while resolution <= side:
        yield resolution
        resolution *= 2


def _taps(network: ForeignNetwork, name: str) -> tuple[float, ...]:
    """The filter from the buffer that holds its outer product; NVIDIA's usual one where the file has none."""
    held = network.tensors.get(name)
    if held is None or held.ndim != 2 or not 1 <= held.shape[0] == held.shape[1] <= 64:
        return TAPS
    taps = np.asarray(held, np.float64).sum(axis=0)
    usual = np.asarray(TAPS) / sum(TAPS)
    return TAPS if taps.shape == usual.shape and np.allclose(taps, usual, atol=1e-4) else tuple(map(float, taps))


def _shape(network: ForeignNetwork, name: str, ndim: int) -> tuple[int, ...]:
    array = network.tensors.get(name)
    if array is None or array.ndim != ndim:
        held = "is missing" if array is None else f"has shape {list(array.shape)}, not {ndim} axes"
        raise CheckpointError(f"Tensor {name} {held}.")
    return tuple(array.shape)
