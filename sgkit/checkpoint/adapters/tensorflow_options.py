"""What the options and shapes of NVIDIA's TensorFlow networks say about their arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgkit.checkpoint.adapters.reading import (
    Options,
    channel_rule,
    option,
    refuse_other_sizes,
    refuse_unknown_options,
    resolution_of,
    shape_of,
    taps_of,
)
from sgkit.checkpoint.foreign_file import ForeignNetwork
from sgkit.config import DiscriminatorConfig, MappingConfig, ModelConfig, SynthesisConfig
from sgkit.errors import CheckpointError

COMMON = ("name", "num_channels", "resolution", "label_size", "func_name", "func", "dtype", "structure")
RUNTIME = ("is_training", "is_validation", "is_template_graph", "randomize_noise", "fused_modconv", "style_mixing_prob")
FMAPS = ("fmap_base", "fmap_decay", "fmap_min", "fmap_max")
TRUNCATION = ("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta")
MAPPING = (
    *("latent_size", "dlatent_size", "mapping_fmaps", "mapping_layers", "mapping_lrmul", "mapping_nonlinearity"),
    *("normalize_latents", "dlatent_broadcast", "mapping_func", "synthesis_func"),
)
GENERATORS = {
    "G_main": (*TRUNCATION, *MAPPING, "architecture", "nonlinearity", "resample_kernel"),
    "G_style": (*TRUNCATION, *MAPPING, "nonlinearity", "fused_scale", "blur_filter"),
    "G_paper": ("latent_size", "normalize_latents", "fused_scale"),
}
DISCRIMINATORS = {
    "D_stylegan2": ("architecture", "nonlinearity", "mbstd_group_size", "mbstd_num_features", "resample_kernel"),
    "D_stylegan": ("nonlinearity", "mbstd_group_size", "mbstd_num_features", "resample_kernel"),
    "D_basic": ("nonlinearity", "mbstd_group_size", "mbstd_num_features", "fused_scale", "blur_filter"),
    "D_paper": ("mbstd_group_size", "fused_scale"),
}
"""Options that the arithmetic below covers, by the function that builds a network."""
FIXED: dict[str, Any] = {
    **{"use_wscale": True, "use_noise": True, "use_styles": True, "use_instance_norm": True, "use_pixel_norm": False},
    **{"const_input_layer": True, "use_pixelnorm": True, "use_leakyrelu": True, "pixelnorm_epsilon": 1e-8},
    **{"tanh_output": False, "normalize_latents": True, "dtype": "float32"},
}
"""Options that are covered at one value only."""
FUSED_FROM = 128
"""Resolution from which ``fused_scale='auto'`` means True."""
PARTNERS = {"G_main": ("D_stylegan2", "D_stylegan"), "G_style": ("D_basic",), "G_paper": ("D_paper",)}


def is_fused(network: ForeignNetwork, *, resolution: int = 4) -> bool:
    """Whether a layer of ``resolution`` pixels resamples within its convolution (``fused_scale``)."""
    fused = network.options.get("fused_scale", "auto" if network.builder in ("G_style", "D_basic") else True)
    if fused not in (True, False, "auto"):
        raise CheckpointError(f"Network {network.name} has fused_scale={fused!r}; known are True, False and 'auto'.")
    return resolution >= FUSED_FROM if fused == "auto" else bool(fused)


def config_of(kind: str, generator: ForeignNetwork, discriminator: ForeignNetwork | None) -> ModelConfig:
    """The configuration of a pair of networks."""
    options = generator.options
    _check_options(generator, GENERATORS)
    resolution = resolution_of(options, "resolution", 1024)
    label_dim = option(options, "label_size", int, 0)
    growing = generator.builder != "G_main" or _function(options, "synthesis_func") == "G_synthesis_stylegan_revised"
    mapping = _mapping(generator, label_dim)
    z_dim = _latent_size(generator, label_dim)
    config = ModelConfig(
        image_size=(resolution, resolution),
        base_size=(4, 4),
        image_channels=option(options, "num_channels", int, 1),
        z_dim=z_dim,
        w_dim=option(options, "dlatent_size", int, 512) if mapping.num_layers else z_dim + label_dim,
        label_dim=label_dim,
        mapping=mapping,
        synthesis=_synthesis(generator, resolution, growing=growing),
        discriminator=_discriminator(discriminator, growing=growing),
    )
    if discriminator is not None:
        _check_pair(generator, discriminator, kind)
    return config


def _check_options(network: ForeignNetwork, known: Mapping[str, tuple[str, ...]]) -> None:
    if network.builder not in known:
        raise CheckpointError(f"Network {network.name} was built by {network.builder}; known are {', '.join(known)}.")
    covered = (*COMMON, *RUNTIME, *FMAPS, *known[network.builder], *FIXED)
    refuse_unknown_options(network.options, covered, what=f"Network {network.name}")
    for name, value in FIXED.items():
        if name in network.options and network.options[name] != value:
            raise CheckpointError(
                f"Network {network.name} has {name}={network.options[name]!r}; only {value!r} is supported."
            )


def _check_pair(generator: ForeignNetwork, discriminator: ForeignNetwork, kind: str) -> None:
    if discriminator.builder not in PARTNERS[generator.builder]:
        raise CheckpointError(
            f"G was built by {generator.builder}, D by {discriminator.builder}, which do not belong together ({kind})."
        )
    defaults = {"resolution": 1024, "num_channels": 1, "label_size": 0}
    refuse_other_sizes(generator.options, discriminator.options, defaults)


def _mapping(network: ForeignNetwork, label_dim: int) -> MappingConfig:
    options = network.options
    if network.builder == "G_paper":
        return MappingConfig(num_layers=0, label_mode="direct")
    num_layers = option(options, "mapping_layers", int, 8)
    matrix = network.tensors.get("mapping/LabelConcat/weight")
    return MappingConfig(
        num_layers=num_layers,
        activation=option(options, "mapping_nonlinearity", str, "lrelu"),
        layer_features=option(options, "mapping_fmaps", int, 512) if num_layers > 1 else None,
        lr_multiplier=option(options, "mapping_lrmul", float, 0.01),
        w_avg_beta=option(options, "dlatent_avg_beta", float, 0.995),
        gain_in_weight=network.builder == "G_style",
        label_mode="matrix" if label_dim else "embed",
        label_features=matrix.shape[1] if matrix is not None and matrix.ndim == 2 else None,
    )


def _latent_size(network: ForeignNetwork, label_dim: int) -> int:
    if network.builder != "G_paper":
        return int(option(network.options, "latent_size", int, 512))
    return shape_of(network, "4x4/Dense/weight", 2)[0] - label_dim  # its default depends on the channels


def _synthesis(network: ForeignNetwork, resolution: int, *, growing: bool) -> SynthesisConfig:
    options, builder = network.options, network.builder
    prefix = "" if builder == "G_paper" else "synthesis/"
    names = [f"{prefix}4x4/Conv/weight"]
    names += [f"{prefix}{4 << level}x{4 << level}/Conv1/weight" for level in range(1, resolution.bit_length() - 2)]
    common: dict[str, Any] = {"growing": growing, **channel_rule(_outputs(network, names))}
    if builder == "G_paper":
        return SynthesisConfig(
            layer="pixel_norm", input="dense", architecture="orig", resample_filter=(1.0,), use_noise=False, **common
        )
    if builder == "G_style":
        return SynthesisConfig(
            layer="adain",
            architecture="orig",
            resample_filter=_blur(options),
            activation=option(options, "nonlinearity", str, "lrelu"),
            **common,
        )
    return SynthesisConfig(
        architecture="orig" if growing else option(options, "architecture", str, "skip"),
        resample_filter=taps_of(options, "resample_kernel", (1.0, 3.0, 3.0, 1.0)),
        activation=option(options, "nonlinearity", str, "lrelu"),
        **common,
    )


def _discriminator(network: ForeignNetwork | None, *, growing: bool) -> DiscriminatorConfig:
    if network is None:
        return DiscriminatorConfig(growing=growing, architecture="orig" if growing else "resnet")
    options, builder = network.options, network.builder
    _check_options(network, DISCRIMINATORS)
    levels = resolution_of(options, "resolution", 1024).bit_length() - 2
    names = ["4x4/Conv/weight", *(f"{4 << level}x{4 << level}/Conv0/weight" for level in range(1, levels))]
    channels = _outputs(network, names)
    head = shape_of(network, "4x4/Dense0/weight", 2)[1]
    pooled = builder in ("D_basic", "D_paper")
    if builder == "D_paper":
        taps: tuple[float, ...] = (1.0,)
    elif builder == "D_basic":
        taps = _blur(options)
    else:
        taps = taps_of(options, "resample_kernel", (1.0, 3.0, 3.0, 1.0))
    return DiscriminatorConfig(
        layer="pooled" if pooled else "filtered",
        growing=growing,
        architecture="orig" if growing else option(options, "architecture", str, "resnet"),
        resample_filter=taps,
        activation=option(options, "nonlinearity", str, "lrelu"),
        mbstd_group_size=option(options, "mbstd_group_size", int, 4),
        mbstd_num_channels=option(options, "mbstd_num_features", int, 1),
        head_features=None if head == channels[0] else head,
        activation_before_pool=builder == "D_paper" and not is_fused(network),
        label_mode="auxiliary" if builder == "D_paper" else "classes",
        **channel_rule(channels),
    )


def _outputs(network: ForeignNetwork, names: list[str]) -> list[int]:
    """Output channels of kernels [h, w, in, out]."""
    return [shape_of(network, name, 4)[3] for name in names]


def _blur(options: Options) -> tuple[float, ...]:
    """StyleGAN1's blur; ``None`` is none at all."""
    is_off = options.get("blur_filter", ()) is None
    return (1.0,) if is_off else taps_of(options, "blur_filter", (1.0, 2.0, 1.0))


def _function(options: Options, name: str) -> str:
    value = str(options.get(name, "")).rpartition(".")[2]
    if value not in ("", "G_synthesis_stylegan2", "G_synthesis_stylegan_revised", "G_synthesis"):
        raise CheckpointError(f"G has {name} {value!r}, which is not supported.")
    return value
