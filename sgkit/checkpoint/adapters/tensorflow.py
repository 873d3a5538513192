"""NVIDIA's TensorFlow StyleGAN2 networks (``dnnlib.tflib`` pickles)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.tables import (
    BATCHED,
    Adapted,
    Entry,
    Form,
    channel_rule,
    converted,
    option,
    refuse_unknown_options,
)
from sgkit.checkpoint.foreign import ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import discriminator_plan, synthesis_plan

__all__ = ["adapt"]

ROLES = {"Gs": "generator", "G": "raw_generator", "D": "discriminator"}
COMMON = ("name", "num_channels", "resolution", "label_size", "func_name", "dtype", "structure", "is_template_graph")
FMAPS = ("fmap_base", "fmap_decay", "fmap_min", "fmap_max")
G_OPTIONS = (
    *COMMON,
    *FMAPS,
    *("latent_size", "dlatent_size", "mapping_fmaps", "mapping_layers", "mapping_lrmul", "mapping_nonlinearity"),
    *("normalize_latents", "dlatent_broadcast", "dlatent_avg_beta", "style_mixing_prob", "randomize_noise"),
    *("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "fused_modconv"),
    *(
        "architecture",
        "nonlinearity",
        "resample_kernel",
        "mapping_func",
        "synthesis_func",
        "is_training",
        "is_validation",
    ),
)
D_OPTIONS = (
    *COMMON,
    *FMAPS,
    "architecture",
    "nonlinearity",
    "mbstd_group_size",
    "mbstd_num_features",
    "resample_kernel",
)


DENSE = Form(np.transpose, np.transpose)
"""[in, out]."""
KERNEL = Form(lambda x: x.transpose(3, 2, 0, 1), lambda x: x.transpose(2, 3, 1, 0))
"""[height, width, in, out]."""
PLUS_ONE = Form(lambda x: x + 1, lambda x: x - 1)
"""Biases of styles, stored without the 1 that StyleGAN2's arithmetic adds."""


def adapt(file: ForeignFile) -> Adapted:
    """The checkpoint in our terms.

    Raises:
        CheckpointError: a network is missing or unsupported; options and tensors are named.
    """
    if "Gs" not in file.networks:
        raise CheckpointError("It holds no averaged generator (Gs).")
    config = _config(file.networks["Gs"], file.networks.get("D"))
    networks: dict[str, dict[str, Tensor]] = {}
    for name, network in file.networks.items():
        table = discriminator_table(config) if name == "D" else generator_table(config)
        networks[ROLES[name]] = converted(network, table, derived={"lod": None})
    notes: dict[str, Any] = {"options": {name: network.options for name, network in file.networks.items()}}
    return Adapted(config, networks, notes=notes)


# ------------------------------------------------------------------------------------------------- tables


def generator_table(config: ModelConfig) -> list[Entry]:
    """G's lines."""
    table = [Entry("mapping.w_avg", "dlatent_avg")]
    for index in range(config.mapping.num_layers):
        table.append(Entry(f"mapping.fc{index}.weight", f"mapping/Dense{index}/weight", DENSE))
        table.append(Entry(f"mapping.fc{index}.bias", f"mapping/Dense{index}/bias"))
    noise_index = 0
    for spec in synthesis_plan(config):
        ours, block = f"synthesis.{spec.name}.", f"synthesis/{spec.resolution}x{spec.resolution}/"
        layer = spec.name.partition("_")[2]
        if layer == "input":
            table.append(Entry(ours + "const", block + "Const/const", BATCHED))
            continue
        names = {"conv0": "Conv0_up/", "conv1": "Conv" if spec.resolution == 4 else "Conv1", "rgb": "ToRGB"}
        theirs = block + names[layer].rstrip("/") + "/"
        table += [
            Entry(ours + "weight", theirs + "weight", KERNEL),
            Entry(ours + "bias", theirs + "bias"),
            Entry(ours + "affine.weight", theirs + "mod_weight", DENSE),
            Entry(ours + "affine.bias", theirs + "mod_bias", PLUS_ONE),
        ]
        if spec.has_noise:
            table.append(Entry(ours + "noise_const", f"synthesis/noise{noise_index}", BATCHED.then(BATCHED)))
            table.append(Entry(ours + "noise_strength", theirs + "noise_strength"))
            noise_index += 1
        if spec.shortcut == "open":
            table.append(Entry(ours + "skip_weight", block + "Skip/weight", KERNEL))
    return table


