"""The layers of the discriminators: convolutions and the head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.layers.at_rest import ScaledWeight
from sgkit.model.layers.base import RESIDUAL_GAIN, FullyConnected, Layer, conv_weight
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import ACTIVATIONS, bias_act, conv2d, equalized_gain, filter2d, fir_filter, minibatch_stddev


class FilteredConv(Layer):
    """Convolution, bias, activation; halves after a low-pass filter (StyleGAN2)."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation, self.clamp = discriminator.activation, discriminator.conv_clamp
        self.weight = conv_weight(spec)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        if spec.shortcut == "close":
            self.skip_weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, 1, 1))
        self.register_buffer("taps", fir_filter(discriminator.resample_filter), persistent=False)
        # What the activation multiplies with goes in front of it, where it costs no pass over the features.
        self.gain_behind = RESIDUAL_GAIN if spec.shortcut == "close" else 1.0
        self.gain = ACTIVATIONS[self.activation].gain * self.gain_behind
        scale = equalized_gain(self.weight.shape, gain=self.gain)
        self.scaled = ScaledWeight(scale, resolution=spec.resolution if spec.down == 1 else 0)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, H / down, W / down]."""
        before = state.features
        own_gain, gain, gain_behind = ACTIVATIONS[self.activation].gain, self.gain, self.gain_behind
        x = conv2d(before, self.scaled.of(self, self.weight, before.dtype), down=spec.down, taps=self.taps)
        clamp = None if self.clamp is None else self.clamp * gain_behind
        x = bias_act(x, self.bias * gain, activation=self.activation, gain=1 / own_gain, clamp=clamp, overwrite=True)
        if spec.shortcut == "open":
            return state.wrote(x, shortcut=before)
        if spec.shortcut == "close":
            assert state.shortcut is not None
            skip = self.skip_weight * equalized_gain(self.skip_weight.shape, gain=RESIDUAL_GAIN)
            x = x + conv2d(state.shortcut, skip, down=spec.down, taps=self.taps)
        return state.wrote(x)


class PooledConv(Layer):
    """Convolution, bias, activation with its gain in the weight; halves by the mean of 2x2 (ProGAN, StyleGAN1)."""

    box: Tensor
    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation, self.before_pool = discriminator.activation, discriminator.activation_before_pool
        self.weight = conv_weight(spec)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("box", fir_filter((1, 1)), persistent=False)
        self.register_buffer("taps", fir_filter(discriminator.resample_filter), persistent=False)
        self.gain, self.down = ACTIVATIONS[self.activation].gain, 1 if self.before_pool else spec.down
        scale = equalized_gain(self.weight.shape, gain=self.gain)
        self.scaled = ScaledWeight(scale, resolution=spec.resolution if self.down == 1 else 0)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, H / down, W / down]."""
        x = state.features
        if spec.down == 2 and len(self.taps) > 1:
            x = filter2d(x, self.taps)
        x = conv2d(x, self.scaled.of(self, self.weight, x.dtype), down=self.down, taps=self.box)
        x = bias_act(x, self.bias, activation=self.activation, gain=1 / self.gain)
        if self.before_pool and spec.down == 2:
            x = F.avg_pool2d(x, 2)
        return state.wrote(x)


class Head(Layer):
    """Minibatch deviation, convolution, two dense layers: features [N, C, h, w] to an output [N, F]."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation, self.clamp = discriminator.activation, discriminator.conv_clamp
        self.group_size, self.num_channels = discriminator.mbstd_group_size, discriminator.mbstd_num_channels
        in_weight = discriminator.layer == "pooled"
        self.weight_gain = ACTIVATIONS[self.activation].gain if in_weight else 1.0
        channels, area = spec.in_channels, spec.size[0] * spec.size[1]
        features = discriminator.head_features or channels
        self.weight = nn.Parameter(torch.randn(channels, channels + self.num_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.fc = FullyConnected(channels * area, features, activation=self.activation, gain_in_weight=in_weight)
        self.out = FullyConnected(features, spec.out_channels)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, F]."""
        x = state.features
        if self.num_channels > 0:
            x = minibatch_stddev(x, group_size=self.group_size, num_channels=self.num_channels)
        x = conv2d(x, self.weight * equalized_gain(self.weight.shape, gain=self.weight_gain))
        x = bias_act(
            x, self.bias, activation=self.activation, gain=1 / self.weight_gain, clamp=self.clamp, overwrite=True
        )
        # The logit in the weights' precision: losses take its exponential.
        x = x.flatten(1).to(self.fc.weight.dtype)
        with torch.autocast(device_type=x.device.type, enabled=False):
            x = self.out(self.fc(x))
        return state.wrote(x)
