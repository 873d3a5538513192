"""rosinality's StyleGAN2 checkpoints: training files (g, d, g_ema, args) and those converted from TensorFlow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sgkit.checkpoint.adapters.reading import channel_rule, shape_of
from sgkit.checkpoint.adapters.translate import BATCHED, FLIPPED, Format, Row, Transform, rows
from sgkit.checkpoint.foreign_file import Array, ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import discriminator_plan, synthesis_plan

ROLES = {"g_ema": "generator", "g": "raw_generator", "d": "discriminator"}
TAPS = (1.0, 3.0, 3.0, 1.0)
FLAT = Transform(lambda x: x.reshape(-1), lambda x: x.reshape(1, -1, 1, 1))
"""Biases of images, [1, C, 1, 1]."""
SCALAR = Transform(lambda x: x.reshape(()), lambda x: x.reshape(1))


def generator_rows(config: ModelConfig, _: ForeignNetwork | None = None) -> list[Row]:
    """G's table, without the mean w, which is not among the network's tensors."""
    table = []
    for index in range(config.mapping.num_layers):
        table += rows(f"mapping.fc{index}.", f"style.{index + 1}.", "weight", "bias")
    noise = 0
    for spec in synthesis_plan(config):
        ours, layer, level = f"synthesis.{spec.name}.", spec.name.partition("_")[2], spec.resolution.bit_length() - 3
        if layer == "input":
            table += rows(ours, "input.", ("const", "input", BATCHED))
            continue
        if layer == "rgb":
            theirs = "to_rgb1." if level == 0 else f"to_rgbs.{level - 1}."
            table += rows(ours, theirs, ("bias", "bias", FLAT))
        else:
            theirs = "conv1." if level == 0 else f"convs.{2 * level - (2 if layer == 'conv0' else 1)}."
            table += rows(ours, theirs, ("bias", "activate.bias"), ("noise_strength", "noise.weight", SCALAR))
            table += rows(ours, "noises.", ("noise_const", f"noise_{noise}", BATCHED.then(BATCHED)))
            noise += 1
        weight = BATCHED.then(FLIPPED) if spec.up == 2 else BATCHED
        style = [(f"affine.{part}", f"conv.modulation.{part}") for part in ("weight", "bias")]
        table += rows(ours, theirs, ("weight", "conv.weight", weight), *style)
    return table


def discriminator_rows(config: ModelConfig, _: ForeignNetwork | None = None) -> list[Row]:
    """D's table."""
    table = []
    block = 0
    for spec in discriminator_plan(config):
        layer = spec.name.partition("_")[2]
        block += layer == "conv0"
        weight, bias = {
            "head": ("final_conv.0", "final_conv.1"),
            "from_rgb": ("convs.0.0", "convs.0.1"),
            "conv0": (f"convs.{block}.conv1.0", f"convs.{block}.conv1.1"),
            "conv1": (f"convs.{block}.conv2.1", f"convs.{block}.conv2.2"),
        }[layer]
        table += rows(f"{spec.name}.", "", ("weight", f"{weight}.weight"), ("bias", f"{bias}.bias"))
        if layer == "head":
            table += rows(f"{spec.name}.fc.", "final_linear.0.", "weight", "bias")
            table += rows(f"{spec.name}.out.", "final_linear.1.", "weight", "bias")
        elif layer == "conv1":
            table += rows(f"{spec.name}.", f"convs.{block}.", ("skip_weight", "skip.1.weight"))
    return table


def _kernel(name: str) -> Array:
    """The filter that rosinality's modules keep beside their weights, times 4 where they enlarge."""
    taps = np.asarray(TAPS, np.float32) / sum(TAPS)
    enlarges = name.endswith((".blur.kernel", ".upsample.kernel"))
    return np.outer(taps, taps) * (4 if enlarges else 1)


def filters(config: ModelConfig, *, discriminator: bool) -> dict[str, Array]:
    """The filters of rosinality's modules, which follow from the architecture."""
    levels = range(config.num_doublings)
    if discriminator:
        names = [f"convs.{i + 1}.{part}.0.kernel" for i in levels for part in ("conv2", "skip")]
    else:
        names = [f"convs.{2 * i}.conv.blur.kernel" for i in levels] + [f"to_rgbs.{i}.upsample.kernel" for i in levels]
    return {name: _kernel(name) for name in names}


# ------------------------------------------------------------------------------------------ configuration


def config_of(_: ForeignFile, generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    """Everything is in the shapes: rosinality's files name no options that matter."""
    tensors = generator.tensors
    levels = sum(1 for name in tensors if name.startswith("to_rgbs.") and name.endswith(".conv.weight"))
    num_layers = sum(1 for name in tensors if name.startswith("style.") and name.endswith(".weight"))
    if not 1 <= levels <= 12 or num_layers < 1:
        raise CheckpointError(f"The generator has {levels} resolutions above 4x4 and {num_layers} mapping layers.")
    base = shape_of(generator, "input.input", 4)[2:]
    w_dim, z_dim = shape_of(generator, "style.1.weight", 2)
    image_channels = shape_of(generator, "to_rgb1.conv.weight", 5)[1]
    if image_channels > 4:
        raise CheckpointError(
            f"Its layers write images of {image_channels} channels; 1 to 4 are read. SWAGAN's wavelet networks have 12."
        )
    names = ["conv1.conv.weight"] + [f"convs.{2 * level + 1}.conv.weight" for level in range(levels)]
    config = ModelConfig(
        image_size=(base[0] << levels, base[1] << levels),
        base_size=(base[0], base[1]),
        image_channels=image_channels,
        z_dim=z_dim,
        w_dim=w_dim,
        mapping=MappingConfig(num_layers=num_layers, lr_multiplier=0.01),
        synthesis=SynthesisConfig(
            resample_filter=TAPS, **channel_rule(shape_of(generator, name, 5)[1] for name in names)
        ),
    )
    if discriminator is None:
        return config
    names = [f"convs.{levels - level}.conv2.1.weight" for level in range(levels)] + ["convs.0.0.weight"]
    rule = channel_rule(shape_of(discriminator, name, 4)[0] for name in names)
    return replace(config, discriminator=DiscriminatorConfig(resample_filter=TAPS, **rule))


FORMAT = Format(
    roles=ROLES,
    config=config_of,
    generator=generator_rows,
    discriminator=discriminator_rows,
    implied=lambda _, network, __: {name: _kernel(name) for name in network.tensors if name.endswith(".kernel")},
    has_options=False,
    optional=("noise_const",),
    extras=("args", "ada_aug_p"),
)