def discriminator_table(config: ModelConfig) -> list[Entry]:
    """D's lines."""
    table = []
    for spec in discriminator_plan(config):
        block = f"{spec.resolution}x{spec.resolution}/"
        layer = spec.name.partition("_")[2]
        theirs = block + {"from_rgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "head": "Conv"}[layer] + "/"
        table.append(Entry(f"{spec.name}.weight", theirs + "weight", KERNEL))
        table.append(Entry(f"{spec.name}.bias", theirs + "bias"))
        if spec.shortcut == "close":
            table.append(Entry(f"{spec.name}.skip_weight", block + "Skip/weight", KERNEL))
        if layer == "head":
            for ours, other in (("fc", block + "Dense0"), ("out", "Output")):
                table.append(Entry(f"{spec.name}.{ours}.weight", other + "/weight", DENSE))
                table.append(Entry(f"{spec.name}.{ours}.bias", other + "/bias"))
    return table


# ------------------------------------------------------------------------------------------ configuration


def _config(generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    options = generator.options
    refuse_unknown_options(options, G_OPTIONS, what="G")
    if options.get("synthesis_func", "G_synthesis_stylegan2").rpartition(".")[2] != "G_synthesis_stylegan2":
        raise CheckpointError(f"G has synthesis_func {options['synthesis_func']!r}, which is not supported.")
    if option(options, "label_size", int, 0) > 0:
        raise CheckpointError("G takes labels in TensorFlow's manner, which is not supported.")
    if option(options, "normalize_latents", bool, True) is not True:
        raise CheckpointError("G does not normalise its latents (normalize_latents=False), which is not supported.")
    resolution = _resolution(options)
    num_layers = option(options, "mapping_layers", int, 8)
    channels = _channels(generator, resolution, "synthesis/{r}x{r}/Conv1/weight", "synthesis/4x4/Conv/weight")
    base, largest = channel_rule(channels, what="G")
    return ModelConfig(
        image_size=(resolution, resolution),
        base_size=(4, 4),
        image_channels=option(options, "num_channels", int, 1),
        z_dim=option(options, "latent_size", int, 512),
        w_dim=option(options, "dlatent_size", int, 512),
        mapping=MappingConfig(
            num_layers=num_layers,
            activation=option(options, "mapping_nonlinearity", str, "lrelu"),
            layer_features=option(options, "mapping_fmaps", int, 512) if num_layers > 1 else None,
            lr_multiplier=option(options, "mapping_lrmul", float, 0.01),
            w_avg_beta=option(options, "dlatent_avg_beta", float, 0.995),
        ),
        synthesis=SynthesisConfig(
            architecture=option(options, "architecture", str, "skip"),
            channel_base=base,
            channel_max=largest,
            resample_filter=_taps(options),
            activation=option(options, "nonlinearity", str, "lrelu"),
        ),
        discriminator=_discriminator(discriminator) if discriminator else DiscriminatorConfig(),
    )


def _discriminator(network: ForeignNetwork) -> DiscriminatorConfig:
    options = network.options
    refuse_unknown_options(options, D_OPTIONS, what="D")
    if network.builder != "D_stylegan2":
        raise CheckpointError(f"D was built by {network.builder}, which is not supported beside a StyleGAN2 generator.")
    channels = _channels(network, _resolution(options), "{r}x{r}/Conv0/weight", "4x4/Conv/weight")
    base, largest = channel_rule(channels, what="D")
    return DiscriminatorConfig(
        architecture=option(options, "architecture", str, "resnet"),
        channel_base=base,
        channel_max=largest,
        resample_filter=_taps(options),
        activation=option(options, "nonlinearity", str, "lrelu"),
        mbstd_group_size=option(options, "mbstd_group_size", int, 4),
        mbstd_num_channels=option(options, "mbstd_num_features", int, 1),
    )


def _resolution(options: dict[str, Any]) -> int:
    resolution: int = option(options, "resolution", int, 1024)
    if resolution < 8 or resolution & (resolution - 1):
        raise CheckpointError(f"It was built for images of {resolution} pixels; a power of two from 8 up is expected.")
    return resolution


def _channels(network: ForeignNetwork, resolution: int, name: str, first: str) -> list[int]:
    """Channels from 4x4 up, as the kernels [h, w, in, out] have them."""
    names = [first] + [name.format(r=4 << level) for level in range(1, int(math.log2(resolution)) - 1)]
    missing = [n for n in names if n not in network.tensors or network.tensors[n].ndim != 4]
    if missing:
        raise CheckpointError(f"Network {network.name} has no kernel {missing[0]}.")
    return [network.tensors[n].shape[3] for n in names]


def _taps(options: dict[str, Any]) -> tuple[float, ...]:
    taps = options.get("resample_kernel", [1, 3, 3, 1])
    if not isinstance(taps, list) or not taps or not all(type(tap) in (int, float) for tap in taps):
        raise CheckpointError(f"resample_kernel is {taps!r}; a list of numbers is expected.")
    return tuple(float(tap) for tap in taps)
