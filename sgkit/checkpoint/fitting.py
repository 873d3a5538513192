"""Models made to fit rosinality's form, which has one architecture: what changes no image is changed, and said.

A clamp that no activation reaches is left out, grey becomes three equal channels, one class of a conditional model is
folded into the biases; a discriminator that does not fit is left out. What the form cannot hold is refused in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sgkit.checkpoint.assemble import build_around
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import UsageError
from sgkit.model import Branch, Discriminator, Generator, Model, noise_source, steps, synthesis_plan

State = dict[str, Tensor]
MOST_SEEDS, FEWEST_SEEDS = 64, 4
LAYERS = {
    "alias_free": "StyleGAN3",
    "adain": "StyleGAN1",
    "pixel_norm": "ProGAN",
    "self_modulated": "self-modulated networks",
}
WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512}
"""Channels that rosinality's code gives to every network; above, they are 16384 / resolution * channel_multiplier."""


@dataclass(frozen=True, kw_only=True)
class ClampCheck:
    """How near the activations of samples come to a clamp."""

    clamp: float
    largest: float
    """The largest activation, without the clamp."""
    seeds: int

    @property
    def is_reached(self) -> bool:
        """Whether the clamp changes anything in the samples."""
        return self.largest >= self.clamp


def fit_rosinality(model: Model, label: Tensor | None = None) -> tuple[Model, dict[str, str]]:
    """(a model of rosinality's one architecture that makes the same images, what was changed: topic -> sentence).

    Args:
        model: any model.
        label: [1, label_dim]: the class of a conditional model to keep.

    Raises:
        UsageError: the form has no place for the model; the reason is in words.
    """
    faults = list(_faults(model, label))
    if faults:
        raise UsageError(f"Cannot export this model as rosinality .pt: {'; '.join(faults)}. Use .safetensors.")
    notes: dict[str, str] = {}
    names = [name for name in ("generator", "raw_generator") if name in model.networks()]
    states = {name: dict(model.networks()[name].state_dict()) for name in names}
    config = _target(model.config)
    for name, state in states.items():
        states[name] = _fitted(state, model.config, label)
    _note_changes(model, label, notes)
    generators = {
        name: build_around(lambda: Generator(config), state, what=f"the {name.replace('_', ' ')}")
        for name, state in states.items()
    }
    _check_generator_clamp(model, label, notes)
    discriminator = _fitted_discriminator(model, config, label, notes)
    notes["sizes"] = _constructor(config)
    return (
        Model(
            config=config,
            generator=generators["generator"],
            raw_generator=generators.get("raw_generator"),
            discriminator=discriminator,
            info=model.info,
        ),
        notes,
    )


def _faults(model: Model, label: Tensor | None) -> list[str]:
    """What the form cannot hold, each as a clause."""
    config, synthesis, mapping = model.config, model.config.synthesis, model.config.mapping
    if synthesis.layer in LAYERS:
        return [f"that format has no {LAYERS[synthesis.layer]}"]
    found: list[tuple[bool, str]] = [
        (synthesis.growing, "that format has no networks that grow"),
        (
            synthesis.architecture != "skip",
            f"that format has skip generators only, and this one is {synthesis.architecture!r}",
        ),
        (config.base != (4, 4), "that format has square images of a power of two only"),
        (config.image_channels not in (1, 3), f"that format has no images of {config.image_channels} channels"),
        (
            config.z_dim != config.w_dim,
            f"that format has z and w of one length, and this model's are of {config.z_dim} and {config.w_dim}",
        ),
        (
            mapping.layer_features not in (None, config.w_dim),
            f"that format has mapping layers as wide as w only, and this model's are {mapping.layer_features} wide",
        ),
        (
            config.label_dim > 0 and label is None,
            f"that format has no labels, and this model has {config.label_dim}: choose one class with --class",
        ),
        (
            config.label_dim > 0 and (mapping.label_mode != "embed" or mapping.num_layers == 0),
            f"one class cannot be kept of a model that joins labels by {mapping.label_mode!r}",
        ),
        (
            tuple(synthesis.resample_filter) != SynthesisConfig.resample_filter,
            f"that format has the filter 1, 3, 3, 1 only, and this model's is {list(synthesis.resample_filter)}",
        ),
    ]
    free = {"architecture", "channel_base", "channel_max", "channels", "conv_clamp", "growing", "layer", "use_noise"}
    free |= {"resample_filter"}
    clauses = [clause for is_wrong, clause in found if is_wrong]
    clauses += _departures("synthesis", synthesis, SynthesisConfig(), free)
    of_mapping = {"num_layers", "w_avg_beta", "layer_features", "label_features", "label_mode"}
    return clauses + _departures("mapping", mapping, MappingConfig(), of_mapping)


