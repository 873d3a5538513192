"""Models made to fit rosinality's format, which has one architecture, and written in it.

What changes no image is changed, and a note says so: a clamp that no activation reaches is left out, grey becomes three
equal channels, one class of a conditional model is folded into the biases, a discriminator that does not fit is left
out. What the format cannot hold is refused with the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgkit.checkpoint.adapters import rosinality
from sgkit.checkpoint.adapters.translate import translate_back
from sgkit.checkpoint.assemble import assemble, build_around
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import UsageError
from sgkit.model import Branch, Discriminator, Generator, Model, noise_source, steps, synthesis_plan
from sgkit.runtime.files import atomic_path

State = dict[str, Tensor]
MOST_SEEDS, FEWEST_SEEDS = 64, 4
ABSENT_LAYERS = {
    "alias_free": "StyleGAN3",
    "adain": "StyleGAN1",
    "pixel_norm": "ProGAN",
    "self_modulated": "self-modulated networks",
}
WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512}
"""Channels that rosinality's code gives to every network; above, they are 16384 / resolution * channel_multiplier."""


def write_rosinality(model: Model, path: Path, label: Tensor | None) -> dict[str, str]:
    """Write ``model`` as rosinality's ``.pt``; what was changed to fit: topic -> sentence.

    Args:
        model: any model.
        path: the file to write.
        label: [1, label_dim]: the class of a conditional model to keep.

    Raises:
        UsageError: the format has no place for the model; the reasons are named.
    """
    fitted, notes = _fit(model, label)
    roles = {"generator": "g_ema", "raw_generator": "g", "discriminator": "d"}
    saved: dict[str, Any] = {"kimg": float(fitted.info.kimg)}
    for ours, network in fitted.networks().items():
        is_discriminator = ours == "discriminator"
        table = rosinality.discriminator_rows if is_discriminator else rosinality.generator_rows
        arrays = translate_back(network.state_dict(), table(fitted.config))
        arrays |= rosinality.filters(fitted.config, discriminator=is_discriminator)
        saved[roles[ours]] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if not is_discriminator:
            mean = "latent_avg" if ours == "generator" else "g_latent_avg"
            saved[mean] = network.state_dict()["mapping.w_avg"].detach().cpu().clone()
    with atomic_path(path) as temporary:
        torch.save(saved, temporary)
    return notes


def _fit(model: Model, label: Tensor | None) -> tuple[Model, dict[str, str]]:
    """(a model of rosinality's one architecture that makes the same images, what was changed)."""
    own = model.config
    faults = list(_faults(own, label))
    if faults:
        raise _refusal("; ".join(faults) + ".")
    notes = _notes(model, label)
    mapping = replace(own.mapping, label_features=None, layer_features=None)
    synthesis = replace(own.synthesis, conv_clamp=None, use_noise=True)
    config = replace(own, label_dim=0, image_channels=3, mapping=mapping, synthesis=synthesis)
    parts = {
        name: _generator_state(dict(network.state_dict()), own, config, label)
        for name, network in model.networks().items()
        if name != "discriminator"
    }
    if model.discriminator is not None:
        misfits = list(_discriminator_faults(own))
        if misfits:
            notes["discriminator"] = f"it was left out, which changes no image: {'; '.join(misfits)}"
        else:
            discriminator = replace(
                own.discriminator, conv_clamp=None, mapping=MappingConfig(), label_projection_dim=None
            )
            config = replace(config, discriminator=discriminator)
            parts["discriminator"] = _discriminator_state(model.discriminator, own, label)
    notes["sizes"] = _constructor(config)
    return assemble(config, parts, model.info), notes


def _refusal(reason: str) -> UsageError:
    return UsageError(f"Cannot export this model as rosinality .pt: {reason} Use .safetensors.")


