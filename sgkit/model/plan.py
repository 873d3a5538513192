"""Plans: every network of the family as an explicit sequence of layers. Only this file does index arithmetic.

``lod`` counts the doublings that a growing network still leaves out: 0 is full resolution, 1.25 is half of it, faded by
a quarter towards the next coarser one (ProGAN, section 2 and figure 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sgkit.config import BASE_RESOLUTION, AliasFreeConfig, DiscriminatorConfig, ModelConfig, SynthesisConfig
from sgkit.errors import ConfigError, UsageError
from sgkit.model.spec import AliasFreeSpec, Kind, LayerSpec, Plan

PlanFunction = Callable[..., Plan]

_OPERATORS = {
    "modulated": {"constant": "constant", "conv": "modulated", "rgb": "to_rgb"},
    "adain": {"constant": "styled_constant", "dense": "styled_dense", "conv": "styled", "rgb": "plain_rgb"},
    "pixel_norm": {"constant": "styled_constant", "dense": "styled_dense", "conv": "styled", "rgb": "plain_rgb"},
    "self_modulated": {"dense": "self_modulated_dense", "conv": "self_modulated", "rgb": "plain_rgb"},
}


def num_ws(config: ModelConfig) -> int:
    """Length of w+: how many w the synthesis network takes."""
    return used_ws(synthesis_plan(config))


def used_ws(plan: Plan) -> int:
    """How many w of w+, from the first on, the layers of ``plan`` use: fewer than all while a network still grows."""
    return max(spec.style_index for spec in plan if spec.style_index is not None) + 1


def all_layers(plan: PlanFunction, config: ModelConfig) -> dict[str, LayerSpec]:
    """Every layer that the network's plans name, at any lod, by name: what its modules are built from."""
    lods = range(config.num_doublings + 1) if config.synthesis.growing else (0,)
    return {spec.name: spec for lod in lods for spec in plan(config, lod=lod)}


def grown_size(config: ModelConfig, *, lod: float = 0.0) -> tuple[int, int]:
    """Height and width of the images that a network grown to ``lod`` makes before it enlarges them.

    Raises:
        UsageError: as :func:`synthesis_plan`.
    """
    left_out, _ = _split_lod(config, lod)
    height, width = config.image_size
    return height >> left_out, width >> left_out


def synthesis_plan(config: ModelConfig, *, lod: float = 0.0, enlarged: bool = True) -> Plan:
    """The generator's layers in the order in which they run.

    A network that has not grown up repeats the pixels of its image up to full size, unless ``enlarged`` is false.

    Raises:
        UsageError: the network does not grow and ``lod`` is not 0, or ``lod`` is out of range.
    """
    if config.synthesis.layer == "alias_free":
        _split_lod(config, lod)
        return _alias_free_plan(config)
    synthesis = config.synthesis
    left_out, fade = _split_lod(config, lod)
    top = config.num_doublings - left_out
    plan = _Builder(config, synthesis)
    for level in range(top + 1):
        is_rgb_due = level == top or synthesis.architecture == "skip" or (level == top - 1 and fade > 0)
        _add_block(plan, level, closes=not is_rgb_due)
        if is_rgb_due:
            merge = "sum" if level > 0 and synthesis.architecture == "skip" else "replace"
            plan.add(
                "rgb",
                level,
                "rgb",
                _OPERATORS[synthesis.layer]["rgb"],
                in_channels=plan.channels(level),
                out_channels=config.image_channels,
                kernel=1,
                # The next block's first convolution uses the same w (StyleGAN2, appendix B).
                style_index=2 * level + 1 if synthesis.layer == "modulated" else None,
                merge="fade" if level == top and fade > 0 else merge,
                fade=fade if level == top else 0.0,
                enlarge=1 << left_out if level == top and enlarged else 1,
                closes_resolution=True,
            )
    return tuple(plan.specs)


