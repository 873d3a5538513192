"""rosinality's StyleGAN1 checkpoints (style-based-gan-pytorch): training files, and bare averaged generators.

The files always hold all sizes up to 1024, trained or not, so the size comes from the file's name or from the caller.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.estimates import add_mean_w, add_noise_maps
from sgkit.checkpoint.adapters.tables import (
    BATCHED,
    FLIPPED,
    SAME,
    Adapted,
    Array,
    Entry,
    Form,
    channel_rule,
    convert_networks,
    converted,
    known_part,
)
from sgkit.checkpoint.description import ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import LayerSpec, discriminator_plan, synthesis_plan
from sgkit.model.plan import all_layers

ROLES = {"g_running": "generator", "generator": "raw_generator", "discriminator": "discriminator"}
TAPS = (1.0, 2.0, 1.0)
FUSED_FROM = 128
"""Resolution from which layers resample within their convolution."""
TOP_LEVEL = 8
"""Doublings from 4 to 1024 pixels."""
PHASE = re.compile(r"train_step-(\d+)")

ROOT_TWO = Form(lambda x: x * math.sqrt(2))
"""Every layer's weights are scaled by sqrt(2 / fan_in) there, also those without an activation behind them."""
QUARTERED = Form(lambda x: x / 4)
SWAPPED = Form(lambda x: x.transpose(1, 0, 2, 3))


def adapt(file: ForeignFile, *, image_size: int | None = None) -> Adapted:
    """The checkpoint in our terms, cut to the size that was trained.

    Raises:
        CheckpointError: the size cannot be told, or a network is missing or unsupported; tensors are named.
    """
    generator = file.networks.get("g_running") or file.networks.get("generator")
    if generator is None:
        raise CheckpointError(f"It must hold g_running or generator; it holds {', '.join(file.networks)}.")
    levels = _levels(file.file_name, image_size)
    notes: dict[str, Any] = {}
    config, networks = convert_networks(
        file,
        ROLES,
        _config(generator, None, levels),
        used=generator,
        notes=notes,
        generator=lambda _, network, config: _generator(_up_to(network, levels), config, notes),
        discriminator=lambda network, _: _discriminator_part(generator, _up_to(network, levels), levels, notes),
    )
    return Adapted(config, networks, notes=notes)


def _generator(network: ForeignNetwork, config: ModelConfig, notes: dict[str, Any]) -> dict[str, Tensor]:
    network = known_part(network, generator_table(config), derived=_blurs(network), notes=notes)
    tensors = converted(network, generator_table(config), derived=_blurs(network))
    first = f"synthesis.{synthesis_plan(config)[0].name}"
    tensors[f"{first}.bias"] = Tensor([0.0] * len(tensors[f"{first}.const"]))
    add_noise_maps(tensors, config, notes)
    add_mean_w(tensors, config, notes)
    return tensors


def _discriminator_part(
    generator: ForeignNetwork, network: ForeignNetwork, levels: int, notes: dict[str, Any]
) -> tuple[ModelConfig, dict[str, Tensor]]:
    config = _config(generator, network, levels)
    network = known_part(network, discriminator_table(config), derived=_blurs(network), notes=notes)
    return config, converted(network, discriminator_table(config), derived=_blurs(network))