def _faults(config: ModelConfig, label: Tensor | None) -> Iterator[str]:
    """What the format cannot hold, each as a clause."""
    synthesis, mapping = config.synthesis, config.mapping
    if synthesis.layer in ABSENT_LAYERS:
        yield f"that format has no {ABSENT_LAYERS[synthesis.layer]}"
        return
    if synthesis.growing:
        yield "that format has no networks that grow"
    if synthesis.architecture != "skip":
        yield f"that format has skip generators only, and this one is {synthesis.architecture!r}"
    if config.base != (4, 4):
        yield "that format has square images of a power of two only"
    if config.image_channels not in (1, 3):
        yield f"that format has no images of {config.image_channels} channels"
    if config.z_dim != config.w_dim:
        yield f"that format has z and w of one length, and this model's are of {config.z_dim} and {config.w_dim}"
    if mapping.layer_features not in (None, config.w_dim):
        yield f"that format has mapping layers as wide as w only, and this model's are {mapping.layer_features} wide"
    if config.label_dim > 0 and label is None:
        yield f"that format has no labels, and this model has {config.label_dim}: choose one class with --class"
    if config.label_dim > 0 and (mapping.label_mode != "embed" or mapping.num_layers == 0):
        yield f"one class cannot be kept of a model that joins labels by {mapping.label_mode!r}"
    if tuple(synthesis.resample_filter) != SynthesisConfig.resample_filter:
        yield f"that format has the filter 1, 3, 3, 1 only, and this model's is {list(synthesis.resample_filter)}"
    known = {"architecture", "channel_base", "channel_max", "channels", "conv_clamp", "growing", "layer", "use_noise"}
    yield from _departures("synthesis", synthesis, SynthesisConfig(), known | {"resample_filter"})
    known = {"num_layers", "w_avg_beta", "layer_features", "label_features", "label_mode"}
    yield from _departures("mapping", mapping, MappingConfig(), known)


def _departures(where: str, given: Any, default: Any, known: set[str]) -> Iterator[str]:
    for name, value in vars(given).items():
        if name not in known and value != getattr(default, name):
            yield f"its {where}.{name} is {value!r}, and that format has {getattr(default, name)!r} only"


def _discriminator_faults(config: ModelConfig) -> Iterator[str]:
    known = {"channel_base", "channel_max", "channels", "conv_clamp", "mapping", "label_mode", "label_projection_dim"}
    yield from _departures("discriminator", config.discriminator, DiscriminatorConfig(), known | {"mbstd_group_size"})
    if config.label_dim > 0 and config.discriminator.label_mode != "project":
        yield f"it sees labels by {config.discriminator.label_mode!r}"


def _notes(model: Model, label: Tensor | None) -> dict[str, str]:
    """What is changed, by topic.

    Raises:
        UsageError: the clamp of the generator is reached, so leaving it out would change images.
    """
    config, notes, changes = model.config, {}, []
    if label is not None:
        chosen = int(label[0].argmax())
        called = f"class {chosen}" + (f" ({model.class_names[chosen]})" if model.class_names else "")
        notes["label"] = f"only {called} was written; w_avg stays the mean over all classes"
    if config.image_channels == 1:
        notes["grey"] = "the format has colour only; the images are written as three equal channels"
    if not config.synthesis.use_noise:
        notes["noise"] = "the model has no noise inputs; they are written with strength 0"
    clamp = config.synthesis.conv_clamp
    if clamp is not None:
        largest, seeds = _largest_activation(model, label)
        if largest >= clamp:
            raise _refusal(
                f"its layers are clamped at {clamp:g}, that format has no clamp, and the largest activation on {seeds} "
                f"seeds is {largest:.4g}, so images would change."
            )
        notes["clamp"] = (
            f"the model's clamp at {clamp:g} was left out; no image changes: on {seeds} seeds the largest activation "
            f"is {largest:.4g}"
        )
    if config.discriminator.conv_clamp is not None:
        changes.append(f"its clamp at {config.discriminator.conv_clamp:g} was left out")
    group = config.discriminator.mbstd_group_size
    if group != DiscriminatorConfig.mbstd_group_size:
        changes.append(f"its minibatch deviation is over groups of {group}, the format's over 4")
    if changes and model.discriminator is not None:
        notes["discriminator"] = "; ".join(changes)
    return notes


