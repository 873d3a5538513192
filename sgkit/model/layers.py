"""The module behind each operator of a plan. A layer maps (spec, state, style, noise) to the next state.

Weights are stored near unit variance and scaled at run time (equalized learning rate, ProGAN section 4.1). The dtype of
the features decides the arithmetic; images are summed in float32. Parameter names are those of the model file.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.noise import NoiseSource
from sgkit.model.plan import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import (
    bias_act,
    conv2d,
    downsample2d,
    equalized_gain,
    fir_filter,
    minibatch_stddev,
    modulated_conv2d,
    upsample2d,
    upsampling_conv2d,
    weight_energy,
)

__all__ = ["OPERATORS", "FullyConnected", "Layer", "compute_dtype"]

RESIDUAL_GAIN = math.sqrt(0.5)
"""Both ways of a residual block are scaled by this, which keeps the variance of their sum (StyleGAN2, figure 7)."""


class FullyConnected(nn.Module):
    """``activation(x W^T + b)`` with equalized learning rate; parameters are stored divided by ``lr_multiplier``."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation, self.lr_multiplier = activation, lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] to [N, out_features]."""
        gain = equalized_gain(self.weight.shape, lr_multiplier=self.lr_multiplier)
        bias = self.bias.to(x.dtype) * self.lr_multiplier
        return bias_act(F.linear(x, self.weight.to(x.dtype) * gain, bias), activation=self.activation)


class Layer(nn.Module):
    """Base of the operators: the part of a network behind one :class:`LayerSpec`."""

    def style(self, w: Tensor) -> Tensor:
        """The layer's style [N, in] for ``w`` [N, w_dim]: only layers with a ``style_index`` have one."""
        raise NotImplementedError

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """The state behind the layer."""
        raise NotImplementedError


class StyledLayer(Layer):
    """A layer whose style is an affine function of w, around 1 at first."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, spec.in_channels, bias_init=1.0)

    def style(self, w: Tensor) -> Tensor:
        """[N, in] for ``w`` [N, w_dim]."""
        return self.affine(w)  # type: ignore[no-any-return]


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype that features start with: autocast's where it is on, else the tensor's own."""
    device_type = tensor.device.type
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else tensor.dtype


class ConstantInput(Layer):
    """A learned constant in place of an image (StyleGAN, section 2)."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(spec.out_channels, *spec.size))

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [1, C, h, w]: they take the batch size of the first style."""
        x = self.const[None].to(compute_dtype(self.const))
        return State(x=x.contiguous(memory_format=torch.channels_last), rgb=state.rgb)


