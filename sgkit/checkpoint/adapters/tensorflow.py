"""NVIDIA's TensorFlow networks in our terms: which variable is which tensor of StyleGAN2, StyleGAN1 and ProGAN."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.tables import (
    BATCHED,
    FLIPPED,
    SAME,
    Adapted,
    Array,
    Entry,
    Form,
    convert_networks,
    converted,
)
from sgkit.checkpoint.adapters.tensorflow_options import config_of, is_fused
from sgkit.checkpoint.description import ForeignFile, ForeignNetwork
from sgkit.config import ModelConfig
from sgkit.errors import CheckpointError
from sgkit.model import LayerSpec, discriminator_plan, synthesis_plan
from sgkit.model.plan import all_layers

ROLES = {"Gs": "generator", "G": "raw_generator", "D": "discriminator"}

DENSE = Form(np.transpose)
"""[in, out]."""
KERNEL = Form(lambda x: x.transpose(3, 2, 0, 1))
"""[height, width, in, out]."""
SWAPPED_KERNEL = Form(lambda x: x.transpose(2, 3, 0, 1))
"""[height, width, out, in]: ProGAN's fused enlarging convolutions."""
PLUS_ONE = Form(lambda x: x + 1)
"""Biases of styles, stored without the 1 that the arithmetic adds."""