def _add_block(plan: _Builder, level: int, *, closes: bool) -> None:
    """The layers of one resolution, but for its image."""
    config, synthesis = plan.config, plan.config.synthesis
    operators = _OPERATORS[synthesis.layer]
    channels, indices = plan.channels(level), _style_indices(config, level)
    residual = level > 0 and synthesis.architecture == "resnet"
    if level == 0:
        styled = operators[synthesis.input] != "constant"
        plan.add(
            "input",
            level,
            "input",
            operators[synthesis.input],
            in_channels=0,
            out_channels=channels,
            style_index=indices[0] if styled else None,
            has_noise=styled and synthesis.use_noise,
        )
    else:
        plan.add(
            "conv",
            level,
            "conv0",
            operators["conv"],
            in_channels=plan.channels(level - 1),
            out_channels=channels,
            up=2,
            style_index=indices[0],
            has_noise=synthesis.use_noise,
            shortcut="open" if residual else None,
        )
    plan.add(
        "conv",
        level,
        "conv1",
        operators["conv"],
        in_channels=channels,
        out_channels=channels,
        style_index=indices[1],
        has_noise=synthesis.use_noise,
        shortcut="close" if residual else None,
        closes_resolution=closes,
    )


def _style_indices(config: ModelConfig, level: int) -> tuple[int | None, int | None]:
    """Which w drives the two layers of a block (the first one of block 0 being the input)."""
    layer = config.synthesis.layer
    if layer == "pixel_norm":
        return (0 if level == 0 else None), None
    if layer == "self_modulated":
        return 0, 0
    if layer == "modulated":
        return (None if level == 0 else 2 * level - 1), 2 * level
    return (level, level) if config.synthesis.one_w_per_block else (2 * level, 2 * level + 1)


def discriminator_plan(config: ModelConfig, *, lod: float = 0.0, enlarged: bool = True) -> Plan:
    """The discriminator's layers in the order in which they run: the mirror of :func:`synthesis_plan`.

    Raises:
        ConfigError: the channels do not divide by those of the minibatch deviation.
        UsageError: the network does not grow and ``lod`` is not 0, or ``lod`` is out of range.
    """
    discriminator = config.discriminator
    left_out, fade = _split_lod(config, lod)
    top = config.num_doublings - left_out
    plan = _Builder(config, discriminator)
    residual = discriminator.architecture == "resnet"
    for level in range(top, -1, -1):
        channels = plan.channels(level)
        fading = level == top - 1 and fade > 0
        if level == top or discriminator.architecture == "skip" or fading:
            plan.add(
                "from_rgb",
                level,
                "from_rgb",
                "from_rgb",
                in_channels=config.image_channels,
                out_channels=channels,
                kernel=1,
                down=(1 << left_out if enlarged else 1) if level == top else 2,
                merge="fade" if fading else ("replace" if level == top else "sum"),
                fade=fade if fading else 0.0,
            )
        if level > 0:
            between = plan.channels(level - 1) if discriminator.widens_first else channels
            plan.add(
                "conv",
                level,
                "conv0",
                discriminator.layer,
                in_channels=channels,
                out_channels=between,
                shortcut="open" if residual else None,
            )
            plan.add(
                "conv",
                level,
                "conv1",
                discriminator.layer,
                in_channels=between,
                out_channels=plan.channels(level - 1),
                down=2,
                shortcut="close" if residual else None,
                closes_resolution=True,
            )
    last = plan.channels(0)
    if discriminator.mbstd_num_channels > 0 and last % discriminator.mbstd_num_channels:
        raise ConfigError(
            f"discriminator.mbstd_num_channels is {discriminator.mbstd_num_channels}; it must divide the {last} "
            "channels of the last block, or be 0 for no minibatch deviation."
        )
    outputs = _head_outputs(config, last)
    plan.add("head", 0, "head", "head", in_channels=last, out_channels=outputs, closes_resolution=True)
    return tuple(plan.specs)


def _head_outputs(config: ModelConfig, channels: int) -> int:
    if config.label_dim == 0:
        return 1
    by_mode = {
        "project": config.discriminator.label_projection_dim or channels,
        "classes": config.label_dim,
        "auxiliary": 1 + config.label_dim,
    }
    return by_mode[config.discriminator.label_mode]


