"""NVIDIA's PyTorch checkpoints with StyleGAN2 networks: stylegan2-ada-pytorch, stylegan3 with ``--cfg=stylegan2``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.tables import FLIPPED, Adapted, Array, Entry, converted, option
from sgkit.checkpoint.foreign import ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import discriminator_plan, synthesis_plan

__all__ = ["adapt", "discriminator_table", "generator_table", "mapping_table"]

ROLES = {"G_ema": "generator", "G": "raw_generator", "D": "discriminator"}
SNAPSHOT = re.compile(r"network-snapshot-(\d+)")


def adapt(file: ForeignFile) -> Adapted:
    """The checkpoint in our terms.

    Raises:
        CheckpointError: a network is missing, unknown or unsupported; options and tensors are named.
    """
    unknown = sorted(set(file.networks) - set(ROLES))
    if unknown:
        raise CheckpointError(f"It holds unknown networks: {', '.join(unknown)}. Known are {', '.join(ROLES)}.")
    generator = file.networks.get("G_ema") or file.networks.get("G")
    if generator is None:
        raise CheckpointError("It holds no generator (G_ema or G).")
    discriminator = file.networks.get("D")
    config = _config(generator, discriminator)
    networks: dict[str, dict[str, Tensor]] = {}
    for name, network in file.networks.items():
        if name == "D":
            networks["discriminator"] = _discriminator_tensors(network, config)
        else:
            networks[ROLES[name]] = _generator_tensors(network, config)
    notes = {key: file.extras[key] for key in ("training_set_kwargs", "augment_pipe") if file.extras.get(key)}
    notes["options"] = {name: network.options for name, network in file.networks.items()}
    return Adapted(config, networks, notes=notes)


def _generator_tensors(network: ForeignNetwork, config: ModelConfig) -> dict[str, Tensor]:
    table = generator_table(config)
    return converted(network, table, derived=_filters(network, config.synthesis.resample_filter))


def _discriminator_tensors(network: ForeignNetwork, config: ModelConfig) -> dict[str, Tensor]:
    table = discriminator_table(config)
    return converted(network, table, derived=_filters(network, config.discriminator.resample_filter))


def _filters(network: ForeignNetwork, taps: tuple[float, ...]) -> dict[str, Array | None]:
    """The filter that every module repeats: where it is used it must be the configuration's."""
    normalised = np.asarray(taps, np.float64) / np.sum(taps)
    expected = np.outer(normalised, normalised)
    unused = ("torgb", "fromrgb", "conv", "conv0" if network.name == "D" else "conv1")
    return {
        name: None if name.split(".")[-2] in unused else expected
        for name in network.tensors
        if name.endswith(".resample_filter")
    }


# ------------------------------------------------------------------------------------------------- tables


