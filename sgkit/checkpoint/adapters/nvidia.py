"""NVIDIA's PyTorch checkpoints: stylegan2-ada-pytorch, and stylegan3 with its own networks or StyleGAN2's."""

from __future__ import annotations

import numpy as np

from sgkit.checkpoint.adapters.nvidia_options import config_of
from sgkit.checkpoint.adapters.translate import FLIPPED, SAME, Format, Row, rows
from sgkit.checkpoint.assemble import build_empty
from sgkit.checkpoint.foreign_file import Array, ForeignNetwork
from sgkit.config import MappingConfig, ModelConfig
from sgkit.model import LayerSpec, Synthesis, discriminator_plan, synthesis_plan

ROLES = {"G_ema": "generator", "G": "raw_generator", "D": "discriminator"}
THEIR_NAMES = {"rgb": "torgb", "from_rgb": "fromrgb"}
"""Layers that NVIDIA calls otherwise than sgkit's plan."""


def generator_rows(config: ModelConfig, _network: ForeignNetwork | None = None) -> list[Row]:
    """G's table; NVIDIA's up-convolutions of StyleGAN2 are stored flipped."""
    table = [*_mapping_rows(config.mapping, conditional=config.label_dim > 0), *rows("mapping.", "mapping.", "w_avg")]
    for spec in synthesis_plan(config):
        ours = f"synthesis.{spec.name}."
        block, _, layer = spec.name.partition("_")
        if spec.alias_free:
            own = ("transform", "freqs", "phases") if spec.kind == "input" else ("bias", "magnitude_ema")
            inner = f"synthesis.{alias_free_name(spec)}."
            table += rows(ours, inner, "weight", "affine.weight", "affine.bias", *own)
            continue
        if layer == "input":
            table += rows(ours, f"synthesis.{block}.", "const")
            continue
        noise = ("noise_const", "noise_strength") if spec.has_noise else ()
        weight = ("weight", "weight", FLIPPED if spec.up == 2 else SAME)
        inner = f"synthesis.{block}.{THEIR_NAMES.get(layer, layer)}."
        table += rows(ours, inner, weight, "bias", "affine.weight", "affine.bias", *noise)
        if spec.shortcut == "open":
            table += rows(ours, f"synthesis.{block}.", ("skip_weight", "skip.weight"))
    return table


def discriminator_rows(config: ModelConfig, _network: ForeignNetwork | None = None) -> list[Row]:
    """D's table."""
    table = _mapping_rows(config.discriminator.mapping, conditional=True) if config.label_dim > 0 else []
    for spec in discriminator_plan(config):
        block, _, layer = spec.name.partition("_")
        inner = "conv" if layer == "head" else THEIR_NAMES.get(layer, layer)
        table += rows(f"{spec.name}.", f"{block}.{inner}.", "weight", "bias")
        if layer == "head":
            table += rows(f"{spec.name}.", f"{block}.", "fc.weight", "fc.bias", "out.weight", "out.bias")
        if spec.shortcut == "close":
            table += rows(f"{spec.name}.", f"{block}.", ("skip_weight", "skip.weight"))
    return table


def _mapping_rows(config: MappingConfig, *, conditional: bool) -> list[Row]:
    layers = [*(["embed"] if conditional else []), *(f"fc{index}" for index in range(config.num_layers))]
    return rows("mapping.", "mapping.", *(f"{layer}.{part}" for layer in layers for part in ("weight", "bias")))


def alias_free_name(spec: LayerSpec) -> str:
    """NVIDIA's name of a StyleGAN3 layer: ``L0_36_512``; the input is not counted."""
    return "input" if spec.kind == "input" else f"L{spec.index - 1}_{spec.size[1]}_{spec.out_channels}"


# ------------------------------------------------------------------------------------------------ filters


def filters(config: ModelConfig, _network: ForeignNetwork | None, discriminator: bool) -> dict[str, Array]:
    """The filters that NVIDIA's modules keep as buffers: they follow from the configuration."""
    if not discriminator and config.synthesis.alias_free is not None:
        return _alias_free_filters(config)
    taps = _outer(config.discriminator.resample_filter if discriminator else config.synthesis.resample_filter)
    unused = _outer((1.0, 3.0, 3.0, 1.0))  # in modules that do not resample, whatever the network's filter
    found: dict[str, Array] = {}
    prefix, plan = ("", discriminator_plan(config)) if discriminator else ("synthesis.", synthesis_plan(config))
    for spec in plan:
        block, _, layer = spec.name.partition("_")
        if layer in ("conv0", "conv1") or discriminator:
            name = "conv" if layer == "head" else THEIR_NAMES.get(layer, layer)
            resamples = spec.kind == "conv" and spec.up * spec.down == 2
            found[f"{prefix}{block}.{name}.resample_filter"] = taps if resamples else unused
        if spec.shortcut == ("close" if discriminator else "open"):
            found[f"{prefix}{block}.skip.resample_filter"] = taps
        if not (discriminator and spec.resolution == 4):
            found[f"{prefix}{block}.resample_filter"] = taps
    return found


def _outer(taps: tuple[float, ...]) -> Array:
    normalised = np.asarray(taps, np.float32) / np.float32(np.sum(taps))
    return np.outer(normalised, normalised)


def _alias_free_filters(config: ModelConfig) -> dict[str, Array]:
    """StyleGAN3's filters, as the schedule of cutoffs designs them."""
    synthesis = build_empty(lambda: Synthesis(config), what="the synthesis network")
    found: dict[str, Array] = {}
    for spec in synthesis.plan:
        for ours, theirs in (("up_taps", "up_filter"), ("down_taps", "down_filter")):
            taps = getattr(synthesis.layer(spec.name), ours, None)
            if taps is not None and taps.numel() > 1:
                found[f"synthesis.{alias_free_name(spec)}.{theirs}"] = taps.numpy()
    return found


FORMAT = Format(
    roles=ROLES,
    config=lambda _, generator, discriminator: config_of(generator, discriminator),
    generator=generator_rows,
    discriminator=discriminator_rows,
    implied=filters,
    has_options=True,
    extras=("training_set_kwargs", "augment_pipe"),
)
