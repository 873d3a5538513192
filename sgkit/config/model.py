"""Configuration of the networks: each architecture is one set of these values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config, Positive, Share
from sgkit.config.mapping import MOST_CHANNELS, Channels, MappingConfig, joined_features
from sgkit.config.sizes import BASE_RESOLUTION, base_size_of
from sgkit.config.words import Activation, Architecture
from sgkit.errors import ConfigError

_Filter = Annotated[tuple[float, ...], Field(min_length=1, max_length=64)]
_Side = Annotated[int, Field(ge=BASE_RESOLUTION, le=1 << 14)]
_BaseSide = Annotated[int, Field(ge=0, le=1 << 14)]
_Above1 = Annotated[float, Field(gt=1, le=1024)]
_Features = Annotated[int, Field(ge=0, le=MOST_CHANNELS)]
_ChannelBase = Annotated[int, Field(ge=1, le=1 << 24)]
_Clamp = Positive | None


class AliasFreeConfig(Config):
    """Settings of StyleGAN3's layers (StyleGAN3, section 3 and appendix F)."""

    num_layers: Annotated[int, Field(ge=1, le=256)] = 14
    """Layers between the input and the image output."""
    num_critical: Annotated[int, Field(ge=0, le=256)] = 2
    """Number of last layers with critical sampling."""
    first_cutoff: Annotated[float, Field(gt=0, le=1024)] = 2.0
    """Cutoff frequency of the first layer, in cycles per canvas of 4 pixels' resolution."""
    first_stopband: _Above1 = 2.0**2.1
    last_stopband_rel: _Above1 = 2.0**0.3
    margin: Annotated[int, Field(ge=0, le=1024)] = 10
    """Pixels of extra canvas on each side of the image."""
    kernel: int = 3
    """Side of the convolutions: 3 (config T) or 1 (config R)."""
    filter_size: Annotated[int, Field(ge=1, le=64)] = 6
    """Taps of the resampling filters per pixel of the lower rate."""
    lrelu_upsampling: Annotated[int, Field(ge=1, le=16)] = 2
    """Oversampling factor around the nonlinearities."""
    radial_filters: bool = False
    """Rotation-invariant downsampling filters (config R)."""
    output_scale: float = 0.25
    magnitude_ema_beta: Share = 0.5 ** (32 / 20e3)
    """Decay of the running mean of each layer's input magnitude."""

    def __post_init__(self) -> None:
        cutoff, stopband = self.first_cutoff, self.first_stopband
        self.require(stopband > cutoff, "first_stopband", f"above 1 and above first_cutoff ({cutoff:g})")
        self.require(self.num_layers > self.num_critical, "num_critical", "under num_layers")
        self.require(self.kernel in (1, 3), "kernel", "1 or 3")


_INPUTS = {
    "modulated": ("constant",),
    "adain": ("constant", "dense"),
    "pixel_norm": ("dense",),
    "self_modulated": ("dense",),
    "alias_free": ("fourier",),
}


