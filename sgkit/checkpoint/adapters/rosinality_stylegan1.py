"""rosinality's StyleGAN1 checkpoints (style-based-gan-pytorch): training files, and bare averaged generators.

The files always hold all sizes up to 1024, trained or not, so the size comes from the file's name or from the caller.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from sgkit.checkpoint.adapters.reading import channel_rule, shape_of
from sgkit.checkpoint.adapters.translate import (
    BATCHED,
    FLIPPED,
    SAME,
    Adapted,
    Format,
    Row,
    Tensors,
    Transform,
    adapt,
    rows,
)
from sgkit.checkpoint.foreign_file import Array, ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import discriminator_plan, synthesis_plan
from sgkit.model.plan import all_layers

TAPS = (1.0, 2.0, 1.0)
FUSED_FROM = 128
"""Resolution from which layers resample within their convolution."""
TOP_LEVEL = 8
"""Doublings from 4 to 1024 pixels."""
PHASE = re.compile(r"train_step-(\d+)")
LAYER_OF_SIZE = re.compile(r"(generator\.)?(?:progression|to_rgb|from_rgb)\.(\d+)\.")

ROOT_TWO = Transform(lambda x: x * math.sqrt(2))
"""Every layer's weights are scaled by sqrt(2 / fan_in) there, also those without an activation after them."""
FUSED_UP = Transform(lambda x: x.transpose(1, 0, 2, 3)).then(FLIPPED).then(Transform(lambda x: x / 4))
FLAT = Transform(lambda x: x.reshape(len(x), -1))


def adapt_size(file: ForeignFile, image_size: int | None = None) -> Adapted:
    """The checkpoint in sgkit's terms, cut to the size that was trained."""
    levels = _levels(file.file_name, image_size)
    cut = {key: _cut(network, levels) for key, network in file.networks.items()}
    return adapt(replace(file, networks=cut), replace(FORMAT, config=partial(config_of, levels)))


