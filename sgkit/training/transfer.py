"""Starting from the weights of another model: what fits is copied, the rest is initialized, everything is listed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig, TrainConfig
from sgkit.errors import ConfigError
from sgkit.model import Model
from sgkit.training.optimizers import is_frozen


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What became of the tensors of two models, each named as ``network.layer.tensor``."""

    copied: tuple[str, ...]
    widened: tuple[str, ...]
    """Copied into a tensor with more or fewer columns: the layer that takes z and a label."""
    initialized: tuple[str, ...]
    """Newly initialized: the source has no such tensor, or one of another shape."""
    dropped: tuple[str, ...]
    """Of the source, not used."""

    def summary(self) -> str:
        """The counts in a sentence, with the layers that were not simply copied."""
        parts = [f"{len(self.copied)} tensors copied"]
        groups = {"fitted": self.widened, "newly initialized": self.initialized, "dropped": self.dropped}
        for what, names in groups.items():
            if names:
                parts.append(f"{len(names)} {what} ({_layers(names)})")
        return "; ".join(parts) + "."


def _layers(names: tuple[str, ...]) -> str:
    """The layers of tensors by network, each once: those of the averaged and of the trained generator are the same."""
    layers: dict[str, dict[str, None]] = {}
    for name in names:
        network, _, rest = name.removeprefix("raw_").partition(".")
        layer = rest.removeprefix("synthesis.").rpartition(".")[0].removesuffix(".affine")
        layers.setdefault(network, {})[layer or rest] = None
    return "; ".join(f"{network}: {', '.join(found)}" for network, found in layers.items())


def fitted_config(
    source: ModelConfig, *, image_size: tuple[int, int], image_channels: int, label_dim: int
) -> ModelConfig:
    """The configuration ``source`` for other images: layers are added or dropped at the high resolutions.

    Raises:
        ConfigError: the networks cannot get another size, or none fits the images.
    """
    changes: dict[str, Any] = {"image_channels": image_channels, "label_dim": label_dim}
    if image_size != source.image_size:
        if source.synthesis.alias_free is not None:
            raise ConfigError(
                "StyleGAN3's layers are laid out for one size: the model's is "
                f"{source.image_size[1]}x{source.image_size[0]} (WxH), the images are {image_size[1]}x{image_size[0]}. "
                "Prepare images of the model's size."
            )
        changes |= {"image_size": image_size, "base_size": None}
        levels = replace(source, image_size=image_size, base_size=None, **_no_channels(source)).num_doublings + 1
        for name in ("synthesis", "discriminator"):
            part = getattr(source, name)
            changes[name] = replace(part, channels=_channels(part.channels, levels))
    if source.mapping.num_layers == 0 and source.mapping.label_mode == "direct":
        changes["w_dim"] = source.z_dim + label_dim
    return replace(source, **changes)


def transfer(source: Model, target: Model, *, config: TrainConfig | None = None) -> Transfer:
    """Copy weights of ``source`` into ``target`` wherever a tensor of the same name and shape is; what was done.

    A source that has only the averaged generator gives it twice. So do the tensors that the recipe ``config`` freezes:
    otherwise the moving average would drift from them to those of the generator that is not averaged. A layer that
    takes z and a label keeps the weights of z, rescaled to the new number of inputs, and gets zeros for the label: the
    images stay the same at first. So do those of larger networks with skip connections, enlarged: their new layers add
    nothing to the image yet.

    Raises:
        ConfigError: no layer of the generator fits.
    """
    done: dict[str, list[str]] = {"copied": [], "widened": [], "initialized": [], "dropped": []}
    for name, network, given in _pairs(source, target):
        old = {} if given is None else given.state_dict()
        if name == "raw_generator" and config is not None:
            old |= {key: value for key, value in source.generator.state_dict().items() if is_frozen(key, config)}
        for key, value in network.state_dict().items():
            full = f"{name}.{key}"
            if key in old and old[key].shape == value.shape:
                value.copy_(old[key])
                done["copied"].append(full)
            elif key in old and key == "mapping.fc0.weight" and len(old[key]) == len(value):
                _fit_columns(value, old[key], source.config.z_dim)
                done["widened"].append(full)
            else:
                if _adds_to_image(key, source, target):
                    value.zero_()
                done["initialized"].append(full)
        done["dropped"] += [f"{name}.{key}" for key in old if key not in network.state_dict()]
    if not any(name.startswith("generator.synthesis.") for name in done["copied"]):
        raise ConfigError("No layer of the model's generator fits these networks, so there is nothing to start from.")
    return Transfer(**{what: tuple(names) for what, names in done.items()})


def _pairs(source: Model, target: Model) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    given: dict[str, nn.Module | None] = {
        "generator": source.generator,
        "raw_generator": source.raw_generator or source.generator,
        "discriminator": source.discriminator,
    }
    for name, network in target.networks().items():
        yield name, network, given[name]


def _adds_to_image(key: str, source: Model, target: Model) -> bool:
    """Whether a new tensor is a weight that adds to the image of ``source``, which stays the same while it is 0."""
    is_larger = target.config.resolution > source.config.resolution
    is_rgb = key.startswith("synthesis.") and key.endswith("_rgb.weight")
    return is_larger and is_rgb and target.config.synthesis.architecture == "skip"


@torch.no_grad()
def _fit_columns(target: Tensor, source: Tensor, z_dim: int) -> None:
    """Columns for z scaled against the gain 1/sqrt(columns) of equalized learning rate; others 0."""
    gain = math.sqrt(target.shape[1] / source.shape[1])
    target.zero_()
    target[:, :z_dim] = source[:, :z_dim] * gain


def _no_channels(config: ModelConfig) -> dict[str, Any]:
    return {name: replace(getattr(config, name), channels=None) for name in ("synthesis", "discriminator")}


def _channels(channels: tuple[int, ...] | None, levels: int) -> tuple[int, ...] | None:
    """Channels of ``levels`` levels: cut, or halved from level to level."""
    if channels is None:
        return None
    longer = list(channels[:levels])
    while len(longer) < levels:
        longer.append(max(longer[-1] // 2, 1))
    return tuple(longer)
