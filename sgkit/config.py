"""Configuration as frozen, keyword-only dataclasses. Loads no torch, so reading a configuration is instant.

Every field has one default, here. Configurations check themselves when made, travel as plain dictionaries
(JSON, TOML, the header of a model file), and refuse unknown keys by naming the nearest known one.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union

from sgkit.errors import ConfigError, did_you_mean

__all__ = [
    "BASE_RESOLUTION",
    "Config",
    "DiscriminatorConfig",
    "MappingConfig",
    "ModelConfig",
    "SynthesisConfig",
    "TrainConfig",
    "base_size_of",
    "override",
]

BASE_RESOLUTION = 4
"""Nominal resolution of the first layers; layer resolutions are 4, 8, 16 ... whatever the shape of the canvas."""

Activation = Literal["linear", "relu", "lrelu"]
Architecture = Literal["orig", "skip", "resnet"]
"""How the layers of a network join (StyleGAN2, figure 7)."""

C = TypeVar("C", bound="Config")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configurations: conversion to and from plain values."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers, strings, booleans and ``None``; :meth:`from_dict` reads it back."""
        return typing.cast("dict[str, Any]", _plain(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Make a configuration from plain values.

        Raises:
            ConfigError: a key is unknown (the nearest known one is named) or a value has the wrong type.
        """
        return _build(cls, values, "")


def override(config: C, changes: Mapping[str, Any]) -> C:
    """A copy of ``config`` with dotted keys replaced, as given by ``--set key=value``.

    ``changes`` maps names such as ``"synthesis.channel_base"`` to values or to text that is read as the field's type.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    values = config.to_dict()
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = values
        for depth, parent in enumerate(parents):
            if not isinstance(node.get(parent), dict):
                known = [k for k, v in node.items() if isinstance(v, dict)]
                where = ".".join(parents[: depth + 1])
                raise ConfigError(f"Unknown configuration group {where!r}. {did_you_mean(parent, known)}")
            node = node[parent]
        if last not in node:
            raise ConfigError(f"Unknown configuration key {key!r}. {did_you_mean(last, node)}")
        node[last] = value
    return type(config).from_dict(values)


# ------------------------------------------------------------------------------------------------ model


@dataclass(frozen=True, kw_only=True)
class MappingConfig(Config):
    """The mapping network f: z -> w (StyleGAN, section 2)."""

    num_layers: int = 8
    """Fully connected layers. 0: w is the normalised z."""
    activation: Activation = "lrelu"
    layer_features: int | None = None
    """Width of the layers between; ``None``: as wide as w."""
    lr_multiplier: float = 0.01
    """Learning-rate multiplier of the layers."""
    w_avg_beta: float = 0.998
    """Decay of the running mean of w, used for truncation."""
    label_features: int | None = None
    """Width of the label's embedding; ``None``: as wide as w."""

    def __post_init__(self) -> None:
        _require(self.num_layers >= 0, "mapping.num_layers", self.num_layers, "0 or more")
        _require(self.lr_multiplier > 0, "mapping.lr_multiplier", self.lr_multiplier, "above 0")
        _require(0 <= self.w_avg_beta <= 1, "mapping.w_avg_beta", self.w_avg_beta, "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(Config):
    """The synthesis network g: w -> image."""

    architecture: Architecture = "skip"
    channel_base: int = 32768
    """Channels at resolution r are ``min(channel_base // r, channel_max)`` (config F 32768, config E 16384)."""
    channel_max: int = 512
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    """Low-pass FIR filter of up- and downsampling, before normalisation."""
    activation: Activation = "lrelu"
    use_noise: bool = True
    """Noise inputs after each convolution."""
    conv_clamp: float | None = None
    """Clamp layer outputs to this magnitude; 256 keeps fp16 finite."""

    def __post_init__(self) -> None:
        _check_channels("synthesis", self.channel_base, self.channel_max)
        _check_filter("synthesis", self.resample_filter)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(Config):
    """The discriminator D: image -> logit."""

    architecture: Architecture = "resnet"
    channel_base: int = 32768
    channel_max: int = 512
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    activation: Activation = "lrelu"
    conv_clamp: float | None = None
    mbstd_group_size: int | None = 4
    """Group size of the minibatch standard deviation layer; ``None``: the whole batch."""
    mbstd_num_channels: int = 1
    """Feature channels it adds; 0 switches it off."""
    mapping: MappingConfig = field(default_factory=MappingConfig)
    """The network that maps a label to the vector the features are projected on (conditional models only)."""
    label_projection_dim: int | None = None
    """Length of that vector; ``None``: the channels of the last block."""

    def __post_init__(self) -> None:
        _check_channels("discriminator", self.channel_base, self.channel_max)
        _check_filter("discriminator", self.resample_filter)
        group = self.mbstd_group_size
        _require(group is None or group >= 1, "discriminator.mbstd_group_size", group, "1 or more, or none")
        _require(self.mbstd_num_channels >= 0, "discriminator.mbstd_num_channels", self.mbstd_num_channels, "0 or more")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Everything that fixes shape and arithmetic of a generator and its discriminator: one row per architecture."""

    image_size: tuple[int, int] = (256, 256)
    """Height and width in pixels: ``base_size`` doubled some number of times."""
    base_size: tuple[int, int] | None = None
    """Height and width of the first layers; ``None``: found by :func:`base_size_of` (4x4 for powers of two)."""
    image_channels: int = 3
    """1 grey, 3 RGB, 4 RGBA."""
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0
    """Length of the label vector; 0: unconditional."""
    mapping: MappingConfig = field(default_factory=MappingConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        _require(self.image_channels in (1, 3, 4), "image_channels", self.image_channels, "1, 3 or 4")
        _require(
            self.z_dim + self.label_dim >= 1, "z_dim", self.z_dim, "1 or more, or 0 in a model driven by its label"
        )
        _require(self.w_dim >= 1, "w_dim", self.w_dim, "1 or more")
        _require(self.label_dim >= 0, "label_dim", self.label_dim, "0 or more")
        if self.base_size is None:
            object.__setattr__(self, "base_size", base_size_of(self.image_size))
        _ = self.num_doublings  # raises when the two sizes do not fit

    @property
    def base(self) -> tuple[int, int]:
        """``base_size``, known."""
        assert self.base_size is not None
        return self.base_size

    @property
    def num_doublings(self) -> int:
        """How many times the base doubles to reach the image.

        Raises:
            ConfigError: the image is no such multiple of the base.
        """
        (height, width), (base_height, base_width) = self.image_size, self.base
        doublings = max(height // max(base_height, 1), 1).bit_length() - 1
        if min(self.base) < 1 or (base_height << doublings, base_width << doublings) != (height, width):
            raise ConfigError(
                f"Image size {width}x{height} (WxH) is not base size {base_width}x{base_height} doubled a whole number "
                "of times. Leave base_size out to have it found, or choose sizes that double into each other."
            )
        return doublings

    @property
    def resolution(self) -> int:
        """Nominal resolution of the image: 4 doubled as often as the base is (the side, for a 4x4 base)."""
        return BASE_RESOLUTION << self.num_doublings


LARGEST_BASE = 8


def base_size_of(image_size: tuple[int, int]) -> tuple[int, int]:
    """The smallest base (height, width), no side under 4, that doubles into ``image_size``: (256, 448) -> (4, 7).

    Raises:
        ConfigError: the size cannot be halved to a base whose short side is at most 8; the nearest sizes are named.
    """
    height, width = image_size
    base_height, base_width = height, width
    while base_height % 2 == 0 and base_width % 2 == 0 and min(base_height, base_width) >= 2 * BASE_RESOLUTION:
        base_height, base_width = base_height // 2, base_width // 2
    if not BASE_RESOLUTION <= min(base_height, base_width) <= LARGEST_BASE:
        raise ConfigError(
            f"Image size {width}x{height} (WxH) halves only to {base_width}x{base_height}; a network starts from a "
            f"short side of {BASE_RESOLUTION} to {LARGEST_BASE}. A good size near: {_nearest_good_size(height, width)}."
        )
    return base_height, base_width


def _nearest_good_size(height: int, width: int) -> str:
    doublings = max((max(min(height, width), BASE_RESOLUTION) // BASE_RESOLUTION).bit_length() - 1, 0)
    unit = 1 << doublings
    good = [max(round(side / unit), BASE_RESOLUTION) * unit for side in (height, width)]
    return f"{good[1]}x{good[0]}"


# --------------------------------------------------------------------------------------------- training

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """A training recipe. Lengths and intervals of time are counted in thousands of images shown to D (kimg)."""

    total_kimg: float = 25000.0
    batch: int = 32
    """Images per step over all processes."""
    micro_batch: int | None = None
    """Images held in memory at once per process; the batch is accumulated. ``None``: the process's whole share."""
    g_lr: float = 0.002
    d_lr: float = 0.002
    adam_betas: tuple[float, float] = (0.0, 0.99)
    adam_eps: float = 1e-8
    r1_gamma: float = 10.0
    r1_interval: int = 16
    """Steps between R1 penalties (lazy regularization, StyleGAN2 section 3.1)."""
    pl_weight: float = 2.0
    """Path length regularization; 0 switches it off."""
    pl_interval: int = 4
    pl_decay: float = 0.01
    pl_batch_shrink: int = 2
    style_mixing_prob: float = 0.9
    ema_kimg: float = 10.0
    """Half-life of the generator's moving average."""
    ema_rampup: float | None = None
    """Limit the half-life to this fraction of the images shown so far; ``None``: no ramp."""
    mirror: bool = False
    """Flip half of the images left to right."""
    seed: int = 0
    precision: Precision = "auto"
    snapshot_kimg: float = 50.0
    """Images between snapshots and sample grids."""
    log_kimg: float = 1.0
    """Images between lines of the log."""
    num_workers: int = 1
    """Processes that decode images; 0: in the training process."""

    def __post_init__(self) -> None:
        for name in ("total_kimg", "g_lr", "d_lr", "adam_eps", "snapshot_kimg", "log_kimg"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        for name in ("batch", "r1_interval", "pl_interval", "pl_batch_shrink"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("r1_gamma", "pl_weight", "ema_kimg", "num_workers"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(0 <= self.style_mixing_prob <= 1, "style_mixing_prob", self.style_mixing_prob, "between 0 and 1")
        _require(
            self.micro_batch is None or self.micro_batch >= 1, "micro_batch", self.micro_batch, "1 or more, or none"
        )


# --------------------------------------------------------------------------------------------- checking


def _require(ok: bool, name: str, given: object, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{name} is {given!r}; it must be {allowed}.")


def _check_channels(where: str, channel_base: int, channel_max: int) -> None:
    _require(channel_base >= 1, f"{where}.channel_base", channel_base, "1 or more")
    _require(channel_max >= 1, f"{where}.channel_max", channel_max, "1 or more")


def _check_filter(where: str, taps: tuple[float, ...]) -> None:
    _require(len(taps) >= 1 and sum(taps) != 0, f"{where}.resample_filter", taps, "one or more taps, not summing to 0")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _build(cls: type[C], values: Mapping[str, Any], prefix: str) -> C:
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"Unknown configuration key {prefix + key!r}. {did_you_mean(key, known)}")
        arguments[key] = _convert(hints[key], value, prefix + key)
    return cls(**arguments)


def _convert(kind: Any, value: Any, name: str) -> Any:
    """``value`` as the type that a field declares; text is read, so options need no parser of their own."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in args and (value is None or str(value).lower() in ("none", "null", "")):
            return None
        return _convert(next(a for a in args if a is not type(None)), value, name)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{name} is {value!r}. {did_you_mean(str(value), [str(a) for a in args])}")
        return value
    if origin is tuple:
        items = value.strip("()[] ").split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ConfigError(f"{name} is {value!r}; it must be a list such as [1, 3].")
        kinds = [args[0]] * len(items) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(items):
            raise ConfigError(f"{name} is {value!r}; it must have {len(kinds)} values.")
        return tuple(_convert(k, item, name) for k, item in zip(kinds, items, strict=True))
    if isinstance(kind, type) and issubclass(kind, Config):
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} is {value!r}; it must be a table of keys and values.")
        return _build(kind, value, name + ".")
    return _convert_scalar(kind, value, name)


def _convert_scalar(kind: Any, value: Any, name: str) -> Any:
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(value, bool):
            return value
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise ConfigError(f"{name} is {value!r}; it must be true or false.")
    if kind in (int, float):
        try:
            number = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError):
            number = None
        if number is None or (kind is int and number != int(number)):
            raise ConfigError(f"{name} is {value!r}; it must be {'a whole number' if kind is int else 'a number'}.")
        return int(value) if kind is int and not isinstance(value, (str, float)) else kind(number)
    if kind is str:
        return str(value)
    return value