def _departures(where: str, given: Any, default: Any, free: set[str]) -> list[str]:
    return [
        f"its {where}.{name} is {value!r}, and that format has {getattr(default, name)!r} only"
        for name, value in vars(given).items()
        if name not in free and value != getattr(default, name)
    ]


def _target(config: ModelConfig) -> ModelConfig:
    """The configuration of the model that is written."""
    mapping = replace(config.mapping, label_features=None, layer_features=None)
    synthesis = replace(config.synthesis, conv_clamp=None, use_noise=True)
    return replace(config, label_dim=0, image_channels=3, mapping=mapping, synthesis=synthesis)


# ---------------------------------------------------------------------------------------------- generator


def _fitted(state: State, config: ModelConfig, label: Tensor | None) -> State:
    if label is not None:
        state = _folded(state, config, label)
    if config.image_channels == 1:
        for name in [name for name in state if name.endswith(("_rgb.weight", "_rgb.bias"))]:
            state[name] = state[name].repeat(3, *[1] * (state[name].ndim - 1))
    if not config.synthesis.use_noise:
        for spec in synthesis_plan(_target(config)):
            if spec.has_noise:
                state[f"synthesis.{spec.name}.noise_strength"] = torch.zeros([])
                state[f"synthesis.{spec.name}.noise_const"] = torch.zeros(spec.size)
    return state