def mapping_table(config: MappingConfig, *, conditional: bool, average: bool) -> list[Entry]:
    """The mapping network's lines."""
    layers = ["embed"] if conditional else []
    layers += [f"fc{index}" for index in range(config.num_layers)]
    names = [f"mapping.{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    if average:
        names.append("mapping.w_avg")
    return [Entry(name, name) for name in names]


def generator_table(config: ModelConfig) -> list[Entry]:
    """G's lines; NVIDIA's up-convolutions are stored flipped."""
    table = mapping_table(config.mapping, conditional=config.label_dim > 0, average=True)
    for spec in synthesis_plan(config):
        block, _, layer = spec.name.partition("_")
        ours, theirs = f"synthesis.{spec.name}.", f"synthesis.{block}."
        if layer == "input":
            table.append(Entry(ours + "const", theirs + "const"))
            continue
        inner = theirs + {"rgb": "torgb"}.get(layer, layer) + "."
        if spec.up == 2:
            table.append(Entry(ours + "weight", inner + "weight", FLIPPED))
        else:
            table.append(Entry(ours + "weight", inner + "weight"))
        parts = ["bias", "affine.weight", "affine.bias"]
        if spec.has_noise:
            parts += ["noise_const", "noise_strength"]
        table += [Entry(ours + part, inner + part) for part in parts]
        if spec.shortcut == "open":
            table.append(Entry(ours + "skip_weight", theirs + "skip.weight"))
    return table


def discriminator_table(config: ModelConfig) -> list[Entry]:
    """D's lines."""
    table = []
    if config.label_dim > 0:
        table += mapping_table(config.discriminator.mapping, conditional=True, average=False)
    for spec in discriminator_plan(config):
        block, _, layer = spec.name.partition("_")
        ours, theirs = f"{spec.name}.", f"{block}."
        if layer == "head":
            pairs = {"": "conv.", "fc.": "fc.", "out.": "out."}
        else:
            pairs = {"": {"from_rgb": "fromrgb"}.get(layer, layer) + "."}
        for mine, other in pairs.items():
            table += [Entry(ours + mine + part, theirs + other + part) for part in ("weight", "bias")]
        if spec.shortcut == "close":
            table.append(Entry(ours + "skip_weight", theirs + "skip.weight"))
    return table


# ------------------------------------------------------------------------------------------ configuration


def _config(generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    options = generator.options
    resolution = option(options, "img_resolution", int, None)
    if not isinstance(resolution, int) or resolution < 8 or resolution & (resolution - 1):
        raise CheckpointError(f"G was built for images of {resolution} pixels; a power of two from 8 up is expected.")
    config = ModelConfig(
        image_size=(resolution, resolution),
        base_size=(4, 4),
        image_channels=option(options, "img_channels", int, None),
        z_dim=option(options, "z_dim", int, None),
        w_dim=option(options, "w_dim", int, None),
        label_dim=option(options, "c_dim", int, 0),
        mapping=_mapping(generator),
        synthesis=_synthesis(generator, resolution),
        discriminator=_discriminator(discriminator) if discriminator else DiscriminatorConfig(),
    )
    if discriminator is None:
        return config
    for name, value in (
        ("img_resolution", resolution),
        ("c_dim", config.label_dim),
        ("img_channels", config.image_channels),
    ):
        if discriminator.options.get(name, value) != value:
            raise CheckpointError(f"G has {name} {value}, D has {discriminator.options[name]}: they are no pair.")
    return config


def _mapping(network: ForeignNetwork) -> MappingConfig:
    num_layers = _attribute(network, "mapping", "num_layers", int)
    first = f"mapping.fc{0}"
    embed = network.tensors.get("mapping.embed.weight")
    beta = network.attributes["mapping"].get("w_avg_beta")
    return MappingConfig(
        num_layers=num_layers,
        activation=_attribute(network, first, "activation", str),
        layer_features=len(network.tensors[first + ".weight"]) if num_layers > 1 else None,
        lr_multiplier=float(_attribute(network, first, "bias_gain", float, int)),
        label_features=len(embed) if embed is not None else None,
        w_avg_beta=MappingConfig.w_avg_beta if beta is None else float(beta),
    )


def _synthesis(network: ForeignNetwork, resolution: int) -> SynthesisConfig:
    options = {**network.options, **network.options.get("synthesis_kwargs", {})}
    block = f"synthesis.b{resolution}"
    return SynthesisConfig(
        architecture=_attribute(network, block, "architecture", str),
        channel_base=option(options, "channel_base", int, 32768),
        channel_max=option(options, "channel_max", int, 512),
        resample_filter=_taps(network, options),
        activation=_attribute(network, f"{block}.conv1", "activation", str),
        use_noise=_attribute(network, f"{block}.conv1", "use_noise", bool),
        conv_clamp=_clamp(network, f"{block}.conv1"),
    )


def _discriminator(network: ForeignNetwork) -> DiscriminatorConfig:
    options = network.options
    block = f"b{option(options, 'img_resolution', int, None)}"
    conditional = option(options, "c_dim", int, 0) > 0
    deviation = network.attributes.get("b4.mbstd")
    group = deviation.get("group_size") if deviation else None
    return DiscriminatorConfig(
        architecture=_attribute(network, block, "architecture", str),
        channel_base=option(options, "channel_base", int, 32768),
        channel_max=option(options, "channel_max", int, 512),
        resample_filter=_taps(network, options.get("block_kwargs", {})),
        activation=_attribute(network, f"{block}.conv1", "activation", str),
        conv_clamp=_clamp(network, f"{block}.conv1"),
        mbstd_group_size=int(group) if group is not None else None,
        mbstd_num_channels=_attribute(network, "b4.mbstd", "num_channels", int) if deviation else 0,
        mapping=_mapping(network) if conditional else MappingConfig(),
        label_projection_dim=_attribute(network, "b4", "cmap_dim", int) if conditional else None,
    )


def _attribute(network: ForeignNetwork, module: str, name: str, *kinds: type) -> Any:
    """A plain attribute that NVIDIA's modules carry: the value in force, whatever the defaults were then."""
    value = network.attributes.get(module, {}).get(name)
    if type(value) not in kinds:
        raise CheckpointError(
            f"Module {module or 'itself'} of {network.name} has {name} {value!r}; cannot tell its arithmetic."
        )
    return value


def _clamp(network: ForeignNetwork, module: str) -> float | None:
    value = network.attributes.get(module, {}).get("conv_clamp")
    return None if value is None else float(_attribute(network, module, "conv_clamp", float, int))


def _taps(network: ForeignNetwork, options: Mapping[str, Any]) -> tuple[float, ...]:
    taps = options.get("resample_filter", [1, 3, 3, 1])
    if not isinstance(taps, list) or not taps or not all(type(tap) in (int, float) for tap in taps):
        raise CheckpointError(f"{network.name} has resample_filter {taps!r}; a list of numbers is expected.")
    return tuple(float(tap) for tap in taps)
