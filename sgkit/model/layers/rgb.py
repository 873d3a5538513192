"""How images join, on the way up and on the way down."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgkit.config import BASE_RESOLUTION, ModelConfig
from sgkit.model.layers.base import Layer, compute_dtype, conv_weight
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import ACTIVATIONS, bias_act, conv2d, downsample2d, equalized_gain, fir_filter, upsample2d


def join_rgb(spec: LayerSpec, rgb: Tensor, state: State, taps: Tensor) -> Tensor:
    """The image so far with a layer's own ``rgb`` [N, 3, H, W] joined as its specification says, in float32."""
    rgb = rgb.to(torch.promote_types(rgb.dtype, torch.float32))
    if spec.merge == "sum":
        rgb = rgb + upsample2d(state.image, taps.to(rgb.dtype))
    elif spec.merge == "fade":
        rgb = rgb.lerp(_repeat(state.image, 2), spec.fade)
    return _repeat(rgb, spec.enlarge)


class PlainRGB(Layer):
    """1x1 convolution to the image (ProGAN, StyleGAN1); ``tanh`` after it in self-modulated networks."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        self.tanh = config.synthesis.layer == "self_modulated"
        self.weight = conv_weight(spec)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("taps", fir_filter(config.synthesis.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``rgb`` [N, 3, H, W] from ``x`` [N, C, H, W]."""
        rgb = bias_act(conv2d(state.features, self.weight * equalized_gain(self.weight.shape)), self.bias)
        rgb = torch.tanh(rgb) if self.tanh else rgb
        return state.wrote(state.x, rgb=join_rgb(spec, rgb, state, self.taps))


class FromRGB(Layer):
    """1x1 convolution from the image to features; the image shrinks on the way down."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation = discriminator.activation if discriminator.from_rgb_activation else "linear"
        own_gain = ACTIVATIONS[self.activation].gain
        self.weight_gain = own_gain if discriminator.layer == "pooled" else 1.0
        self.averages = discriminator.growing
        # The last one of 'skip' feeds the head, which NVIDIA's networks leave unclamped.
        last = discriminator.architecture == "skip" and spec.resolution == BASE_RESOLUTION
        self.clamp = None if last else discriminator.conv_clamp
        self.weight = conv_weight(spec)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("taps", fir_filter(discriminator.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, C, H, W] from ``rgb`` [N, 3, down * H, down * W]."""
        image = self._shrink(state.image, spec.down)
        weight = self.weight * equalized_gain(self.weight.shape, gain=self.weight_gain)
        x = conv2d(image.to(compute_dtype(image)), weight)
        x = bias_act(
            x, self.bias, activation=self.activation, gain=1 / self.weight_gain, clamp=self.clamp, overwrite=True
        )
        if spec.merge == "sum":
            x = state.features + x
        elif spec.merge == "fade":
            x = state.features.lerp(x, spec.fade)
        return state.wrote(x, rgb=image)

    def _shrink(self, image: Tensor, factor: int) -> Tensor:
        if factor == 1:
            return image
        return F.avg_pool2d(image, factor) if self.averages else downsample2d(image, self.taps, factor=factor)


def _repeat(image: Tensor, factor: int) -> Tensor:
    return image if factor == 1 else F.interpolate(image, scale_factor=factor, mode="nearest")