def _levels(file_name: str, image_size: int | None) -> int:
    """Doublings of the size that was trained."""
    named = PHASE.search(file_name)
    size = image_size or (4 << (int(named[1]) - 1) if named and 1 < int(named[1]) <= TOP_LEVEL + 1 else 0)
    allowed = [4 << level for level in range(1, TOP_LEVEL + 1)]
    if size == 0:
        raise CheckpointError(
            "It holds all sizes up to 1024 pixels and does not say which were trained. Say it when converting: "
            "sgkit convert FILE OUT.safetensors --size 256. (A file named train_step-N.model says it.)"
        )
    if size not in allowed:
        raise CheckpointError(f"It holds the sizes {', '.join(map(str, allowed))}; {size} was asked for.")
    return (size // 4).bit_length() - 1


def _up_to(network: ForeignNetwork, levels: int) -> ForeignNetwork:
    """The network without the layers of larger sizes."""

    def is_kept(name: str) -> bool:
        found = re.match(r"(?:generator\.)?(?:progression|to_rgb|from_rgb)\.(\d+)\.", name)
        if not found:
            return True
        number = int(found[1])
        return (number if name.startswith("generator.") else TOP_LEVEL - number) <= levels

    tensors = {name: array for name, array in network.tensors.items() if is_kept(name)}
    return ForeignNetwork(network.name, network.builder, network.options, tensors)


def _blurs(network: ForeignNetwork) -> dict[str, Array | None]:
    taps = np.asarray(TAPS) / sum(TAPS)
    return {
        name: np.broadcast_to(np.outer(taps, taps), array.shape)
        for name, array in network.tensors.items()
        if array.ndim == 4 and array.shape[1:] == (1, 3, 3) and name.endswith((".weight", ".weight_flip"))
    }


# ------------------------------------------------------------------------------------------------- tables


def generator_table(config: ModelConfig) -> list[Entry]:
    """G's lines, without mean w and noise maps, which the files do not hold."""
    table = []
    for index in range(config.mapping.num_layers):
        table += _linear(f"mapping.fc{index}", f"style.{2 * index + 1}.linear", SAME)
    for spec in all_layers(synthesis_plan, config).values():
        level = spec.resolution.bit_length() - 3
        ours, block = f"synthesis.{spec.name}", f"generator.progression.{level}."
        if spec.kind == "rgb":
            table += _linear(ours, f"generator.to_rgb.{level}.conv", ROOT_TWO)
            continue
        number = 2 if spec.kind == "conv" and spec.up == 1 else 1
        table += _linear(f"{ours}.affine", f"{block}adain{number}.style.linear", ROOT_TWO)
        table.append(Entry(f"{ours}.noise_strength", f"{block}noise{number}.weight_orig", _noise_form(spec)))
        if spec.kind == "input":
            table.append(Entry(f"{ours}.const", f"{block}conv1.input", BATCHED))
        elif number == 2:
            table += _linear(ours, f"{block}conv2.conv", SAME)
        elif spec.resolution >= FUSED_FROM:
            form = SWAPPED.then(FLIPPED).then(QUARTERED)
            table.append(Entry(f"{ours}.weight", f"{block}conv1.0.weight", form))
            table.append(Entry(f"{ours}.bias", f"{block}conv1.0.bias"))
        else:
            table += _linear(ours, f"{block}conv1.1.conv", SAME)
    return table


def _noise_form(spec: LayerSpec) -> Form:
    scale = math.sqrt(2 / spec.out_channels)
    return Form(lambda x: x.reshape(-1) * scale)


def discriminator_table(config: ModelConfig) -> list[Entry]:
    """D's lines."""
    table = []
    for spec in all_layers(discriminator_plan, config).values():
        number = TOP_LEVEL - (spec.resolution.bit_length() - 3)
        block = f"progression.{number}."
        if spec.kind == "from_rgb":
            if config.discriminator.from_rgb_activation:
                table += _linear(spec.name, f"from_rgb.{number}.0.conv", SAME)
            else:
                table += _linear(spec.name, f"from_rgb.{number}.conv", ROOT_TWO)
        elif spec.kind == "head":
            table += _linear(spec.name, f"{block}conv1.0.conv", SAME)
            flat = Form(lambda x: x.reshape(len(x), -1))
            table.append(Entry(f"{spec.name}.fc.weight", f"{block}conv2.0.conv.weight_orig", flat))
            table.append(Entry(f"{spec.name}.fc.bias", f"{block}conv2.0.conv.bias"))
            table += _linear(f"{spec.name}.out", "linear.linear", ROOT_TWO)
        elif spec.down == 1:
            table += _linear(spec.name, f"{block}conv1.0.conv", SAME)
        elif spec.resolution >= FUSED_FROM:
            table.append(Entry(f"{spec.name}.weight", f"{block}conv2.1.weight"))
            table.append(Entry(f"{spec.name}.bias", f"{block}conv2.1.bias"))
        else:
            table += _linear(spec.name, f"{block}conv2.1.conv", SAME)
    return table


def _linear(ours: str, theirs: str, form: Form) -> list[Entry]:
    """The two lines of a layer with equalized learning rate."""
    return [Entry(f"{ours}.weight", f"{theirs}.weight_orig", form), Entry(f"{ours}.bias", f"{theirs}.bias")]


# ------------------------------------------------------------------------------------------ configuration


def _config(generator: ForeignNetwork, discriminator: ForeignNetwork | None, levels: int) -> ModelConfig:
    tensors = generator.tensors
    num_layers = sum(1 for name in tensors if name.startswith("style.") and name.endswith(".weight_orig"))
    w_dim, z_dim = _shape(generator, "style.1.linear.weight_orig", 2)
    names = [f"generator.progression.{level}.conv2.conv.weight_orig" for level in range(levels + 1)]
    return ModelConfig(
        image_size=(4 << levels, 4 << levels),
        base_size=(4, 4),
        image_channels=_shape(generator, "generator.to_rgb.0.conv.weight_orig", 4)[0],
        z_dim=z_dim,
        w_dim=w_dim,
        mapping=MappingConfig(num_layers=num_layers, lr_multiplier=1.0, gain_in_weight=True),
        synthesis=SynthesisConfig(
            layer="adain",
            growing=True,
            architecture="orig",
            resample_filter=TAPS,
            norm_eps=1e-5,
            one_w_per_block=True,
            bias_before_blur=True,
            **channel_rule([_shape(generator, name, 4)[0] for name in names]),
        ),
        discriminator=_discriminator(discriminator, levels),
    )


def _discriminator(network: ForeignNetwork | None, levels: int) -> DiscriminatorConfig:
    if network is None:
        return DiscriminatorConfig(growing=True, architecture="orig")
    prefix = "from_rgb.8.0." if "from_rgb.8.0.conv.bias" in network.tensors else "from_rgb.8."
    activated = prefix.endswith(".0.")
    names = [f"{prefix}conv.bias".replace(".8.", f".{TOP_LEVEL - level}.", 1) for level in range(levels + 1)]
    return DiscriminatorConfig(
        layer="pooled",
        growing=True,
        architecture="orig",
        resample_filter=TAPS,
        mbstd_group_size=None,
        from_rgb_activation=activated,
        widens_first=True,
        **channel_rule([_shape(network, name, 1)[0] for name in names]),
    )


def _shape(network: ForeignNetwork, name: str, ndim: int) -> tuple[int, ...]:
    array = network.tensors.get(name)
    if array is None or array.ndim != ndim:
        raise CheckpointError(f"Tensor {name} of {network.name} is missing or has not {ndim} axes.")
    return tuple(array.shape)
