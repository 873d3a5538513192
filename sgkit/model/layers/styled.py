"""The layers of ProGAN's and StyleGAN1's generators: repeat pixels, convolve, blur; noise, bias, norm, style.

The activation's gain sits in the weights and the activation itself is plain, as in those papers' networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.layers.at_rest import ScaledWeight
from sgkit.model.layers.base import (
    FullyConnected,
    Layer,
    add_noise,
    compute_dtype,
    conv_reach,
    conv_weight,
    memory_format,
    repeated,
)
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
    num_features: int = 0
    """How much of a style, at its start, is the features themselves."""

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

    def activated(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> Tensor:
        """The layer's features [N, C, H, W] before normalisation."""
        raise NotImplementedError

    def measured(self, spec: LayerSpec, state: State, style: Tensor, noise: NoiseSource) -> Tensor:
        """``style`` with each channel's mean and inverse deviation on this canvas after it: [N, ... + 2C]."""
        if not self.has_style:
            return style
        x = self.activated(spec, state, style, noise)
        mean = x.mean(dim=(2, 3), keepdim=True)
        inverse = ((x - mean).square().mean(dim=(2, 3), keepdim=True) + self.eps).rsqrt()
        statistics = torch.cat([mean, inverse], dim=1)[:, :, 0, 0].to(style.dtype)
        return torch.cat([style, statistics.expand(style.shape[0], -1)], dim=1)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [N, C, H, W]."""
        x = self.activated(spec, state, style, noise)
        if not self.has_style:
            return state.wrote(normalize_2nd_moment(x))
        assert style is not None
        height, width = x.shape[2:]
        parts = per_pixel(style[:, self.num_features :], (height, width)).to(x.dtype)
        scale, shift, *statistics = parts.tensor_split(parts.shape[1] // self.channels, dim=1)
        x = (x - statistics[0]) * statistics[1] if statistics else instance_norm(x, eps=self.eps)
        return state.wrote(x * scale + shift)

    def finish(
        self,
        spec: LayerSpec,
        x: Tensor,
        state: State,
        style: Tensor | None,
        noise: NoiseSource,
        *,
        add_bias: bool = True,
    ) -> Tensor:
        """``x`` [N, C, H, W] with noise and bias, activated."""
        if spec.has_noise:
            strength = self.noise_strength[:, None, None]
            batch = (x if style is None else style).shape[0]  # a constant is one for all
            x = add_noise(spec, x, self.noise_const, strength, noise, state.place, batch=batch)
        own_gain = ACTIVATIONS[self.activation].gain
        return bias_act(x, self.bias if add_bias else None, activation=self.activation, gain=1 / own_gain)


class StyledConstant(_Epilogue):
    """A learned constant with its own epilogue (StyleGAN, figure 1b)."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.const = nn.Parameter(torch.ones(spec.out_channels, *spec.size))

    def activated(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> Tensor:
        """Features [N, C, h, w] before normalisation."""
        # In the weights' precision: near 1 everywhere, as at first, the constant and its noise differ by less than half
        # precision can tell, and the normalisation would blow the rounding up. So small a canvas costs nothing.
        x = repeated(self.const[None], state.place).contiguous(memory_format=memory_format(self))
        return self.finish(spec, x, state, style, noise)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [N, C, h, w]."""
        return super().forward(spec, state, style, noise).map(lambda x: x.to(compute_dtype(self.const)))


class StyledDense(_Epilogue):
    """First features as a linear function of the latent (ProGAN); their values are part of the layer's style."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        height, width = spec.size
        self.num_features = spec.out_channels * height * width
        self.weight = nn.Parameter(torch.randn(self.num_features, config.w_dim))

    def style(self, w: Tensor) -> Tensor:
        """The features [N, C * h * w], and after them scales and shifts, where there are some."""
        # A quarter of the gain, as ProGAN's networks have it: the features are normalised after this layer anyway.
        gain = equalized_gain(self.weight.shape, gain=ACTIVATIONS[self.activation].gain / 4)
        features: Tensor = w @ self.weight.t() * gain
        return torch.cat([features, super().style(w)], dim=1) if self.has_style else features

    def activated(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> Tensor:
        """Features [N, C, h, w] before normalisation."""
        assert style is not None
        features = style[:, : self.num_features].reshape(-1, self.channels, *spec.size)
        x = repeated(features, state.place).to(compute_dtype(features)).contiguous(memory_format=memory_format(self))
        return self.finish(spec, x, state, style, noise)


class StyledConv(_Epilogue):
    """Convolution, after doubled pixels and before a blur where it enlarges."""

    box: Tensor
    taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.bias_before_blur = config.synthesis.bias_before_blur
        self.weight = conv_weight(spec)
        self.scale = equalized_gain(self.weight.shape, gain=ACTIVATIONS[self.activation].gain)
        self.scaled = ScaledWeight(self.scale, resolution=spec.resolution)
        self.register_buffer("box", fir_filter((1, 1)), persistent=False)
        self.register_buffer("taps", fir_filter(config.synthesis.resample_filter), persistent=False)
        self.reach = conv_reach(spec, len(self.taps) + 1)

    def activated(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> Tensor:
        """``x`` [N, in, H, W] to [N, out, up * H, up * W], before normalisation."""
        before = state.features
        if spec.up == 1:
            x = conv2d(before, self.scaled.of(self, self.weight, before.dtype))
            return self.finish(spec, x, state, style, noise)
        x = upsampling_conv2d(before, self.weight * self.scale, self.box)
        if self.bias_before_blur:
            x = bias_act(x, self.bias)
        if len(self.taps) > 1:
            x = filter2d(x, self.taps)
        return self.finish(spec, x, state, style, noise, add_bias=not self.bias_before_blur)
