"""NVIDIA's PyTorch checkpoints: stylegan2-ada-pytorch, and stylegan3 with its own networks or StyleGAN2's."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from sgkit.checkpoint.adapters.nvidia_options import config_of
from sgkit.checkpoint.adapters.tables import FLIPPED, Adapted, Array, Entry, convert_networks, converted
from sgkit.checkpoint.assign import weightless
from sgkit.checkpoint.description import ForeignFile, ForeignNetwork
from sgkit.config import MappingConfig, ModelConfig
from sgkit.errors import CheckpointError
from sgkit.model import LayerSpec, Synthesis, discriminator_plan, synthesis_plan

ROLES = {"G_ema": "generator", "G": "raw_generator", "D": "discriminator"}


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
    notes: dict[str, Any] = {
        key: file.extras[key] for key in ("training_set_kwargs", "augment_pipe") if file.extras.get(key)
    }
    notes["options"] = {name: network.options for name, network in file.networks.items()}
    config, networks = convert_networks(
        file,
        ROLES,
        config_of(generator, None),
        used=generator,
        notes=notes,
        generator=lambda _, network, config: _generator(network, config),
        discriminator=lambda network, _: _discriminator(generator, network),
    )
    return Adapted(config, networks, notes=notes)


def _generator(network: ForeignNetwork, config: ModelConfig) -> dict[str, Tensor]:
    return converted(network, generator_table(config), derived=derived_tensors(config, discriminator=False))


def _discriminator(generator: ForeignNetwork, network: ForeignNetwork) -> tuple[ModelConfig, dict[str, Tensor]]:
    config = config_of(generator, network)
    derived = derived_tensors(config, discriminator=True)
    return config, converted(network, discriminator_table(config), derived=derived)


def derived_tensors(config: ModelConfig, *, discriminator: bool) -> dict[str, Array]:
    """The filters that NVIDIA's modules keep as buffers: they follow from the configuration."""
    if not discriminator and config.synthesis.alias_free is not None:
        return _alias_free_filters(config)
    taps = _outer(config.discriminator.resample_filter if discriminator else config.synthesis.resample_filter)
    unused = _outer((1.0, 3.0, 3.0, 1.0))  # in modules that do not resample, whatever the network's filter
    filters: dict[str, Array] = {}
    prefix, plan = ("", discriminator_plan(config)) if discriminator else ("synthesis.", synthesis_plan(config))
    for spec in plan:
        block, _, layer = spec.name.partition("_")
        if layer in ("conv0", "conv1") or discriminator:
            name = {"from_rgb": "fromrgb", "head": "conv"}.get(layer, layer)
            resamples = spec.kind == "conv" and spec.up * spec.down == 2
            filters[f"{prefix}{block}.{name}.resample_filter"] = taps if resamples else unused
        if spec.shortcut == ("close" if discriminator else "open"):
            filters[f"{prefix}{block}.skip.resample_filter"] = taps
        if not (discriminator and spec.resolution == 4):
            filters[f"{prefix}{block}.resample_filter"] = taps
    return filters


def _outer(taps: tuple[float, ...]) -> Array:
    normalised = np.asarray(taps, np.float32) / np.float32(np.sum(taps))
    return np.outer(normalised, normalised)


def _alias_free_filters(config: ModelConfig) -> dict[str, Array]:
    """StyleGAN3's filters, as the schedule of cutoffs designs them."""
    synthesis = weightless(lambda: Synthesis(config), what="the synthesis network")
    filters: dict[str, Array] = {}
    for spec in synthesis.plan:
        for ours, theirs in (("up_taps", "up_filter"), ("down_taps", "down_filter")):
            taps = getattr(synthesis.layer(spec.name), ours, None)
            if taps is not None and taps.numel() > 1:
                filters[f"synthesis.{alias_free_name(spec)}.{theirs}"] = taps.numpy()
    return filters


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
    """G's lines; NVIDIA's up-convolutions of StyleGAN2 are stored flipped."""
    table = mapping_table(config.mapping, conditional=config.label_dim > 0, average=True)
    for spec in synthesis_plan(config):
        table += _alias_free_lines(spec) if spec.alias_free else _stylegan2_lines(spec)
    return table


def _stylegan2_lines(spec: LayerSpec) -> list[Entry]:
    block, _, layer = spec.name.partition("_")
    ours, theirs = f"synthesis.{spec.name}.", f"synthesis.{block}."
    if layer == "input":
        return [Entry(ours + "const", theirs + "const")]
    inner = theirs + {"rgb": "torgb"}.get(layer, layer) + "."
    lines = [Entry(ours + "weight", inner + "weight", *([FLIPPED] if spec.up == 2 else []))]
    parts = ["bias", "affine.weight", "affine.bias"]
    if spec.has_noise:
        parts += ["noise_const", "noise_strength"]
    lines += [Entry(ours + part, inner + part) for part in parts]
    if spec.shortcut == "open":
        lines.append(Entry(ours + "skip_weight", theirs + "skip.weight"))
    return lines


def _alias_free_lines(spec: LayerSpec) -> list[Entry]:
    own = ["transform", "freqs", "phases"] if spec.kind == "input" else ["bias", "magnitude_ema"]
    parts = ["weight", "affine.weight", "affine.bias", *own]
    return [Entry(f"synthesis.{spec.name}.{part}", f"synthesis.{alias_free_name(spec)}.{part}") for part in parts]


def alias_free_name(spec: LayerSpec) -> str:
    """NVIDIA's name of a StyleGAN3 layer: ``L0_36_512``; the input counts as none."""
    return "input" if spec.kind == "input" else f"L{spec.index - 1}_{spec.size[1]}_{spec.out_channels}"


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