class SynthesisConfig(Config):
    """The synthesis network g: w -> image."""

    layer: Literal["modulated", "adain", "pixel_norm", "self_modulated", "alias_free"] = "modulated"
    """How w controls a convolution: by its weights (StyleGAN2), by normalised features (StyleGAN1), not at all
    (ProGAN), by batch normalisation (self-modulation), by its weights between alias-free filters (StyleGAN3)."""
    input: Literal["constant", "dense", "fourier"] = "constant"
    """Where the first features come from."""
    growing: bool = False
    """Each resolution has an image output, faded in as ``lod`` falls to 0 (ProGAN, section 2)."""
    architecture: Architecture = "skip"
    channel_base: _ChannelBase = 32768
    """Channels at resolution r are ``min(channel_base // r, channel_max)`` (config F 32768, config E 16384)."""
    channel_max: Channels = 512
    channels: tuple[Channels, ...] | None = None
    """Channels at 4x4, 8x8 ..., instead of this rule."""
    resample_filter: _Filter = (1.0, 3.0, 3.0, 1.0)
    """Low-pass FIR filter of up- and downsampling, before normalisation. All layers except ``modulated`` repeat pixels
    and apply it as a blur after the convolution; ``(1,)``: no blur."""
    activation: Activation = "lrelu"
    use_noise: bool = True
    """Noise inputs after each convolution."""
    conv_clamp: _Clamp = None
    """Clamp layer outputs to this magnitude; 256 avoids overflow in fp16."""
    norm_eps: Positive = 1e-8
    """Added to the variance in instance and batch normalisation."""
    one_w_per_block: bool = False
    """Use one w for both layers of a resolution (rosinality's StyleGAN1)."""
    bias_before_blur: bool = False
    """Add the bias of upsampling layers before the blur (rosinality's StyleGAN1)."""
    style_hidden_features: _Features = 32
    """Width of the two-layer networks that compute a style (self-modulation); 0: scale and shift are learned and the
    same for every z (plain batch normalisation)."""
    alias_free: AliasFreeConfig | None = None
    """Required when ``layer`` is ``alias_free``; otherwise ``None``."""

    def __post_init__(self) -> None:
        alias_free, inputs = self.layer == "alias_free", _INPUTS[self.layer]
        given = f"{'given' if alias_free else 'left out'} with layer {self.layer!r}"
        self.require((self.alias_free is not None) == alias_free, "alias_free", given)
        self.require(not (alias_free and self.channels), "channels", "left out with 'alias_free'")
        self.require(self.input in inputs, "input", f"{' or '.join(inputs)} with layer {self.layer!r}")
        _check_layers(self)


class DiscriminatorConfig(Config):
    """The discriminator D: image -> logit."""

    layer: Literal["filtered", "pooled"] = "filtered"
    """How a layer downsamples: by a strided convolution after ``resample_filter`` (StyleGAN2), or by the mean of 2x2
    pixels, with the filter as a blur before the convolution and gains in the weights only (ProGAN, StyleGAN1)."""
    growing: bool = False
    """Each resolution has an image input, faded in as ``lod`` falls to 0 (ProGAN, section 2)."""
    architecture: Architecture = "resnet"
    channel_base: _ChannelBase = 32768
    channel_max: Channels = 512
    channels: tuple[Channels, ...] | None = None
    widens_first: bool = False
    """Change the number of channels in a block's first convolution, not its second (rosinality's StyleGAN1)."""
    resample_filter: _Filter = (1.0, 3.0, 3.0, 1.0)
    activation: Activation = "lrelu"
    conv_clamp: _Clamp = None
    mbstd_group_size: Channels | None = 4
    """Group size of the minibatch standard deviation layer; ``None``: the whole batch."""
    mbstd_num_channels: _Features = 1
    """Feature channels that it adds; 0 turns it off."""
    head_features: Channels | None = None
    """Width between the two dense layers at the end; ``None``: the channels of the last block."""
    activation_before_pool: bool = False
    """Apply the activation of ``pooled`` layers before downsampling (ProGAN without fused scaling)."""
    from_rgb_activation: bool = True
    label_mode: Literal["project", "classes", "auxiliary"] = "project"
    """``project``: the output times a mapped label (ADA). ``classes``: one output per class, weighted by the label
    (TensorFlow StyleGAN). ``auxiliary``: a score and class logits (ProGAN)."""
    mapping: MappingConfig = MappingConfig()
    """Maps a label to the vector that features are projected on (conditional models only)."""
    label_projection_dim: Channels | None = None
    """Length of this vector; ``None``: the channels of the last block."""

    def __post_init__(self) -> None:
        spans_both = "false with architecture 'resnet', whose shortcut spans both convolutions"
        self.require(not (self.widens_first and self.architecture == "resnet"), "widens_first", spans_both)
        _check_layers(self)


