"""The layers of a self-modulated generator: batch norm whose scale and shift come from z (Chen et al. 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.layers.base import FullyConnected, Layer, compute_dtype, conv_weight, memory_format
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import bias_act, conv2d, equalized_gain, fir_filter, per_pixel, upsampling_conv2d

__all__ = ["SelfModulatedConv", "SelfModulatedDense"]


class _TwoLayer(nn.Module):
    """V max(0, U z + b): Chen et al. 2019, equations 3 and 4."""

    def __init__(self, in_features: int, hidden: int, out_features: int, *, bias_init: float) -> None:
        super().__init__()
        self.hidden = FullyConnected(in_features, hidden, activation="relu")
        self.out = FullyConnected(hidden, out_features, bias_init=bias_init)

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.hidden(z))  # type: ignore[no-any-return]


class _SelfModulated(Layer):
    """Normalisation over the batch, scale and shift from z, activation."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        synthesis, channels = config.synthesis, spec.out_channels
        self.activation, self.eps, self.channels = synthesis.activation, synthesis.norm_eps, channels
        self.scale = _TwoLayer(config.w_dim, synthesis.style_hidden_features, channels, bias_init=1.0)
        self.shift = _TwoLayer(config.w_dim, synthesis.style_hidden_features, channels, bias_init=0.0)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def style(self, w: Tensor) -> Tensor:
        """Scales and shifts [N, 2C] for ``w`` [N, w_dim]."""
        return torch.cat([self.scale(w), self.shift(w)], dim=1)

    def finish(self, x: Tensor, style: Tensor) -> Tensor:
        """``x`` [N, C, H, W] normalised (by the batch in training, by running statistics else), styled, activated."""
        x = F.batch_norm(x, self.running_mean, self.running_var, training=self.training, eps=self.eps)
        height, width = x.shape[2:]
        scale, shift = per_pixel(style, (height, width)).to(x.dtype).tensor_split([self.channels], dim=1)
        return bias_act(x * scale + shift, activation=self.activation)


class SelfModulatedDense(_SelfModulated):
    """First features as a linear function of z; their values are part of the layer's style."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        height, width = spec.size
        self.dense = FullyConnected(config.w_dim, spec.out_channels * height * width)

    def style(self, w: Tensor) -> Tensor:
        """The features [N, C * h * w], then scales and shifts [N, 2C]."""
        return torch.cat([self.dense(w), super().style(w)], dim=1)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [N, C, h, w]."""
        assert style is not None
        features, rest = style.tensor_split([style.shape[1] - 2 * self.channels], dim=1)
        x = features.reshape(-1, self.channels, *spec.size).to(compute_dtype(features))
        return State(x=self.finish(x.contiguous(memory_format=memory_format(self)), rest), rgb=state.rgb)


class SelfModulatedConv(_SelfModulated):
    """Convolution, behind doubled pixels where it enlarges."""

    box: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.weight = conv_weight(spec)
        self.register_buffer("box", fir_filter((1, 1)), persistent=False)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, up * H, up * W]."""
        assert style is not None
        weight = self.weight * equalized_gain(self.weight.shape)
        up = spec.up == 2
        x = upsampling_conv2d(state.features, weight, self.box) if up else conv2d(state.features, weight)
        return State(x=self.finish(x, style), rgb=state.rgb)