def _levels(file_name: str, image_size: int | None) -> int:
    """Doublings of the size that was trained."""
    named = PHASE.search(file_name)
    size = image_size or (4 << (int(named[1]) - 1) if named and 1 < int(named[1]) <= TOP_LEVEL + 1 else 0)
    allowed = [4 << level for level in range(1, TOP_LEVEL + 1)]
    if size == 0:
        raise CheckpointError(
            "It holds all sizes up to 1024 pixels and does not say which were trained. Name the size when converting: "
            "sgkit convert FILE OUT.safetensors --size 256. (The name train_step-N.model says it.)"
        )
    if size not in allowed:
        raise CheckpointError(f"It holds the sizes {', '.join(map(str, allowed))}; {size} was asked for.")
    return (size // 4).bit_length() - 1


def _cut(network: ForeignNetwork, levels: int) -> ForeignNetwork:
    """The network without the layers of larger sizes."""

    def level(name: str) -> int:
        found = LAYER_OF_SIZE.match(name)
        return 0 if not found else int(found[2]) if found[1] else TOP_LEVEL - int(found[2])

    return replace(network, tensors={n: array for n, array in network.tensors.items() if level(n) <= levels})


# ------------------------------------------------------------------------------------------------- tables


def generator_rows(config: ModelConfig, _: ForeignNetwork) -> list[Row]:
    """G's table, without mean w and noise maps, which the files do not hold."""
    table = []
    for index in range(config.mapping.num_layers):
        table += _equalized(f"mapping.fc{index}.", f"style.{2 * index + 1}.linear.")
    for spec in all_layers(synthesis_plan, config).values():
        level = spec.resolution.bit_length() - 3
        ours, block = f"synthesis.{spec.name}.", f"generator.progression.{level}."
        if spec.kind == "rgb":
            table += _equalized(ours, f"generator.to_rgb.{level}.conv.", ROOT_TWO)
            continue
        number = 2 if spec.kind == "conv" and spec.up == 1 else 1
        scale = math.sqrt(2 / spec.out_channels)
        noise = Transform(lambda x, scale=scale: x.reshape(-1) * scale)  # type: ignore[misc]
        table += _equalized(f"{ours}affine.", f"{block}adain{number}.style.linear.", ROOT_TWO)
        table += rows(ours, f"{block}noise{number}.", ("noise_strength", "weight_orig", noise))
        if spec.kind == "input":
            table += rows(ours, f"{block}conv1.", ("const", "input", BATCHED))
        elif number == 2:
            table += _equalized(ours, f"{block}conv2.conv.")
        elif spec.resolution >= FUSED_FROM:
            table += rows(ours, f"{block}conv1.0.", ("weight", "weight", FUSED_UP), "bias")
        else:
            table += _equalized(ours, f"{block}conv1.1.conv.")
    return table


def discriminator_rows(config: ModelConfig, _: ForeignNetwork) -> list[Row]:
    """D's table."""
    table = []
    for spec in all_layers(discriminator_plan, config).values():
        number = TOP_LEVEL - (spec.resolution.bit_length() - 3)
        ours, block = f"{spec.name}.", f"progression.{number}."
        if spec.kind == "from_rgb":
            is_activated = config.discriminator.from_rgb_activation
            inner = f"from_rgb.{number}.{'0.' if is_activated else ''}conv."
            table += _equalized(ours, inner, SAME if is_activated else ROOT_TWO)
        elif spec.kind == "head":
            table += _equalized(ours, f"{block}conv1.0.conv.")
            table += _equalized(f"{ours}fc.", f"{block}conv2.0.conv.", FLAT)
            table += _equalized(f"{ours}out.", "linear.linear.", ROOT_TWO)
        elif spec.down == 1:
            table += _equalized(ours, f"{block}conv1.0.conv.")
        elif spec.resolution >= FUSED_FROM:
            table += rows(ours, f"{block}conv2.1.", "weight", "bias")
        else:
            table += _equalized(ours, f"{block}conv2.1.conv.")
    return table


def _equalized(ours: str, theirs: str, transform: Transform = SAME) -> list[Row]:
    """The two rows of a layer with equalized learning rate."""
    return rows(ours, theirs, ("weight", "weight_orig", transform), "bias")


def _blurs(_: ModelConfig, network: ForeignNetwork, __: bool) -> dict[str, Array | None]:
    taps = np.asarray(TAPS) / sum(TAPS)
    return {
        name: np.broadcast_to(np.outer(taps, taps), array.shape)
        for name, array in network.tensors.items()
        if array.ndim == 4 and array.shape[1:] == (1, 3, 3) and name.endswith((".weight", ".weight_flip"))
    }


def _input_bias(config: ModelConfig, tensors: Tensors) -> Tensors:
    """The constant input has no bias in these files."""
    first = f"synthesis.{synthesis_plan(config)[0].name}."
    return {f"{first}bias": torch.zeros(len(tensors[f"{first}const"]))}


# ------------------------------------------------------------------------------------------ configuration


def config_of(
    levels: int, _: ForeignFile, generator: ForeignNetwork, discriminator: ForeignNetwork | None
) -> ModelConfig:
    """The configuration of networks of ``levels`` doublings, from their shapes."""
    tensors = generator.tensors
    num_layers = sum(1 for name in tensors if name.startswith("style.") and name.endswith(".weight_orig"))
    w_dim, z_dim = shape_of(generator, "style.1.linear.weight_orig", 2)
    names = [f"generator.progression.{level}.conv2.conv.weight_orig" for level in range(levels + 1)]
    return ModelConfig(
        image_size=(4 << levels, 4 << levels),
        base_size=(4, 4),
        image_channels=shape_of(generator, "generator.to_rgb.0.conv.weight_orig", 4)[0],
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
            **channel_rule(shape_of(generator, name, 4)[0] for name in names),
        ),
        discriminator=_discriminator(discriminator, levels),
    )


def _discriminator(network: ForeignNetwork | None, levels: int) -> DiscriminatorConfig:
    if network is None:
        return DiscriminatorConfig(growing=True, architecture="orig")
    is_activated = "from_rgb.8.0.conv.bias" in network.tensors
    names = [f"from_rgb.{TOP_LEVEL - n}.{'0.' if is_activated else ''}conv.bias" for n in range(levels + 1)]
    return DiscriminatorConfig(
        layer="pooled",
        growing=True,
        architecture="orig",
        resample_filter=TAPS,
        mbstd_group_size=None,
        from_rgb_activation=is_activated,
        widens_first=True,
        **channel_rule(shape_of(network, name, 1)[0] for name in names),
    )


FORMAT = Format(
    roles={"g_running": "generator", "generator": "raw_generator", "discriminator": "discriminator"},
    config=partial(config_of, TOP_LEVEL),
    generator=generator_rows,
    discriminator=discriminator_rows,
    implied=_blurs,
    has_options=False,
    constants=_input_bias,
)
