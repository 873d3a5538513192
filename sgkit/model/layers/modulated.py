"""The layers of StyleGAN2's generator."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.layers.at_rest import AtRest, modulated_weight
from sgkit.model.layers.base import (
    RESIDUAL_GAIN,
    Layer,
    StyledLayer,
    add_noise,
    compute_dtype,
    conv_reach,
    conv_weight,
    memory_format,
    repeated,
)
from sgkit.model.layers.rgb import join_rgb
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import (
    ACTIVATIONS,
    bias_act,
    equalized_gain,
    fir_filter,
    modulated_conv2d,
    upsampling_conv2d,
)


class ConstantInput(Layer):
    """A learned constant in place of an image (StyleGAN, section 2)."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(spec.out_channels, *spec.size))

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [1, C, h, w]: they take the batch size of the first style."""
        x = repeated(self.const[None], state.place).to(compute_dtype(self.const))
        return state.wrote(x.contiguous(memory_format=memory_format(self)))


class ModulatedConv(StyledLayer):
    """Modulated, demodulated convolution, noise, bias, activation (StyleGAN2, figure 2d)."""

    noise_const: Tensor
    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        synthesis = config.synthesis
        self.activation, self.clamp = synthesis.activation, synthesis.conv_clamp
        self.weight = conv_weight(spec)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        if spec.has_noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(spec.size))
        if spec.shortcut == "open":
            self.skip_weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, 1, 1))
        self.register_buffer("taps", fir_filter(synthesis.resample_filter), persistent=False)
        self.at_rest = AtRest(functools.partial(modulated_weight, resolution=spec.resolution, up=spec.up))
        self.reach = conv_reach(spec, len(self.taps))

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, up * H, up * W]."""
        assert style is not None
        before = state.features
        taps = self.taps if spec.up == 2 else None
        kept = self.at_rest.of(self, self.weight, before.dtype)
        # What the activation multiplies with goes in front of it, where it costs no pass over the features.
        own_gain = ACTIVATIONS[self.activation].gain
        gain_behind = RESIDUAL_GAIN if spec.shortcut == "close" else 1.0
        gain = own_gain * gain_behind
        x = modulated_conv2d(
            before,
            self.weight,
            style,
            gain=gain,
            up_taps=taps,
            bias=self.bias * gain,
            energy=kept and kept.energy,
            laid_out=kept and kept.laid_out,
        )
        if spec.has_noise:
            x = add_noise(spec, x, self.noise_const, self.noise_strength * gain, noise, state.place, overwrite=True)
        clamp = None if self.clamp is None else self.clamp * gain_behind
        x = bias_act(x, activation=self.activation, gain=1 / own_gain, clamp=clamp, overwrite=True)
        if spec.shortcut == "open":
            skip = self.skip_weight * equalized_gain(self.skip_weight.shape, gain=RESIDUAL_GAIN)
            return state.wrote(x, shortcut=upsampling_conv2d(before, skip, self.taps))
        if spec.shortcut == "close":
            assert state.shortcut is not None
            x = x + state.shortcut
        return state.wrote(x)


class ToRGB(StyledLayer):
    """1x1 modulated convolution to the image, without demodulation (StyleGAN2, figure 7)."""

    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.clamp = config.synthesis.conv_clamp
        self.weight = conv_weight(spec)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("taps", fir_filter(config.synthesis.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``rgb`` [N, 3, H, W] from ``x`` [N, C, H, W]."""
        assert style is not None
        rgb = modulated_conv2d(state.features, self.weight, style, demodulate=False, bias=self.bias)
        rgb = bias_act(rgb, clamp=self.clamp, overwrite=True)
        return state.wrote(state.x, rgb=join_rgb(spec, rgb, state, self.taps))
