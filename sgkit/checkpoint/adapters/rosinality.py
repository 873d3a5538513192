"""rosinality's StyleGAN2 checkpoints: training files (g, d, g_ema, args) and those converted from TensorFlow."""

from __future__ import annotations

from dataclasses import replace
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
    convert_networks,
    converted,
    known_part,
    to_tensor,
)
from sgkit.checkpoint.description import ForeignFile, ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError
from sgkit.model import discriminator_plan, synthesis_plan

ROLES = {"g_ema": "generator", "g": "raw_generator", "d": "discriminator"}
TAPS = (1.0, 3.0, 3.0, 1.0)
FLAT = Form(lambda x: x.reshape(-1), lambda x: x.reshape(1, -1, 1, 1))
"""Biases of images, [1, C, 1, 1]."""
SCALAR = Form(lambda x: x.reshape(()), lambda x: x.reshape(1))


def adapt(file: ForeignFile) -> Adapted:
    """The checkpoint in our terms; a discriminator or second generator that cannot be used is left out and noted.

    Raises:
        CheckpointError: the generator is missing or unsupported; tensors are named.
    """
    generator = file.networks.get("g_ema") or file.networks.get("g")
    if generator is None:
        raise CheckpointError(f"It holds no generator, only {', '.join(file.notes['found'].values())}.")
    notes: dict[str, Any] = {key: file.extras[key] for key in ("args", "ada_aug_p") if key in file.extras}
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
    kimg = file.extras.get("kimg")
    return Adapted(config, networks, kimg=kimg if type(kimg) is float else 0.0, notes=notes)


def _generator(
    network: ForeignNetwork, config: ModelConfig, mean: Array | None, notes: dict[str, Any]
) -> dict[str, Tensor]:
    table = generator_table(config)
    if not any(name.startswith("noises.") for name in network.tensors):
        table = [entry for entry in table if not entry.ours.endswith("noise_const")]
    network = known_part(network, table, derived=_kernels(network), notes=notes)
    tensors = converted(network, table, derived=_kernels(network))
    add_noise_maps(tensors, config, notes)
    vector = None if mean is None else _mean_vector(mean, config.w_dim, notes)
    if vector is None:
        add_mean_w(tensors, config, notes)
    else:
        tensors["mapping.w_avg"] = vector
    return tensors


def _mean_vector(mean: Array, w_dim: int, notes: dict[str, Any]) -> Tensor | None:
    """The mean w [w_dim]: encoders such as pSp repeat it for every layer; ``None`` where it does not fit."""
    if mean.dtype.kind != "f" or mean.size == 0 or mean.size % w_dim or mean.shape[-1] != w_dim:
        notes.setdefault("ignored", []).append(
            f"latent_avg of shape {list(mean.shape)}: the model's w has {w_dim} numbers"
        )
        return None
    rows = mean.reshape(-1, w_dim)
    if not np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)):
        notes.setdefault("ignored", []).append(
            f"latent_avg of shape {list(mean.shape)}: it differs from layer to layer"
        )
        return None
    return to_tensor(rows[0])


def _discriminator(
    network: ForeignNetwork, config: ModelConfig, notes: dict[str, Any]
) -> tuple[ModelConfig, dict[str, Tensor]]:
    config = replace(config, discriminator=_discriminator_config(network, config.num_doublings))
    table = discriminator_table(config)
    network = known_part(network, table, derived=_kernels(network), notes=notes)
    return config, converted(network, table, derived=_kernels(network))


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


def _config(generator: ForeignNetwork) -> ModelConfig:
    """Everything is in the shapes: rosinality's files name no options that matter."""
    tensors = generator.tensors
    levels = sum(1 for name in tensors if name.startswith("to_rgbs.") and name.endswith(".conv.weight"))
    num_layers = sum(1 for name in tensors if name.startswith("style.") and name.endswith(".weight"))
    if not 1 <= levels <= 12 or num_layers < 1:
        raise CheckpointError(f"The generator has {levels} resolutions above 4x4 and {num_layers} mapping layers.")
    base = _shape(tensors, "input.input", 4)[2:]
    w_dim, z_dim = _shape(tensors, "style.1.weight", 2)
    names = ["conv1.conv.weight"] + [f"convs.{2 * level + 1}.conv.weight" for level in range(levels)]
    channels = channel_rule([_shape(tensors, name, 5)[1] for name in names])
    return ModelConfig(
        image_size=(base[0] << levels, base[1] << levels),
        base_size=(base[0], base[1]),
        image_channels=_image_channels(tensors),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping=MappingConfig(num_layers=num_layers, lr_multiplier=0.01),
        synthesis=SynthesisConfig(resample_filter=TAPS, **channels),
    )


def _discriminator_config(network: ForeignNetwork, levels: int) -> DiscriminatorConfig:
    tensors = network.tensors
    names = [f"convs.{levels - level}.conv2.1.weight" for level in range(levels)]
    channels = [_shape(tensors, name, 4)[0] for name in names] + [_shape(tensors, "convs.0.0.weight", 4)[0]]
    return DiscriminatorConfig(resample_filter=TAPS, **channel_rule(channels))


def _image_channels(tensors: dict[str, Array]) -> int:
    channels = _shape(tensors, "to_rgb1.conv.weight", 5)[1]
    if channels > 4:
        raise CheckpointError(
            f"Its layers write images of {channels} channels; 1 to 4 are read. SWAGAN's wavelet networks have 12."
        )
    return channels


def _shape(tensors: dict[str, Array], name: str, ndim: int) -> tuple[int, ...]:
    array = tensors.get(name)
    if array is None or array.ndim != ndim:
        held = "is missing" if array is None else f"has shape {list(array.shape)}, not {ndim} axes"
        raise CheckpointError(f"Tensor {name} {held}.")
    return tuple(array.shape)
