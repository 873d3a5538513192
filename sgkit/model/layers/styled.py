"""The layers of ProGAN's and StyleGAN1's generators: repeat pixels, convolve, blur; noise, bias, norm, style.

The activation's gain sits in the weights and the activation itself is plain, as in those papers' networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.layers.base import FullyConnected, Layer, add_noise, compute_dtype, conv_weight, memory_format
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import (
    ACTIVATIONS,
    bias_act,
    conv2d,
    equalized_gain,
    filter2d,
    fir_filter,
    instance_norm,
    normalize_2nd_moment,
    per_pixel,
    upsampling_conv2d,
)


class _Epilogue(Layer):
    """What follows a layer's features (StyleGAN, figure 1b): noise, bias, activation, normalisation, style."""

    noise_const: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        synthesis = config.synthesis
        self.activation, self.eps, self.channels = synthesis.activation, synthesis.norm_eps, spec.out_channels
        self.has_style = synthesis.layer == "adain"
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        if spec.has_noise:
            self.noise_strength = nn.Parameter(torch.zeros(spec.out_channels))
            self.register_buffer("noise_const", torch.randn(spec.size))
        if self.has_style:
            self.affine = FullyConnected(config.w_dim, 2 * spec.out_channels)
            with torch.no_grad():
                self.affine.bias[: spec.out_channels] = 1.0

    def style(self, w: Tensor) -> Tensor:
        """Scales and shifts [N, 2C] for ``w`` [N, w_dim] (StyleGAN, equation 1)."""
        return self.affine(w)  # type: ignore[no-any-return]

    def finish(
        self, spec: LayerSpec, x: Tensor, style: Tensor | None, noise: NoiseSource, *, add_bias: bool = True
    ) -> Tensor:
        """``x`` [N, C, H, W] after the epilogue."""
        if spec.has_noise:
            batch = len(x) if style is None else len(style)  # a constant is one for all
            x = add_noise(spec, x, self.noise_const, self.noise_strength[:, None, None], noise, batch=batch)
        own_gain = ACTIVATIONS[self.activation].gain
        x = bias_act(x, self.bias if add_bias else None, activation=self.activation, gain=1 / own_gain)
        if not self.has_style:
            return normalize_2nd_moment(x)
        assert style is not None
        height, width = x.shape[2:]
        scale, shift = per_pixel(style, (height, width)).to(x.dtype).tensor_split([self.channels], dim=1)
        return instance_norm(x, eps=self.eps) * scale + shift


class StyledConstant(_Epilogue):
    """A learned constant with an epilogue of its own (StyleGAN, figure 1b)."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.const = nn.Parameter(torch.ones(spec.out_channels, *spec.size))

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [N, C, h, w]."""
        # In the weights' precision: near 1 everywhere, as at first, the constant and its noise differ by less than half
        # precision can tell, and the normalisation would blow the rounding up. So small a canvas costs nothing.
        x = self.const[None].contiguous(memory_format=memory_format(self))
        x = self.finish(spec, x, style, noise)
        return State(x=x.to(compute_dtype(self.const)), rgb=state.rgb)


class StyledDense(_Epilogue):
    """First features as a linear function of the latent (ProGAN); their values are part of the layer's style."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        height, width = spec.size
        self.weight = nn.Parameter(torch.randn(spec.out_channels * height * width, config.w_dim))

    def style(self, w: Tensor) -> Tensor:
        """The features [N, C * h * w], and scales and shifts behind them where there are some."""
        # A quarter of the gain, as ProGAN's networks have it: the features are normalised behind this layer anyway.
        gain = equalized_gain(self.weight.shape, gain=ACTIVATIONS[self.activation].gain / 4)
        features: Tensor = w @ self.weight.t() * gain
        return torch.cat([features, super().style(w)], dim=1) if self.has_style else features

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [N, C, h, w]."""
        assert style is not None
        features, rest = style.tensor_split([self.weight.shape[0]], dim=1)
        x = features.reshape(-1, self.channels, *spec.size).to(compute_dtype(features))
        x = x.contiguous(memory_format=memory_format(self))
        return State(x=self.finish(spec, x, rest, noise), rgb=state.rgb)


class StyledConv(_Epilogue):
    """Convolution, behind doubled pixels and before a blur where it enlarges."""

    box: Tensor
    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.bias_before_blur = config.synthesis.bias_before_blur
        self.weight = conv_weight(spec)
        self.register_buffer("box", fir_filter((1, 1)), persistent=False)
        self.register_buffer("taps", fir_filter(config.synthesis.resample_filter), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, up * H, up * W]."""
        weight = self.weight * equalized_gain(self.weight.shape, gain=ACTIVATIONS[self.activation].gain)
        if spec.up == 1:
            return State(x=self.finish(spec, conv2d(state.features, weight), style, noise), rgb=state.rgb)
        x = upsampling_conv2d(state.features, weight, self.box)
        if self.bias_before_blur:
            x = bias_act(x, self.bias)
        if len(self.taps) > 1:
            x = filter2d(x, self.taps)
        x = self.finish(spec, x, style, noise, add_bias=not self.bias_before_blur)
        return State(x=x, rgb=state.rgb)