def _constructor(config: ModelConfig) -> str:
    """The call in rosinality's code that builds this size."""
    widths = {spec.resolution: spec.out_channels for spec in synthesis_plan(config) if spec.kind != "rgb"}
    multiplier = next((m for m in (2, 1) if widths == {r: WIDTHS.get(r, 16384 // r * m) for r in widths}), None)
    call = f"Generator(size={config.resolution}, style_dim={config.w_dim}, n_mlp={config.mapping.num_layers}"
    if multiplier is not None:
        return f"{call}, channel_multiplier={multiplier}) in rosinality's code"
    return f"{call}) in rosinality's code, with its table of channels changed to {widths}"


# ------------------------------------------------------------------------------------------------ tensors


def _generator_state(state: State, own: ModelConfig, target: ModelConfig, label: Tensor | None) -> State:
    if label is not None:
        state = _with_one_class(state, own, label)
    if own.image_channels == 1:
        for name in [name for name in state if name.endswith(("_rgb.weight", "_rgb.bias"))]:
            state[name] = state[name].repeat(3, *[1] * (state[name].ndim - 1))
    if not own.synthesis.use_noise:
        for spec in synthesis_plan(target):
            if spec.has_noise:
                state[f"synthesis.{spec.name}.noise_strength"] = torch.zeros([])
                state[f"synthesis.{spec.name}.noise_const"] = torch.zeros(spec.size)
    return state


def _with_one_class(state: State, config: ModelConfig, label: Tensor) -> State:
    """The mapping network for one class: what its label adds to the first layer is added to the bias .

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


def _discriminator_state(network: Discriminator, config: ModelConfig, label: Tensor | None) -> State:
    state = dict(network.state_dict())
    if label is not None:  # the last layer projected on the vector of one class
        with torch.inference_mode(False), torch.no_grad():
            vector = network.mapping(None, label.to(network.mapping.embed.weight))[:, 0]
        vector = vector / math.sqrt(vector.shape[1])
        state = {name: value for name, value in state.items() if not name.startswith("mapping.")}
        name = next(name.removesuffix("weight") for name in state if name.endswith(".out.weight"))
        state[name + "weight"] = vector @ state[name + "weight"]
        state[name + "bias"] = vector[0] @ state[name + "bias"][:, None]
    if config.image_channels == 1:
        name = next(name for name in state if name.endswith("from_rgb.weight"))
        state[name] = state[name].repeat(1, 3, 1, 1) / math.sqrt(3)
    return state


# ------------------------------------------------------------------------------------------------- clamps


def _largest_activation(model: Model, label: Tensor | None) -> tuple[float, int]:
    """(the largest activation without the clamp, on this many seeds), in fp32.

    Fewer seeds are used where images are large: as many pixels as 64 images of 256x256.
    """
    height, width = model.image_size
    seeds = max(FEWEST_SEEDS, min(MOST_SEEDS, MOST_SEEDS * 256**2 // (height * width)))
    config = replace(model.config, synthesis=replace(model.config.synthesis, conv_clamp=None))
    free = build_around(lambda: Generator(config), model.generator.state_dict(), what="the generator")
    free = free.to(model.device).eval()
    batch = max(1, min(8, (1 << 20) // (height * width)))
    with torch.inference_mode():
        ws = (_ws(model, range(first, min(first + batch, seeds)), label) for first in range(0, seeds, batch))
        return max(_largest(free, w) for w in ws), seeds


def _ws(model: Model, seeds: range, label: Tensor | None) -> Tensor:
    count = model.config.label_dim
    labels = None
    if count > 0:
        labels = label.expand(len(seeds), -1) if label is not None else model.one_hot([seed % count for seed in seeds])
    return model.map(model.sample_z(list(seeds)), labels)


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
