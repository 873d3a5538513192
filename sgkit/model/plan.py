"""Plans: a network as an explicit sequence of layer specifications. Pure data; only this file does index arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sgkit.config import BASE_RESOLUTION, ModelConfig

__all__ = ["LayerSpec", "discriminator_plan", "num_ws", "plan_difference", "synthesis_plan"]

Kind = Literal["input", "conv", "rgb", "from_rgb", "head"]


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer of a plan: all that an edit may choose by, and all that its module is built from."""

    index: int
    """Position in the plan."""
    name: str
    """Unique in the plan and the same in every plan of the network: ``b8_conv0``."""
    kind: Kind
    """What the layer is for. G: ``input``, ``conv``, ``rgb``; D: ``from_rgb``, ``conv``, ``head``."""
    operator: str
    """The arithmetic that does it: a key of :data:`sgkit.model.layers.OPERATORS`."""
    resolution: int
    """Nominal resolution 4, 8, 16 ...: a name, not a size; the canvas is what arrives."""
    size: tuple[int, int]
    """Height and width of the output on the canonical canvas."""
    in_channels: int
    out_channels: int
    kernel: int = 3
    up: int = 1
    down: int = 1
    style_index: int | None = None
    """Which w of w+ drives the layer; ``None``: none does."""
    has_noise: bool = False
    closes_resolution: bool = False
    """Last of its resolution: here geometry may change without tearing the image."""
    merge: Literal["replace", "sum"] = "replace"
    """How an image joins: G's ``rgb`` onto the image so far, D's ``from_rgb`` onto the features so far."""
    shortcut: Literal["open", "close"] | None = None
    """``open``: also computes the residual shortcut; ``close``: adds it."""


def num_ws(config: ModelConfig) -> int:
    """Length of w+: how many w the synthesis network takes."""
    return 2 * config.num_doublings + 2


def synthesis_plan(config: ModelConfig) -> tuple[LayerSpec, ...]:
    """The generator's layers in the order in which they run (StyleGAN2, figures 2 and 7)."""
    synthesis, top = config.synthesis, config.num_doublings
    plan = _Plan(config, synthesis.channel_base, synthesis.channel_max)
    for level in range(top + 1):
        has_rgb = level == top or synthesis.architecture == "skip"
        residual = level > 0 and synthesis.architecture == "resnet"
        channels = plan.channels(level)
        if level == 0:
            plan.add("input", level, "input", "constant", in_channels=0, out_channels=channels)
        else:
            plan.add(
                "conv",
                level,
                "conv0",
                "modulated",
                in_channels=plan.channels(level - 1),
                out_channels=channels,
                up=2,
                style_index=2 * level - 1,
                has_noise=synthesis.use_noise,
                shortcut="open" if residual else None,
            )
        plan.add(
            "conv",
            level,
            "conv1",
            "modulated",
            in_channels=channels,
            out_channels=channels,
            style_index=2 * level,
            has_noise=synthesis.use_noise,
            shortcut="close" if residual else None,
            closes_resolution=not has_rgb,
        )
        if has_rgb:
            plan.add(
                "rgb",
                level,
                "rgb",
                "to_rgb",
                in_channels=channels,
                out_channels=config.image_channels,
                kernel=1,
                # The next block's first convolution uses the same w (StyleGAN2, appendix B).
                style_index=2 * level + 1,
                merge="sum" if level > 0 and synthesis.architecture == "skip" else "replace",
                closes_resolution=True,
            )
    return tuple(plan.specs)


def discriminator_plan(config: ModelConfig) -> tuple[LayerSpec, ...]:
    """The discriminator's layers in the order in which they run: the mirror of :func:`synthesis_plan`."""
    discriminator, top = config.discriminator, config.num_doublings
    plan = _Plan(config, discriminator.channel_base, discriminator.channel_max)
    for level in range(top, -1, -1):
        channels = plan.channels(level)
        if level == top or discriminator.architecture == "skip":
            plan.add(
                "from_rgb",
                level,
                "from_rgb",
                "from_rgb",
                in_channels=config.image_channels,
                out_channels=channels,
                kernel=1,
                down=1 if level == top else 2,
                merge="replace" if level == top else "sum",
            )
        if level > 0:
            residual = discriminator.architecture == "resnet"
            plan.add(
                "conv",
                level,
                "conv0",
                "plain",
                in_channels=channels,
                out_channels=channels,
                shortcut="open" if residual else None,
            )
            plan.add(
                "conv",
                level,
                "conv1",
                "plain",
                in_channels=channels,
                out_channels=plan.channels(level - 1),
                down=2,
                shortcut="close" if residual else None,
                closes_resolution=True,
            )
    outputs = 1
    if config.label_dim > 0:
        outputs = discriminator.label_projection_dim or plan.channels(0)
    plan.add("head", 0, "head", "head", in_channels=plan.channels(0), out_channels=outputs, closes_resolution=True)
    return tuple(plan.specs)


def plan_difference(one: tuple[LayerSpec, ...], other: tuple[LayerSpec, ...]) -> str | None:
    """What first differs between two plans, in words; ``None`` when they are equal."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            fields = [f"{name} {old!r} and {new!r}" for name, old, new in _field_differences(a, b)]
            return f"layer {a.index} ({a.name} and {b.name}): " + ", ".join(fields)
    if len(one) != len(other):
        longer, length = (one, len(other)) if len(one) > len(other) else (other, len(one))
        return f"layer {length} ({longer[length].name}) exists in one only"
    return None


def _field_differences(a: LayerSpec, b: LayerSpec) -> list[tuple[str, object, object]]:
    pairs = ((name, getattr(a, name), getattr(b, name)) for name in LayerSpec.__dataclass_fields__)
    return [(name, old, new) for name, old, new in pairs if old != new]


@dataclass
class _Plan:
    """A plan under construction: turns levels (doublings of the base) into names, sizes and channels."""

    config: ModelConfig
    channel_base: int
    channel_max: int
    specs: list[LayerSpec] = field(default_factory=list)

    def channels(self, level: int) -> int:
        return max(min(self.channel_base // (BASE_RESOLUTION << level), self.channel_max), 1)

    def add(self, kind: Kind, level: int, name: str, operator: str, **fields: Any) -> None:
        resolution = BASE_RESOLUTION << level
        height, width = (side << level for side in self.config.base)
        self.specs.append(
            LayerSpec(
                index=len(self.specs),
                name=f"b{resolution}_{name}",
                kind=kind,
                operator=operator,
                resolution=resolution,
                size=(height, width),
                **fields,
            )
        )
