"""rosinality's StyleGAN2 checkpoints: training files (g, d, g_ema, args) and those converted from TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.estimates import add_mean_w, add_noise_maps
from sgkit.checkpoint.adapters.tables import (
    BATCHED,
    FLIPPED,
    Adapted,
    Array,
    Entry,
    Form,
    channel_rule,
    converted,
    to_tensor,
)
from sgkit.checkpoint.foreign import ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import discriminator_plan, synthesis_plan

__all__ = ["adapt", "derived_tensors", "discriminator_table", "generator_table"]

ROLES = {"g_ema": "generator", "g": "raw_generator", "d": "discriminator"}
AVERAGES = {"g_ema": "latent_avg", "g": "g_latent_avg"}
"""Entries that hold a generator's mean w; the second one is written by sgkit only."""
TAPS = (1.0, 3.0, 3.0, 1.0)
FLAT = Form(lambda x: x.reshape(-1), lambda x: x.reshape(1, -1, 1, 1))
"""Biases of images, [1, C, 1, 1]."""
SCALAR = Form(lambda x: x.reshape(()), lambda x: x.reshape(1))


def adapt(file: ForeignFile) -> Adapted:
    """The checkpoint in our terms.

    Raises:
        CheckpointError: a network is missing or unsupported; tensors are named.
    """
    unknown = sorted(set(file.networks) - set(ROLES))
    generator = file.networks.get("g_ema") or file.networks.get("g")
    if generator is None or unknown:
        raise CheckpointError(f"It must hold g_ema or g, and may hold d; it holds {', '.join(file.networks)}.")
    config = _config(generator, file.networks.get("d"))
    notes: dict[str, Any] = {key: file.extras[key] for key in ("args", "ada_aug_p") if key in file.extras}
    networks: dict[str, dict[str, Tensor]] = {}
    for name, network in file.networks.items():
        if name == "d":
            table = discriminator_table(config)
            networks["discriminator"] = converted(network, table, derived=_kernels(network))
        else:
            average = file.extras.get(AVERAGES[name], file.extras.get("latent_avg"))
            networks[ROLES[name]] = _generator(network, config, average, notes)
    kimg = file.extras.get("kimg")
    return Adapted(config, networks, kimg=kimg if type(kimg) is float else 0.0, notes=notes)


def _generator(
    network: ForeignNetwork, config: ModelConfig, latent_avg: Any, notes: dict[str, Any]
) -> dict[str, Tensor]:
    table = generator_table(config)
    if not any(name.startswith("noises.") for name in network.tensors):
        table = [entry for entry in table if not entry.ours.endswith("noise_const")]
    tensors = converted(network, table, derived=_kernels(network))
    add_noise_maps(tensors, config, notes)
    if latent_avg is None:
        add_mean_w(tensors, config, notes)
    else:
        try:
            tensors["mapping.w_avg"] = to_tensor(np.asarray(latent_avg, np.float32).reshape(-1))
        except (TypeError, ValueError) as error:
            raise CheckpointError("latent_avg is no vector of numbers.") from error
    return tensors


# ------------------------------------------------------------------------------------------------- tables


def generator_table(config: ModelConfig) -> list[Entry]:
    """G's lines, without the mean w, which stands outside of the network's tensors."""
    table = []
    for index in range(config.mapping.num_layers):
        for part in ("weight", "bias"):
            table.append(Entry(f"mapping.fc{index}.{part}", f"style.{index + 1}.{part}"))
    noise_index = 0
    for spec in synthesis_plan(config):
        ours, layer, level = f"synthesis.{spec.name}.", spec.name.partition("_")[2], spec.resolution.bit_length() - 3
        if layer == "input":
            table.append(Entry(ours + "const", "input.input", BATCHED))
            continue
        if layer == "rgb":
            theirs = "to_rgb1." if level == 0 else f"to_rgbs.{level - 1}."
            table.append(Entry(ours + "bias", theirs + "bias", FLAT))
        else:
            theirs = "conv1." if level == 0 else f"convs.{2 * level - (2 if layer == 'conv0' else 1)}."
            table.append(Entry(ours + "bias", theirs + "activate.bias"))
            table.append(Entry(ours + "noise_strength", theirs + "noise.weight", SCALAR))
            table.append(Entry(ours + "noise_const", f"noises.noise_{noise_index}", BATCHED.then(BATCHED)))
            noise_index += 1
        table += [
            Entry(ours + "weight", theirs + "conv.weight", BATCHED.then(FLIPPED) if spec.up == 2 else BATCHED),
            Entry(ours + "affine.weight", theirs + "conv.modulation.weight"),
            Entry(ours + "affine.bias", theirs + "conv.modulation.bias"),
        ]
    return table