class ModulatedConv(StyledLayer):
    """Modulated, demodulated convolution, noise, bias, activation (StyleGAN2, figure 2d)."""

    noise_const: Tensor
    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        synthesis = config.synthesis
        self.activation, self.clamp = synthesis.activation, synthesis.conv_clamp
        self.weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        if spec.has_noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(spec.size))
        if spec.shortcut == "open":
            self.skip_weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, 1, 1))
        self.register_buffer("taps", fir_filter(synthesis.resample_filter), persistent=False)
        self._energy: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, up * H, up * W]."""
        assert style is not None
        before = state.features
        x = modulated_conv2d(
            before, self.weight, style, up_taps=self.taps if spec.up == 2 else None, energy=self._cached_energy()
        )
        if spec.has_noise:
            x = self._add_noise(spec, x, noise)
        gain = RESIDUAL_GAIN if spec.shortcut == "close" else 1.0
        clamp = None if self.clamp is None else self.clamp * gain
        x = bias_act(x, self.bias, activation=self.activation, gain=gain, clamp=clamp)
        if spec.shortcut == "open":
            skip = self.skip_weight * equalized_gain(self.skip_weight.shape, gain=RESIDUAL_GAIN)
            return State(x=x, rgb=state.rgb, shortcut=upsampling_conv2d(before, skip, self.taps))
        if spec.shortcut == "close":
            assert state.shortcut is not None
            x = x + state.shortcut
        return State(x=x, rgb=state.rgb)

    def _add_noise(self, spec: LayerSpec, x: Tensor, noise: NoiseSource) -> Tensor:
        height, width = x.shape[2:]
        values = noise(spec, self.noise_const, batch=x.shape[0], size=(height, width))
        return x if values is None else x + (values * self.noise_strength).to(x.dtype)

    def _cached_energy(self) -> Tensor | None:
        """:func:`weight_energy` kept between calls that need no gradient: reading every weight twice costs time."""
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return None
        key = (self.weight.data_ptr(), self.weight._version)
        if self._energy is None or self._energy[0] != key or self._energy[1].device != self.weight.device:
            self._energy = (key, weight_energy(self.weight.detach()))
        return self._energy[1]


class ToRGB(StyledLayer):
    """1x1 modulated convolution to the image, without demodulation; joins the image so far (StyleGAN2, figure 7)."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.clamp = config.synthesis.conv_clamp
        self.weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("taps", fir_filter(config.synthesis.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``rgb`` [N, 3, H, W] from ``x`` [N, C, H, W]."""
        assert style is not None
        rgb = modulated_conv2d(state.features, self.weight, style, demodulate=False)
        rgb = bias_act(rgb, self.bias, clamp=self.clamp).to(torch.promote_types(rgb.dtype, torch.float32))
        if spec.merge == "sum":
            rgb = rgb + upsample2d(state.image, self.taps.to(rgb.dtype))
        return State(x=state.x, rgb=rgb)


class FromRGB(Layer):
    """1x1 convolution from the image to features; in 'skip' the image shrinks on the way down."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation = discriminator.activation
        # The last one of 'skip' feeds the head, which NVIDIA's networks leave unclamped.
        self.clamp = None if spec.merge == "sum" and spec.resolution == 4 else discriminator.conv_clamp
        self.weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("taps", fir_filter(discriminator.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, C, H, W] from ``rgb`` [N, 3, down * H, down * W]."""
        image = downsample2d(state.image, self.taps) if spec.down == 2 else state.image
        x = conv2d(image.to(compute_dtype(image)), self.weight * equalized_gain(self.weight.shape))
        x = bias_act(x, self.bias, activation=self.activation, clamp=self.clamp)
        return State(x=x if spec.merge == "replace" else state.features + x, rgb=image)


class PlainConv(Layer):
    """Convolution, bias, activation; the discriminator's layer."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation, self.clamp = discriminator.activation, discriminator.conv_clamp
        self.weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        if spec.shortcut == "close":
            self.skip_weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, 1, 1))
        self.register_buffer("taps", fir_filter(discriminator.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, H / down, W / down]."""
        before = state.features
        gain = RESIDUAL_GAIN if spec.shortcut == "close" else 1.0
        x = conv2d(before, self.weight * equalized_gain(self.weight.shape), down=spec.down, taps=self.taps)
        clamp = None if self.clamp is None else self.clamp * gain
        x = bias_act(x, self.bias, activation=self.activation, gain=gain, clamp=clamp)
        if spec.shortcut == "open":
            return State(x=x, rgb=state.rgb, shortcut=before)
        if spec.shortcut == "close":
            assert state.shortcut is not None
            skip = self.skip_weight * equalized_gain(self.skip_weight.shape, gain=RESIDUAL_GAIN)
            x = x + conv2d(state.shortcut, skip, down=spec.down, taps=self.taps)
        return State(x=x, rgb=state.rgb)


class Head(Layer):
    """Minibatch deviation, convolution, two dense layers: features [N, C, h, w] to an output [N, F]."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        discriminator = config.discriminator
        self.activation, self.clamp = discriminator.activation, discriminator.conv_clamp
        self.group_size, self.num_channels = discriminator.mbstd_group_size, discriminator.mbstd_num_channels
        channels, area = spec.in_channels, spec.size[0] * spec.size[1]
        self.weight = nn.Parameter(torch.randn(channels, channels + self.num_channels, spec.kernel, spec.kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.fc = FullyConnected(channels * area, channels, activation=self.activation)
        self.out = FullyConnected(channels, spec.out_channels)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, F]."""
        x = state.features
        if self.num_channels > 0:
            x = minibatch_stddev(x, group_size=self.group_size, num_channels=self.num_channels)
        x = conv2d(x, self.weight * equalized_gain(self.weight.shape))
        x = bias_act(x, self.bias, activation=self.activation, clamp=self.clamp)
        # The logit in float32: losses take its exponential.
        x = x.flatten(1).to(self.fc.weight.dtype)
        with torch.autocast(device_type=x.device.type, enabled=False):
            x = self.out(self.fc(x))
        return State(x=x, rgb=state.rgb)


OPERATORS: dict[str, Callable[[LayerSpec, ModelConfig], Layer]] = {
    "constant": ConstantInput,
    "from_rgb": FromRGB,
    "head": Head,
    "modulated": ModulatedConv,
    "plain": PlainConv,
    "to_rgb": ToRGB,
}
"""Operator name -> the module that implements it."""
