"""NVIDIA's TensorFlow networks: which variable is which tensor of StyleGAN2, StyleGAN1 and ProGAN."""

from __future__ import annotations

import numpy as np

from sgkit.checkpoint.adapters.tensorflow_options import config_of, is_fused
from sgkit.checkpoint.adapters.translate import BATCHED, FLIPPED, Format, Row, Transform, rows
from sgkit.checkpoint.foreign_file import Array, ForeignNetwork
from sgkit.config import ModelConfig
from sgkit.model import LayerSpec, discriminator_plan, synthesis_plan
from sgkit.model.plan import all_layers

DENSE = Transform(np.transpose)
"""[in, out]."""
KERNEL = Transform(lambda x: x.transpose(3, 2, 0, 1))
"""[height, width, in, out]."""
SWAPPED_KERNEL = Transform(lambda x: x.transpose(2, 3, 0, 1))
"""[height, width, out, in]: ProGAN's fused enlarging convolutions."""
PLUS_ONE = Transform(lambda x: x + 1)
"""Biases of styles, stored without the 1 that the arithmetic adds."""


def _one_for_scales(x: Array) -> Array:
    return np.repeat([1.0, 0.0], x.shape[0] // 2).astype(x.dtype)


SCALES_PLUS_ONE = Transform(lambda x: x + _one_for_scales(x))
"""Biases [2C] of scales and shifts: the scales are stored without their 1."""


# ---------------------------------------------------------------------------------------------- generator


def generator_rows(config: ModelConfig, network: ForeignNetwork) -> list[Row]:
    """G's table."""
    table = _mapping_rows(config)
    prefix = "" if config.synthesis.layer == "pixel_norm" else "synthesis/"
    noise_index = 0
    for spec in all_layers(synthesis_plan, config).values():
        ours, theirs = f"synthesis.{spec.name}.", prefix + _scope(spec, config, network)
        table += _layer_rows(spec, config, network, ours, theirs)
        if spec.has_noise:
            table += rows(ours, "synthesis/", ("noise_const", f"noise{noise_index}", BATCHED.then(BATCHED)))
            noise_index += 1
        if spec.shortcut == "open":
            block = f"{prefix}{spec.resolution}x{spec.resolution}/"
            table += rows(ours, block, ("skip_weight", "Skip/weight", KERNEL))
    return table


def _mapping_rows(config: ModelConfig) -> list[Row]:
    if config.mapping.num_layers == 0:
        return []
    table = rows("mapping.", "", ("w_avg", "dlatent_avg"))
    if config.label_dim > 0:
        table += rows("mapping.", "mapping/", ("label_matrix", "LabelConcat/weight"))
    for index in range(config.mapping.num_layers):
        table += rows(f"mapping.fc{index}.", f"mapping/Dense{index}/", ("weight", "weight", DENSE), "bias")
    return table


def _scope(spec: LayerSpec, config: ModelConfig, network: ForeignNetwork) -> str:
    """The variable scope of a layer of G."""
    block = f"{spec.resolution}x{spec.resolution}/"
    if spec.kind == "rgb":
        return f"ToRGB_lod{_level_from_top(spec, config)}/" if config.synthesis.growing else block + "ToRGB/"
    if spec.kind == "input":
        return block + ("Dense/" if config.synthesis.input == "dense" else "Const/")
    if spec.up == 2:
        return block + ("Conv0_up/" if is_fused(network) or config.synthesis.layer != "pixel_norm" else "Conv0/")
    return block + ("Conv/" if spec.resolution == 4 else "Conv1/")


def _level_from_top(spec: LayerSpec, config: ModelConfig) -> int:
    return (config.resolution // spec.resolution).bit_length() - 1


def _layer_rows(spec: LayerSpec, config: ModelConfig, network: ForeignNetwork, ours: str, theirs: str) -> list[Row]:
    """The rows of one layer of G, but for noise maps and shortcuts."""
    if spec.operator.endswith("constant"):
        table = rows(ours, theirs, ("const", "const", BATCHED))
    elif spec.kind == "input":
        table = rows(ours, theirs, ("weight", "weight", DENSE))
    else:
        table = rows(ours, theirs, ("weight", "weight", _kernel_of(spec, config, network)))
    if spec.operator != "constant":
        table += rows(ours, theirs, "bias")
    noise = "noise_strength"
    if spec.operator in ("modulated", "to_rgb"):
        table += rows(ours, theirs, ("affine.weight", "mod_weight", DENSE), ("affine.bias", "mod_bias", PLUS_ONE))
    elif config.synthesis.layer == "adain" and spec.kind != "rgb":
        style = (("affine.weight", "weight", DENSE), ("affine.bias", "bias", SCALES_PLUS_ONE))
        table += rows(ours, f"{theirs}StyleMod/", *style)
        noise = "Noise/weight"
    return table + (rows(ours, theirs, ("noise_strength", noise)) if spec.has_noise else [])


def _kernel_of(spec: LayerSpec, config: ModelConfig, network: ForeignNetwork) -> Transform:
    """How a convolution of G is stored: layers that enlarge within a transposed convolution are turned."""
    if spec.up == 1 or config.synthesis.layer == "modulated" or not is_fused(network, resolution=spec.resolution):
        return KERNEL
    return (SWAPPED_KERNEL if config.synthesis.layer == "pixel_norm" else KERNEL).then(FLIPPED)


# ------------------------------------------------------------------------------------------ discriminator


def discriminator_rows(config: ModelConfig, network: ForeignNetwork) -> list[Row]:
    """D's table."""
    table = []
    down = "Conv1_down/" if is_fused(network) or config.synthesis.layer != "pixel_norm" else "Conv1/"
    last = "Output/" if config.discriminator.layer == "filtered" else "4x4/Dense1/"
    for spec in all_layers(discriminator_plan, config).values():
        ours, block = f"{spec.name}.", f"{spec.resolution}x{spec.resolution}/"
        if spec.kind == "from_rgb":
            growing = config.discriminator.growing
            theirs = f"FromRGB_lod{_level_from_top(spec, config)}/" if growing else block + "FromRGB/"
        elif spec.kind == "head":
            theirs = block + "Conv/"
            table += rows(f"{ours}fc.", f"{block}Dense0/", ("weight", "weight", DENSE), "bias")
            table += rows(f"{ours}out.", last, ("weight", "weight", DENSE), "bias")
        else:
            theirs = block + (down if spec.down == 2 else "Conv0/")
        table += rows(ours, theirs, ("weight", "weight", KERNEL), "bias")
        if spec.shortcut == "close":
            table += rows(ours, block, ("skip_weight", "Skip/weight", KERNEL))
    return table


FORMAT = Format(
    roles={"Gs": "generator", "G": "raw_generator", "D": "discriminator"},
    config=lambda file, generator, discriminator: config_of(file.kind, generator, discriminator),
    generator=generator_rows,
    discriminator=discriminator_rows,
    implied=lambda *_: {"lod": None, "synthesis/lod": None},
    has_options=True,
)
