"""What the options and attributes of NVIDIA's PyTorch networks say about their arithmetic.

Values are taken from the attributes that modules carry rather than from defaults: defaults differ between the projects.
"""

from __future__ import annotations

from typing import Any

from sgkit.checkpoint.adapters.reading import (
    Options,
    option,
    refuse_other_sizes,
    refuse_unknown_options,
    resolution_of,
    taps_of,
)
from sgkit.checkpoint.foreign_file import ForeignNetwork
from sgkit.config import AliasFreeConfig, DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError

TAPS = (1.0, 3.0, 3.0, 1.0)
BOTH = ("c_dim", "img_resolution", "img_channels", "mapping_kwargs", "channel_base", "channel_max", "num_fp16_res")
G_OPTIONS = (*BOTH, "z_dim", "w_dim", "synthesis_kwargs")
D_OPTIONS = (*BOTH, "architecture", "conv_clamp", "cmap_dim", "block_kwargs", "epilogue_kwargs")
MAPPING_OPTIONS = (*("num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta"),)
STYLEGAN2_OPTIONS = (
    *("channel_base", "channel_max", "num_fp16_res", "architecture", "resample_filter", "conv_clamp", "use_noise"),
    *("activation", "fp16_channels_last", "fused_modconv_default"),
)
STYLEGAN3_OPTIONS = (
    *("num_layers", "num_critical", "first_cutoff", "first_stopband", "last_stopband_rel", "margin_size"),
    *("output_scale", "conv_kernel", "filter_size", "lrelu_upsampling", "use_radial_filters", "conv_clamp"),
    *("magnitude_ema_beta",),
)
BLOCK_OPTIONS = ("activation", "resample_filter", "fp16_channels_last", "freeze_layers")
EPILOGUE_OPTIONS = ("mbstd_group_size", "mbstd_num_channels", "activation")