def _split_lod(config: ModelConfig, lod: float) -> tuple[int, float]:
    """Whole doublings left out, and the fade towards one more."""
    if lod != 0 and not config.synthesis.growing:
        raise UsageError(f"lod is {lod:g}, but the network does not grow; leave it 0.")
    if not 0 <= lod <= config.num_doublings:
        raise UsageError(f"lod is {lod:g}; the network has levels 0 (full size) to {config.num_doublings}.")
    return math.floor(lod), lod - math.floor(lod)


def _alias_free_plan(config: ModelConfig) -> Plan:
    """StyleGAN3's layers: geometric schedules of cutoff and stopband (StyleGAN3, section 3.2 and appendix F.1)."""
    alias_free = config.synthesis.alias_free
    assert alias_free is not None
    rates = _alias_free_schedule(alias_free, config.resolution)
    plan = _Builder(config, config.synthesis)
    channels = [
        max(round(min(config.synthesis.channel_base / 2 / rate.cutoff, config.synthesis.channel_max)), 1)
        for rate in rates
    ]
    channels[-1] = config.image_channels
    last = len(rates) - 1
    for position in range(-1, last + 1):
        after = rates[max(position, 0)]
        before = rates[max(position - 1, 0)]
        margin = 0 if position >= last - 1 else alias_free.margin
        following = rates[min(max(position, 0) + 1, last)]
        critical = position == last or position >= alias_free.num_layers - alias_free.num_critical
        plan.add_alias_free(
            "input" if position < 0 else ("rgb" if position == last else "conv"),
            "input" if position < 0 else f"l{position}",
            "fourier" if position < 0 else "alias_free",
            rate=after.rate,
            margin=margin,
            in_channels=channels[max(position - 1, 0)],
            out_channels=channels[max(position, 0)],
            kernel=1 if position == last else alias_free.kernel,
            style_index=position + 1,
            closes_resolution=position == last or (position >= 0 and following.rate != after.rate),
            alias_free=AliasFreeSpec(
                in_rate=before.rate,
                out_rate=after.rate,
                in_cutoff=before.cutoff,
                out_cutoff=after.cutoff,
                in_half_width=before.half_width,
                out_half_width=after.half_width,
                critical=critical,
            ),
        )
    return tuple(plan.specs)


@dataclass(frozen=True)
class _Rate:
    rate: int
    cutoff: float
    half_width: float


def _alias_free_schedule(config: AliasFreeConfig, resolution: int) -> list[_Rate]:
    last_cutoff = resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    schedule = []
    for layer in range(config.num_layers + 1):
        exponent = min(layer / (config.num_layers - config.num_critical), 1.0)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** exponent
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** exponent
        rate = 2 ** math.ceil(math.log2(min(stopband * 2, resolution)))
        schedule.append(_Rate(rate, cutoff, max(stopband, rate / 2) - cutoff))
    return schedule


@dataclass
class _Builder:
    """A plan under construction: turns levels (doublings of the base) into names, sizes and channels."""

    config: ModelConfig
    part: SynthesisConfig | DiscriminatorConfig
    specs: list[LayerSpec] = field(default_factory=list)

    def channels(self, level: int) -> int:
        if self.part.channels is not None:
            return self.part.channels[level]
        return max(min(self.part.channel_base // (BASE_RESOLUTION << level), self.part.channel_max), 1)

    def add(self, kind: Kind, level: int, name: str, operator: str, **fields: Any) -> None:
        resolution = BASE_RESOLUTION << level
        height, width = (side << level for side in self.config.base)
        self._append(kind, f"b{resolution}_{name}", operator, resolution, (height, width), fields)

    def add_alias_free(self, kind: Kind, name: str, operator: str, *, rate: int, margin: int, **fields: Any) -> None:
        height, width = (side * rate // BASE_RESOLUTION + 2 * margin for side in self.config.base)
        self._append(kind, name, operator, rate, (height, width), {"margin": margin} | fields)

    def _append(
        self, kind: Kind, name: str, operator: str, resolution: int, size: tuple[int, int], fields: dict[str, Any]
    ) -> None:
        spec = LayerSpec(
            index=len(self.specs), name=name, kind=kind, operator=operator, resolution=resolution, size=size, **fields
        )
        self.specs.append(spec)
