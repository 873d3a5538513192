"""Configuration of the networks: an architecture is a row of these values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sgkit.config.base import Config, require, require_each
from sgkit.config.mapping import MOST_CHANNELS, Activation, MappingConfig, check_label_mapping, check_mapping
from sgkit.errors import ConfigError

BASE_RESOLUTION = 4
"""Nominal resolution of the first layers; layer resolutions are 4, 8, 16 ... whatever the shape of the canvas."""

MOST_TAPS = 64
MOST_PIXELS = 1 << 14
"""Longest side of an image."""

Architecture = Literal["orig", "skip", "resnet"]
"""How the layers of a network join (StyleGAN2, figure 7)."""

ARCHITECTURES: tuple[Architecture, ...] = ("orig", "skip", "resnet")
"""Every :data:`Architecture`."""


@dataclass(frozen=True, kw_only=True)
class AliasFreeConfig(Config):
    """What StyleGAN3's layers add (StyleGAN3, section 3 and appendix F)."""

    num_layers: int = 14
    """Layers between the input and the one that writes the image."""
    num_critical: int = 2
    """Last layers that are sampled critically, without headroom."""
    first_cutoff: float = 2.0
    """Cutoff frequency of the first layer, in cycles per canvas of 4 pixels' resolution."""
    first_stopband: float = 2.0**2.1
    last_stopband_rel: float = 2.0**0.3
    margin: int = 10
    """Pixels of canvas beyond the image on each side."""
    kernel: int = 3
    """Side of the convolutions: 3 (config T) or 1 (config R)."""
    filter_size: int = 6
    """Taps of the resampling filters for each pixel of the lower rate."""
    lrelu_upsampling: int = 2
    """Factor by which a layer is oversampled around its nonlinearity."""
    radial_filters: bool = False
    """Rotation-invariant downsampling filters (config R)."""
    output_scale: float = 0.25
    magnitude_ema_beta: float = 0.5 ** (32 / 20e3)
    """Decay of the running mean of each layer's input magnitude."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "num_layers": 256,
        "first_cutoff": 1024,
        "first_stopband": 1024,
        "last_stopband_rel": 1024,
        "margin": 1024,
        "filter_size": 64,
        "lrelu_upsampling": 16,
        "magnitude_ema_beta": 1,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_each(self, ("filter_size", "lrelu_upsampling"), least=1)
        require_each(self, ("margin", "magnitude_ema_beta"), least=0)
        cutoff, stopband = self.first_cutoff, self.first_stopband
        require(cutoff > 0, "first_cutoff", cutoff, "above 0")
        require(stopband > max(cutoff, 1), "first_stopband", stopband, f"above 1 and above first_cutoff ({cutoff:g})")
        require(self.last_stopband_rel > 1, "last_stopband_rel", self.last_stopband_rel, "above 1")
        require(self.num_layers > self.num_critical >= 0, "num_critical", self.num_critical, "under num_layers")
        require(self.kernel in (1, 3), "kernel", self.kernel, "1 or 3")


_INPUTS = {
    "modulated": ("constant",),
    "adain": ("constant", "dense"),
    "pixel_norm": ("dense",),
    "self_modulated": ("dense",),
    "alias_free": ("fourier",),
}


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(Config):
    """The synthesis network g: w -> image."""

    layer: Literal["modulated", "adain", "pixel_norm", "self_modulated", "alias_free"] = "modulated"
    """How w acts on a convolution: by its weights (StyleGAN2), on normalised features (StyleGAN1), not at all (ProGAN),
    in batch normalisation (self-modulation), by its weights between alias-free filters (StyleGAN3)."""
    input: Literal["constant", "dense", "fourier"] = "constant"
    """Where the first features come from."""
    growing: bool = False
    """Every resolution writes its own image, faded in as ``lod`` falls to 0 (ProGAN, section 2)."""
    architecture: Architecture = "skip"
    channel_base: int = 32768
    """Channels at resolution r are ``min(channel_base // r, channel_max)`` (config F 32768, config E 16384)."""
    channel_max: int = 512
    channels: tuple[int, ...] | None = None
    """Channels at 4x4, 8x8 ... where that rule does not hold; ``None``: it does."""
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    """Low-pass FIR filter of up- and downsampling, before normalisation. All layers but ``modulated`` repeat pixels
    and use it as a blur after the convolution; ``(1,)``: no blur."""
    activation: Activation = "lrelu"
    use_noise: bool = True
    """Noise inputs after each convolution."""
    conv_clamp: float | None = None
    """Clamp layer outputs to this magnitude; 256 keeps fp16 finite."""
    norm_eps: float = 1e-8
    """Added to the variance in instance and batch normalisation."""
    one_w_per_block: bool = False
    """Both layers of a resolution share a w (rosinality's StyleGAN1)."""
    bias_before_blur: bool = False
    """Upsampling layers add their bias before the blur (rosinality's StyleGAN1)."""
    style_hidden_features: int = 32
    """Width of the two-layer networks that make a style (self-modulation)."""
    alias_free: AliasFreeConfig | None = None
    """Given exactly when ``layer`` is ``alias_free``."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "channel_base": 1 << 24,
        "channel_max": MOST_CHANNELS,
        "channels": MOST_CHANNELS,
        "style_hidden_features": MOST_CHANNELS,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_each(self, ("style_hidden_features",), least=1)
        require(self.norm_eps > 0, "norm_eps", self.norm_eps, "above 0")
        alias_free = self.layer == "alias_free"
        require(
            (self.alias_free is not None) == alias_free,
            "alias_free",
            self.alias_free,
            f"{'given' if alias_free else 'left out'} with layer {self.layer!r}",
        )
        require(not (alias_free and self.channels), "channels", self.channels, "left out with 'alias_free'")
        inputs = _INPUTS[self.layer]
        require(self.input in inputs, "input", self.input, f"{' or '.join(inputs)} with layer {self.layer!r}")
        require(
            not (self.growing and self.architecture != "orig"),
            "architecture",
            self.architecture,
            "'orig' when growing",
        )
        _check_channels(self.channel_base, self.channel_max, self.channels)
        _check_filter(self.resample_filter)
        _check_clamp(self.conv_clamp)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(Config):
    """The discriminator D: image -> logit."""

    layer: Literal["filtered", "pooled"] = "filtered"
    """How a convolution halves: behind ``resample_filter`` (StyleGAN2), or by the mean of 2x2 with the filter as a blur
    before it and gains in the weights only (ProGAN, StyleGAN1)."""
    growing: bool = False
    """Every resolution reads the image itself, faded in as ``lod`` falls to 0 (ProGAN, section 2)."""
    architecture: Architecture = "resnet"
    channel_base: int = 32768
    channel_max: int = 512
    channels: tuple[int, ...] | None = None
    widens_first: bool = False
    """A block's first convolution changes the number of channels, not its second (rosinality's StyleGAN1)."""
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    activation: Activation = "lrelu"
    conv_clamp: float | None = None
    mbstd_group_size: int | None = 4
    """Group size of the minibatch standard deviation layer; ``None``: the whole batch."""
    mbstd_num_channels: int = 1
    """Feature channels it adds; 0 switches it off."""
    head_features: int | None = None
    """Width between the two dense layers at the end; ``None``: the channels of the last block."""
    activation_before_pool: bool = False
    """Layers ``pooled`` activate at the higher resolution (ProGAN without fused scaling)."""
    from_rgb_activation: bool = True
    label_mode: Literal["project", "classes", "auxiliary"] = "project"
    """``project``: output times a mapped label (ADA). ``classes``: one output for each class, summed by the label
    (TensorFlow StyleGAN). ``auxiliary``: a score, and class logits after it (ProGAN)."""
    mapping: MappingConfig = field(default_factory=MappingConfig)
    """The network that maps a label to the vector the features are projected on (conditional models only)."""
    label_projection_dim: int | None = None
    """Length of that vector; ``None``: the channels of the last block."""

    AT_MOST: ClassVar[dict[str, float]] = {
        "channel_base": 1 << 24,
        "channel_max": MOST_CHANNELS,
        "channels": MOST_CHANNELS,
        "mbstd_group_size": MOST_CHANNELS,
        "mbstd_num_channels": MOST_CHANNELS,
        "head_features": MOST_CHANNELS,
        "label_projection_dim": MOST_CHANNELS,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_each(self, ("head_features", "label_projection_dim"), least=1)
        require(
            not (self.growing and self.architecture != "orig"),
            "architecture",
            self.architecture,
            "'orig' when growing",
        )
        require(
            not (self.widens_first and self.architecture == "resnet"),
            "widens_first",
            self.widens_first,
            "false with architecture 'resnet', whose shortcut spans both convolutions",
        )
        _check_channels(self.channel_base, self.channel_max, self.channels)
        _check_filter(self.resample_filter)
        _check_clamp(self.conv_clamp)
        group = self.mbstd_group_size
        require(group is None or group >= 1, "mbstd_group_size", group, "1 or more, or none")
        require(self.mbstd_num_channels >= 0, "mbstd_num_channels", self.mbstd_num_channels, "0 or more")


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

    AT_MOST: ClassVar[dict[str, float]] = {
        "image_size": MOST_PIXELS,
        "base_size": MOST_PIXELS,
        "z_dim": MOST_CHANNELS,
        "w_dim": MOST_CHANNELS,
        "label_dim": 1 << 20,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            min(self.image_size) >= BASE_RESOLUTION, "image_size", self.image_size, f"{BASE_RESOLUTION} or more each"
        )
        require(self.label_dim >= 0, "label_dim", self.label_dim, "0 or more")
        require(self.image_channels in (1, 3, 4), "image_channels", self.image_channels, "1, 3 or 4")
        require(self.z_dim >= 0, "z_dim", self.z_dim, "0 or more")
        require(self.z_dim + self.label_dim >= 1, "z_dim", self.z_dim, "1 or more, or 0 in a model driven by its label")
        require(self.w_dim >= 1, "w_dim", self.w_dim, "1 or more")
        check_mapping(self.mapping, z_dim=self.z_dim, label_dim=self.label_dim, w_dim=self.w_dim)
        if self.label_dim > 0 and self.discriminator.label_mode == "project":
            check_label_mapping(self.discriminator.mapping)
        require(
            self.synthesis.growing == self.discriminator.growing,
            "discriminator.growing",
            self.discriminator.growing,
            "as synthesis.growing",
        )
        alias_free, highest = self.synthesis.alias_free, self.resolution / 2
        require(
            alias_free is None or alias_free.first_cutoff < highest,
            "synthesis.alias_free.first_cutoff",
            alias_free and alias_free.first_cutoff,
            f"below {highest:g}, the cutoff of the last layer at this image size",
        )
        for name, part in (("synthesis", self.synthesis), ("discriminator", self.discriminator)):
            count = None if part.channels is None else len(part.channels)
            require(
                count in (None, self.num_doublings + 1),
                f"{name}.channels",
                part.channels,
                f"{self.num_doublings + 1} numbers, one for each resolution",
            )

    @property
    def base(self) -> tuple[int, int]:
        """``base_size``, or the one found."""
        return base_size_of(self.image_size) if self.base_size is None else self.base_size

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
            f"short side of {BASE_RESOLUTION} to {LARGEST_BASE}. Good sizes near: {_nearest_good_sizes(height, width)}."
        )
    return base_height, base_width


def _nearest_good_sizes(height: int, width: int) -> str:
    """The sizes below and above that a network fits, ``WxH``."""
    doublings = max((max(min(height, width), BASE_RESOLUTION) // BASE_RESOLUTION).bit_length() - 1, 0)
    unit = 1 << doublings
    below = [max(side // unit, BASE_RESOLUTION) * unit for side in (width, height)]
    above = [max(-(-side // unit), BASE_RESOLUTION) * unit for side in (width, height)]
    return " and ".join(dict.fromkeys(f"{size[0]}x{size[1]}" for size in (below, above)))


def _check_channels(channel_base: int, channel_max: int, channels: tuple[int, ...] | None) -> None:
    require(channel_base >= 1, "channel_base", channel_base, "1 or more")
    require(channel_max >= 1, "channel_max", channel_max, "1 or more")
    require(channels is None or min(channels, default=0) >= 1, "channels", channels, "1 or more each")


def _check_clamp(clamp: float | None) -> None:
    require(clamp is None or clamp > 0, "conv_clamp", clamp, "above 0, or none")


def _check_filter(taps: tuple[float, ...]) -> None:
    require(len(taps) <= MOST_TAPS, "resample_filter", f"a list of {len(taps)}", f"at most {MOST_TAPS} taps")
    require(len(taps) >= 1 and sum(taps) != 0, "resample_filter", taps, "one or more taps, not summing to 0")