def _check_layers(part: SynthesisConfig | DiscriminatorConfig) -> None:
    part.require(part.architecture == "orig" or not part.growing, "architecture", "'orig' when growing")
    part.require(sum(part.resample_filter) != 0, "resample_filter", "taps that do not sum to 0")


class ModelConfig(Config):
    """Everything that defines the shape and arithmetic of a generator and its discriminator."""

    image_size: tuple[_Side, _Side] = (256, 256)
    """Height and width in pixels: ``base_size`` doubled a whole number of times."""
    base_size: tuple[_BaseSide, _BaseSide] | None = None
    """Height and width of the first layers; ``None``: chosen by :func:`base_size_of` (4x4 for powers of two)."""
    image_channels: int = 3
    """1 grey, 3 RGB, 4 RGBA."""
    z_dim: _Features = 512
    w_dim: Channels = 512
    label_dim: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    """Length of the label vector; 0: unconditional."""
    mapping: MappingConfig = MappingConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()

    def __post_init__(self) -> None:
        synthesis, discriminator, levels = self.synthesis, self.discriminator, self.num_doublings + 1
        self.require(self.image_channels in (1, 3, 4), "image_channels", "1, 3 or 4")
        self._check_mapping()
        if self.label_dim > 0 and discriminator.label_mode == "project":
            self._check_label_mapping()
        self.require(synthesis.growing == discriminator.growing, "discriminator.growing", "as synthesis.growing")
        if synthesis.alias_free is not None:
            highest = self.resolution / 2
            allowed = f"below {highest:g}, the cutoff of the last layer at this image size"
            self.require(synthesis.alias_free.first_cutoff < highest, "synthesis.alias_free.first_cutoff", allowed)
        for name, part in (("synthesis", synthesis), ("discriminator", discriminator)):
            fits = part.channels is None or len(part.channels) == levels
            self.require(fits, f"{name}.channels", f"{levels} numbers, one for each resolution")

    def _check_mapping(self) -> None:
        """The generator's mapping network has something to map, and without layers gives as many features as w has."""
        mapping, mode = self.mapping, self.mapping.label_mode
        self.require(self.z_dim + self.label_dim >= 1, "z_dim", "1 or more, or 0 in a model driven by its label")
        self.require(self.z_dim > 0 or mode != "shift_scale", "z_dim", "1 or more with label mode 'shift_scale'")
        joined = joined_features(mapping, z_dim=self.z_dim, label_dim=self.label_dim, w_dim=self.w_dim)
        self.require(joined > 0, "mapping.label_features", "1 or more with z_dim 0 and label mode 'matrix'")
        fits = mapping.num_layers > 0 or self.w_dim == joined
        if self.label_dim > 0 and mode in ("embed", "matrix"):
            allowed = f"1 or more, since z and the label make {joined} features and w_dim is {self.w_dim}"
            self.require(fits, "mapping.num_layers", allowed)
        self.require(fits, "w_dim", f"{joined} without mapping layers")

    def _check_label_mapping(self) -> None:
        """The discriminator's mapping network gets a label and no z."""
        mapping, name = self.discriminator.mapping, "discriminator.mapping"
        mode, width = mapping.label_mode, mapping.label_features
        self.require(mode != "shift_scale", f"{name}.label_mode", "embed, matrix or direct: there is no z to shift")
        no_z = "1 or more with label mode 'matrix': there is no z whose width it could take"
        self.require(mode != "matrix" or width is not None, f"{name}.label_features", no_z)
        fits = mapping.num_layers > 0 or (mode == "embed" and width is None)
        self.require(fits, f"{name}.num_layers", "1 or more, or 0 with label mode 'embed' and label_features none")

    @property
    def base(self) -> tuple[int, int]:
        """``base_size``, or the one chosen for the image size."""
        return base_size_of(self.image_size) if self.base_size is None else self.base_size

    @property
    def num_doublings(self) -> int:
        """How many times the base doubles to reach the image.

        Raises:
            ConfigError: the image size is not such a multiple.
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