def _folded(state: State, config: ModelConfig, label: Tensor) -> State:
    """The mapping network for one class: what its label adds to the first layer is added to the bias once for all.

    The first layer sees [z, y] with weights scaled by 1 / sqrt(its inputs). Alone, z has fewer inputs and a larger
    scale, so its weights become smaller by the square root of the ratio.
    """
    weight, z_dim = state["mapping.fc0.weight"], config.z_dim
    embed = label.to(weight) @ (state["mapping.embed.weight"] / math.sqrt(config.label_dim)).t()
    embed = embed + state["mapping.embed.bias"]
    y = embed * (embed.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt() if config.mapping.normalize else embed
    inputs = weight.shape[1]
    folded = {name: value for name, value in state.items() if not name.startswith("mapping.embed.")}
    folded["mapping.fc0.weight"] = weight[:, :z_dim] * math.sqrt(z_dim / inputs)
    folded["mapping.fc0.bias"] = state["mapping.fc0.bias"] + (weight[:, z_dim:] @ y[0]) / math.sqrt(inputs)
    return folded


def _note_changes(model: Model, label: Tensor | None, notes: dict[str, str]) -> None:
    if label is not None:
        names, chosen = model.class_names, int(label[0].argmax())
        called = f"class {chosen}" + (f" ({names[chosen]})" if names else "")
        notes["label"] = f"only {called} was written; w_avg stays the mean over all classes"
    if model.config.image_channels == 1:
        notes["grey"] = "the format has colour only; the images are written as three equal channels"
    if not model.config.synthesis.use_noise:
        notes["noise"] = "the model has no noise inputs; they are written with strength 0"


def _constructor(config: ModelConfig) -> str:
    """How rosinality's code is told of this size."""
    size, widths = config.resolution, _widths(config)
    multiplier = next((m for m in (2, 1) if widths == {r: WIDTHS.get(r, 16384 // r * m) for r in widths}), None)
    call = f"Generator(size={size}, style_dim={config.w_dim}, n_mlp={config.mapping.num_layers}"
    if multiplier is not None:
        return f"{call}, channel_multiplier={multiplier}) in rosinality's code"
    return f"{call}) in rosinality's code, with its table of channels changed to {widths}"


def _widths(config: ModelConfig) -> dict[int, int]:
    return {spec.resolution: spec.out_channels for spec in synthesis_plan(config) if spec.kind != "rgb"}


# ------------------------------------------------------------------------------------------------- clamps


def check_clamp(model: Model, clamp: float, label: Tensor | None = None) -> ClampCheck:
    """How near the generator of ``model`` comes to ``clamp`` on a few dozen seeds, in fp32 and without the clamp.

    Fewer seeds are used where images are large: as many pixels as 64 images of 256x256.
    """
    height, width = model.image_size
    seeds = max(FEWEST_SEEDS, min(MOST_SEEDS, MOST_SEEDS * 256**2 // (height * width)))
    synthesis = replace(model.config.synthesis, conv_clamp=None)
    config = replace(model.config, synthesis=synthesis)
    free = build_around(lambda: Generator(config), model.generator.state_dict(), what="the generator")
    free = free.to(model.device).eval()
    batch = max(1, min(8, (1 << 20) // (height * width)))
    with torch.inference_mode():
        largest = max(
            _largest(free, _ws(model, list(range(first, min(first + batch, seeds))), label))
            for first in range(0, seeds, batch)
        )
    return ClampCheck(clamp=clamp, largest=largest, seeds=seeds)


def _ws(model: Model, seeds: Sequence[int], label: Tensor | None) -> Tensor:
    count = model.config.label_dim
    labels = None
    if count > 0:
        labels = label.expand(len(seeds), -1) if label is not None else model.one_hot([seed % count for seed in seeds])
    return model.map(model.sample_z(seeds), labels)


def _largest(generator: Generator, ws: Tensor) -> float:
    """The largest magnitude that a layer gives. The image is a sum: what one layer adds is at most old plus new."""
    branch = Branch(generator.synthesis, generator.synthesis.styles(ws), noise_source("const"))
    largest = before = 0.0
    for spec, (state,) in steps([branch]):
        if spec.kind == "rgb":
            after = float(state.image.abs().max())
            largest, before = max(largest, after + before), after
        elif spec.kind == "conv":
            largest = max(largest, float(state.features.abs().max()))
    return largest


def _check_generator_clamp(model: Model, label: Tensor | None, notes: dict[str, str]) -> None:
    clamp = model.config.synthesis.conv_clamp
    if clamp is None:
        return
    found = check_clamp(model, clamp, label)
    if found.is_reached:
        raise UsageError(
            f"Cannot export this model as rosinality .pt: its layers are clamped at {clamp:g}, that format has no "
            f"clamp, and the largest activation on {found.seeds} seeds is {found.largest:.4g}, so images would change. "
            "Use .safetensors."
        )
    notes["clamp"] = (
        f"the model's clamp at {clamp:g} was left out; no image changes: on {found.seeds} seeds the largest activation "
        f"is {found.largest:.4g}"
    )


# ------------------------------------------------------------------------------------------ discriminator


def _fitted_discriminator(
    model: Model, config: ModelConfig, label: Tensor | None, notes: dict[str, str]
) -> Discriminator | None:
    """The discriminator, or none where the form has no place for it: images do not need it."""
    if model.discriminator is None:
        return None
    own, free = model.config.discriminator, {"channel_base", "channel_max", "channels", "conv_clamp"}
    free |= {"mapping", "label_mode", "label_projection_dim", "mbstd_group_size"}
    faults = _departures("discriminator", own, DiscriminatorConfig(), free)
    if model.config.label_dim > 0 and own.label_mode != "project":
        faults.append(f"it judges labels by {own.label_mode!r}")
    if faults:
        notes["discriminator"] = f"it was left out, which changes no image: {'; '.join(faults)}"
        return None
    target = replace(own, conv_clamp=None, mapping=MappingConfig(), label_projection_dim=None)
    state = dict(model.discriminator.state_dict())
    changes = []
    if label is not None:
        state = _judging_one_class(model.discriminator, state, label)
    if model.config.image_channels == 1:
        name = next(name for name in state if name.endswith("from_rgb.weight"))
        state[name] = state[name].repeat(1, 3, 1, 1) / math.sqrt(3)
    if own.conv_clamp is not None:
        changes.append(f"its clamp at {own.conv_clamp:g} was left out")
    if own.mbstd_group_size != DiscriminatorConfig.mbstd_group_size:
        changes.append(f"its minibatch deviation is over groups of {own.mbstd_group_size}, the format's over 4")
    if changes:
        notes["discriminator"] = "; ".join(changes)
    return build_around(lambda: Discriminator(replace(config, discriminator=target)), state, what="the discriminator")


def _judging_one_class(network: Discriminator, state: State, label: Tensor) -> State:
    """Its last layer projected on the vector of one class once for all."""
    with torch.inference_mode(False), torch.no_grad():
        vector = network.mapping(None, label.to(network.mapping.embed.weight))[:, 0]
    vector = vector / math.sqrt(vector.shape[1])
    folded = {name: value for name, value in state.items() if not name.startswith("mapping.")}
    name = next(name.removesuffix("weight") for name in folded if name.endswith(".out.weight"))
    folded[name + "weight"] = vector @ folded[name + "weight"]
    folded[name + "bias"] = vector[0] @ folded[name + "bias"][:, None]
    return folded