def config_of(generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    """The configuration of a pair of networks."""
    options = generator.options
    resolution = resolution_of(options, "img_resolution", 0)
    alias_free = "synthesis.input.freqs" in generator.tensors
    _check_generator_options(generator, alias_free=alias_free)
    config = ModelConfig(
        image_size=(resolution, resolution),
        base_size=(4, 4),
        image_channels=option(options, "img_channels", int, 3),
        z_dim=option(options, "z_dim", int, 512),
        w_dim=option(options, "w_dim", int, 512),
        label_dim=option(options, "c_dim", int, 0),
        mapping=_mapping(generator),
        synthesis=_stylegan3(generator) if alias_free else _stylegan2(generator, resolution),
        discriminator=_discriminator(discriminator) if discriminator else DiscriminatorConfig(),
    )
    if discriminator:
        refuse_other_sizes(options, discriminator.options, {"img_resolution": 0, "c_dim": 0, "img_channels": 0})
    return config


def _check_generator_options(network: ForeignNetwork, *, alias_free: bool) -> None:
    inner = STYLEGAN3_OPTIONS if alias_free else STYLEGAN2_OPTIONS
    what = network.name
    refuse_unknown_options(network.options, (*G_OPTIONS, *inner), what=what)
    refuse_unknown_options(_group(network, "synthesis_kwargs"), inner, what=f"{what}.synthesis")
    refuse_unknown_options(_group(network, "mapping_kwargs"), MAPPING_OPTIONS, what=f"{what}.mapping")


# ---------------------------------------------------------------------------------------------- generator


def _mapping(network: ForeignNetwork) -> MappingConfig:
    num_layers = _attribute(network, "mapping", "num_layers", int)
    embed = network.tensors.get("mapping.embed.weight")
    beta = network.attributes["mapping"].get("w_avg_beta")
    common: dict[str, Any] = {
        "num_layers": num_layers,
        "label_features": len(embed) if embed is not None else None,
        "w_avg_beta": MappingConfig.w_avg_beta if beta is None else float(beta),
    }
    if num_layers == 0:
        return MappingConfig(**common)
    first = network.tensors.get("mapping.fc0.weight")
    return MappingConfig(
        activation=_attribute(network, "mapping.fc0", "activation", str),
        layer_features=len(first) if num_layers > 1 and first is not None and first.ndim == 2 else None,
        lr_multiplier=float(_attribute(network, "mapping.fc0", "bias_gain", float, int)),
        **common,
    )


def _stylegan2(network: ForeignNetwork, resolution: int) -> SynthesisConfig:
    options = {**network.options, **_group(network, "synthesis_kwargs")}
    block = f"synthesis.b{resolution}"
    return SynthesisConfig(
        architecture=_attribute(network, block, "architecture", str),
        channel_base=option(options, "channel_base", int, 32768),
        channel_max=option(options, "channel_max", int, 512),
        resample_filter=taps_of(options, "resample_filter", TAPS),
        activation=_attribute(network, f"{block}.conv1", "activation", str),
        use_noise=_attribute(network, f"{block}.conv1", "use_noise", bool),
        conv_clamp=_clamp(network),
    )


def _stylegan3(network: ForeignNetwork) -> SynthesisConfig:
    options, ours = network.options, AliasFreeConfig()
    defaults: dict[str, tuple[str, Any]] = {
        "first_cutoff": ("first_cutoff", ours.first_cutoff),
        "first_stopband": ("first_stopband", ours.first_stopband),
        "last_stopband_rel": ("last_stopband_rel", ours.last_stopband_rel),
        "kernel": ("conv_kernel", 3),
        "filter_size": ("filter_size", 6),
        "lrelu_upsampling": ("lrelu_upsampling", 2),
        "radial_filters": ("use_radial_filters", False),
        "magnitude_ema_beta": ("magnitude_ema_beta", 0.999),
    }
    return SynthesisConfig(
        layer="alias_free",
        input="fourier",
        channel_base=option(options, "channel_base", int, 32768),
        channel_max=option(options, "channel_max", int, 512),
        use_noise=False,
        conv_clamp=_clamp(network),
        alias_free=AliasFreeConfig(
            num_layers=_attribute(network, "synthesis", "num_layers", int),
            num_critical=_attribute(network, "synthesis", "num_critical", int),
            margin=_attribute(network, "synthesis", "margin_size", int),
            output_scale=float(_attribute(network, "synthesis", "output_scale", float, int)),
            **{name: option(options, theirs, type(value), value) for name, (theirs, value) in defaults.items()},
        ),
    )


# ------------------------------------------------------------------------------------------ discriminator


def _discriminator(network: ForeignNetwork) -> DiscriminatorConfig:
    options = network.options
    refuse_unknown_options(options, D_OPTIONS, what="D")
    groups = {"block_kwargs": BLOCK_OPTIONS, "epilogue_kwargs": EPILOGUE_OPTIONS, "mapping_kwargs": MAPPING_OPTIONS}
    for name, known in groups.items():
        refuse_unknown_options(_group(network, name), known, what=f"D's {name}")
    block = f"b{resolution_of(options, 'img_resolution', 0)}"
    conditional = option(options, "c_dim", int, 0) > 0
    deviation = network.attributes.get("b4.mbstd")
    group = deviation.get("group_size") if deviation else None
    activation = _attribute(network, f"{block}.conv1", "activation", str)
    if network.attributes.get("b4.conv", {}).get("activation") != activation:
        raise CheckpointError("D's last block has another activation than the others, which is not supported.")
    return DiscriminatorConfig(
        architecture=_attribute(network, block, "architecture", str),
        channel_base=option(options, "channel_base", int, 32768),
        channel_max=option(options, "channel_max", int, 512),
        resample_filter=taps_of(_group(network, "block_kwargs"), "resample_filter", TAPS),
        activation=activation,
        conv_clamp=_clamp(network),
        mbstd_group_size=int(group) if group is not None else None,
        mbstd_num_channels=_attribute(network, "b4.mbstd", "num_channels", int) if deviation else 0,
        mapping=_mapping(network) if conditional else MappingConfig(),
        label_projection_dim=_attribute(network, "b4", "cmap_dim", int) if conditional else None,
    )


# --------------------------------------------------------------------------------------------- attributes


def _attribute(network: ForeignNetwork, module: str, name: str, *kinds: type) -> Any:
    """A plain attribute of a module: the value in force, independent of the defaults when it was built."""
    value = network.attributes.get(module, {}).get(name)
    if type(value) not in kinds:
        raise CheckpointError(f"Module {module} of {network.name} has {name} {value!r}; its arithmetic is unknown.")
    return value


def _clamp(network: ForeignNetwork) -> float | None:
    """The clamp that every layer has; the one in front of D's last block has none in NVIDIA's networks."""
    values = {
        attributes["conv_clamp"]
        for module, attributes in network.attributes.items()
        if "conv_clamp" in attributes and module != "b4.fromrgb" and not module.endswith("skip")
    }
    if len(values) != 1 or not all(value is None or type(value) in (int, float) for value in values):
        raise CheckpointError(f"The layers of {network.name} have clamps {sorted(map(str, values))}; one is expected.")
    value = values.pop()
    return None if value is None else float(value)


def _group(network: ForeignNetwork, name: str) -> Options:
    group = network.options.get(name, {})
    if not isinstance(group, dict):
        raise CheckpointError(f"Option {name} of {network.name} is {group!r}; a table is expected.")
    return group