def discriminator_table(config: ModelConfig) -> list[Entry]:
    """D's lines."""
    table = []
    block = 0
    for spec in discriminator_plan(config):
        layer = spec.name.partition("_")[2]
        if layer == "head":
            table += _lines(spec.name, "final_conv.0", "final_conv.1")
            table += _lines(f"{spec.name}.fc", "final_linear.0", "final_linear.0")
            table += _lines(f"{spec.name}.out", "final_linear.1", "final_linear.1")
        elif layer == "from_rgb":
            table += _lines(spec.name, "convs.0.0", "convs.0.1")
        elif layer == "conv0":
            block += 1
            table += _lines(spec.name, f"convs.{block}.conv1.0", f"convs.{block}.conv1.1")
        else:
            table += _lines(spec.name, f"convs.{block}.conv2.1", f"convs.{block}.conv2.2")
            table.append(Entry(f"{spec.name}.skip_weight", f"convs.{block}.skip.1.weight"))
    return table


def _lines(ours: str, weight: str, bias: str) -> list[Entry]:
    return [Entry(f"{ours}.weight", f"{weight}.weight"), Entry(f"{ours}.bias", f"{bias}.bias")]


def _kernels(network: ForeignNetwork) -> dict[str, Array | None]:
    """The filter that rosinality's modules keep beside their weights, times 4 where they enlarge."""
    values = {name: _kernel(name) for name in network.tensors if name.endswith(".kernel")}
    return dict(values)


def _kernel(name: str) -> Array:
    taps = np.asarray(TAPS, np.float32) / sum(TAPS)
    enlarges = name.endswith((".blur.kernel", ".upsample.kernel"))
    return np.outer(taps, taps) * (4 if enlarges else 1)


def derived_tensors(config: ModelConfig, network: str) -> dict[str, Array]:
    """The tensors of rosinality's modules that follow from the architecture: their filters."""
    levels = range(config.num_doublings)
    if network == "d":
        names = [f"convs.{i + 1}.{part}.0.kernel" for i in levels for part in ("conv2", "skip")]
    else:
        names = [f"convs.{2 * i}.conv.blur.kernel" for i in levels] + [f"to_rgbs.{i}.upsample.kernel" for i in levels]
    return {name: _kernel(name) for name in names}


# ------------------------------------------------------------------------------------------ configuration


def _config(generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    """Everything is in the shapes: rosinality's files name no options that matter."""
    tensors = generator.tensors
    levels = sum(1 for name in tensors if name.startswith("to_rgbs.") and name.endswith(".conv.weight"))
    num_layers = sum(1 for name in tensors if name.startswith("style.") and name.endswith(".weight"))
    if not 1 <= levels <= 12 or num_layers < 1:
        raise CheckpointError(f"The generator has {levels} resolutions above 4x4 and {num_layers} mapping layers.")
    side = 4 << levels
    w_dim, z_dim = _shape(tensors, "style.1.weight", 2)
    names = ["conv1.conv.weight"] + [f"convs.{2 * level + 1}.conv.weight" for level in range(levels)]
    channels = channel_rule([_shape(tensors, name, 5)[1] for name in names])
    return ModelConfig(
        image_size=(side, side),
        base_size=(4, 4),
        image_channels=_shape(tensors, "to_rgb1.conv.weight", 5)[1],
        z_dim=z_dim,
        w_dim=w_dim,
        mapping=MappingConfig(num_layers=num_layers, lr_multiplier=0.01),
        synthesis=SynthesisConfig(resample_filter=TAPS, **channels),
        discriminator=_discriminator(discriminator, levels) if discriminator else DiscriminatorConfig(),
    )


def _discriminator(network: ForeignNetwork, levels: int) -> DiscriminatorConfig:
    tensors = network.tensors
    names = [f"convs.{levels - level}.conv2.1.weight" for level in range(levels)]
    channels = [_shape(tensors, name, 4)[0] for name in names] + [_shape(tensors, "convs.0.0.weight", 4)[0]]
    return DiscriminatorConfig(resample_filter=TAPS, **channel_rule(channels))


def _shape(tensors: dict[str, Array], name: str, ndim: int) -> tuple[int, ...]:
    array = tensors.get(name)
    if array is None or array.ndim != ndim:
        raise CheckpointError(f"Tensor {name} is missing or has not {ndim} axes.")
    return tuple(array.shape)