def _one_for_scales(x: Array) -> Array:
    return np.repeat([1.0, 0.0], x.shape[0] // 2).astype(x.dtype)


SCALES_PLUS_ONE = Form(lambda x: x + _one_for_scales(x))
"""Biases [2C] of scales and shifts: the scales are stored without their 1."""


def adapt(file: ForeignFile) -> Adapted:
    """The checkpoint in our terms.

    Raises:
        CheckpointError: a network is missing or unsupported; options and tensors are named.
    """
    if "Gs" not in file.networks:
        raise CheckpointError("It holds no averaged generator (Gs).")
    averaged = file.networks["Gs"]
    notes: dict[str, Any] = {"options": {name: network.options for name, network in file.networks.items()}}
    config, networks = convert_networks(
        file,
        ROLES,
        config_of(file.kind, averaged, None),
        used=averaged,
        notes=notes,
        generator=lambda _, network, config: _generator(network, config),
        discriminator=lambda network, _: _discriminator(file.kind, averaged, network),
    )
    return Adapted(config, networks, lod=_lod(averaged, config), notes=notes)


DERIVED: dict[str, Array | None] = {"lod": None, "synthesis/lod": None}


def _generator(network: ForeignNetwork, config: ModelConfig) -> dict[str, Tensor]:
    tensors = converted(network, generator_table(config, network), derived=DERIVED)
    if config.mapping.num_layers == 0:
        tensors["mapping.w_avg"] = Tensor([0.0] * config.w_dim)
    return tensors


def _discriminator(
    kind: str, averaged: ForeignNetwork, network: ForeignNetwork
) -> tuple[ModelConfig, dict[str, Tensor]]:
    config = config_of(kind, averaged, network)
    return config, converted(network, discriminator_table(config, network), derived=DERIVED)


def _lod(network: ForeignNetwork, config: ModelConfig) -> float:
    """How far the network had grown when it was saved."""
    value = network.tensors.get("lod")
    return float(value.item()) if config.synthesis.growing and value is not None and value.size == 1 else 0.0


# ---------------------------------------------------------------------------------------------- generator


def generator_table(config: ModelConfig, network: ForeignNetwork) -> list[Entry]:
    """G's lines."""
    table = _mapping_lines(config)
    prefix = "" if config.synthesis.layer == "pixel_norm" else "synthesis/"
    noise_index = 0
    for spec in all_layers(synthesis_plan, config).values():
        ours, theirs = f"synthesis.{spec.name}.", prefix + _scope(spec, config, network)
        table += _layer_lines(spec, config, network, ours, theirs)
        if spec.has_noise:
            table.append(Entry(ours + "noise_const", f"synthesis/noise{noise_index}", BATCHED.then(BATCHED)))
            noise_index += 1
        if spec.shortcut == "open":
            skip = f"{prefix}{spec.resolution}x{spec.resolution}/Skip/weight"
            table.append(Entry(ours + "skip_weight", skip, KERNEL))
    return table


def _mapping_lines(config: ModelConfig) -> list[Entry]:
    if config.mapping.num_layers == 0:
        return []
    table = [Entry("mapping.w_avg", "dlatent_avg")]
    if config.label_dim > 0:
        table.append(Entry("mapping.label_matrix", "mapping/LabelConcat/weight"))
    for index in range(config.mapping.num_layers):
        table.append(Entry(f"mapping.fc{index}.weight", f"mapping/Dense{index}/weight", DENSE))
        table.append(Entry(f"mapping.fc{index}.bias", f"mapping/Dense{index}/bias"))
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


def _layer_lines(spec: LayerSpec, config: ModelConfig, network: ForeignNetwork, ours: str, theirs: str) -> list[Entry]:
    """The lines of one layer of G, but for noise maps and shortcuts."""
    lines = []
    if spec.operator.endswith("constant"):
        lines.append(Entry(ours + "const", theirs + "const", BATCHED))
    elif spec.kind == "input":
        lines.append(Entry(ours + "weight", theirs + "weight", DENSE))
    else:
        lines.append(Entry(ours + "weight", theirs + "weight", _kernel_form(spec, config, network)))
    if spec.operator != "constant":
        lines.append(Entry(ours + "bias", theirs + "bias"))
    if spec.operator in ("modulated", "to_rgb"):
        lines.append(Entry(ours + "affine.weight", theirs + "mod_weight", DENSE))
        lines.append(Entry(ours + "affine.bias", theirs + "mod_bias", PLUS_ONE))
        if spec.has_noise:
            lines.append(Entry(ours + "noise_strength", theirs + "noise_strength"))
    elif config.synthesis.layer == "adain" and spec.kind != "rgb":
        lines.append(Entry(ours + "affine.weight", theirs + "StyleMod/weight", DENSE))
        lines.append(Entry(ours + "affine.bias", theirs + "StyleMod/bias", SCALES_PLUS_ONE))
        if spec.has_noise:
            lines.append(Entry(ours + "noise_strength", theirs + "Noise/weight"))
    return lines


def _kernel_form(spec: LayerSpec, config: ModelConfig, network: ForeignNetwork) -> Form:
    """How a convolution of G is stored: layers that enlarge within a transposed convolution are turned."""
    if spec.up == 1 or config.synthesis.layer == "modulated" or not is_fused(network, resolution=spec.resolution):
        return KERNEL
    return (SWAPPED_KERNEL if config.synthesis.layer == "pixel_norm" else KERNEL).then(FLIPPED)


# ------------------------------------------------------------------------------------------ discriminator


def discriminator_table(config: ModelConfig, network: ForeignNetwork) -> list[Entry]:
    """D's lines."""
    table = []
    down = "Conv1_down/" if is_fused(network) or config.synthesis.layer != "pixel_norm" else "Conv1/"
    last = "Output" if config.discriminator.layer == "filtered" else "4x4/Dense1"
    for spec in all_layers(discriminator_plan, config).values():
        block = f"{spec.resolution}x{spec.resolution}/"
        if spec.kind == "from_rgb":
            growing = config.discriminator.growing
            theirs = f"FromRGB_lod{_level_from_top(spec, config)}/" if growing else block + "FromRGB/"
        elif spec.kind == "head":
            theirs = block + "Conv/"
            table += _two_lines(f"{spec.name}.fc.", block + "Dense0/", DENSE)
            table += _two_lines(f"{spec.name}.out.", last + "/", DENSE)
        else:
            theirs = block + (down if spec.down == 2 else "Conv0/")
        table += _two_lines(spec.name + ".", theirs, KERNEL)
        if spec.shortcut == "close":
            table.append(Entry(f"{spec.name}.skip_weight", block + "Skip/weight", KERNEL))
    return table


def _two_lines(ours: str, theirs: str, form: Form) -> list[Entry]:
    return [Entry(ours + "weight", theirs + "weight", form), Entry(ours + "bias", theirs + "bias", SAME)]
