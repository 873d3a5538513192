"""The layers of a self-modulated generator: batch norm whose scale and shift come from z (Chen et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.layers.at_rest import ScaledWeight
from sgkit.model.layers.base import (
    FullyConnected,
    Layer,
    compute_dtype,
    conv_reach,
    conv_weight,
    memory_format,
    repeated,
)
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import bias_act, conv2d, equalized_gain, fir_filter, per_pixel, upsampling_conv2d


class _TwoLayer(nn.Module):
    """V max(0, U z + b): Chen et al. 2019, equations 3 and 4."""

    def __init__(self, in_features: int, hidden: int, out_features: int, *, bias_init: float) -> None:
        super().__init__()
        self.hidden = FullyConnected(in_features, hidden, activation="relu")
        self.out = FullyConnected(hidden, out_features, bias_init=bias_init)

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.hidden(z))  # type: ignore[no-any-return]


class _Learned(nn.Module):
    """The same values for every z: batch normalisation as it is without self-modulation, the paper's baseline."""

    def __init__(self, out_features: int, *, bias_init: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))

    def forward(self, z: Tensor) -> Tensor:
        return self.bias.expand(z.shape[0], -1)


def _style_network(config: ModelConfig, channels: int, *, bias_init: float) -> nn.Module:
    hidden = config.synthesis.style_hidden_features
    if not hidden:
        return _Learned(channels, bias_init=bias_init)
    return _TwoLayer(config.w_dim, hidden, channels, bias_init=bias_init)


class SelfModulated(Layer):
    """Normalisation over the batch, scale and shift from z, activation."""

    running_mean: Tensor
    running_var: Tensor
    keeps_statistics = True
    over_processes: Callable[[Tensor], Tensor] | None = None
    """Differentiable sum over the processes that share a batch; ``None``: this one has the whole of it."""
    momentum: float = 0.1
    """Share of a step's batch in the running statistics."""

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        synthesis, channels = config.synthesis, spec.out_channels
        self.activation, self.eps, self.channels = synthesis.activation, synthesis.norm_eps, channels
        self.scale = _style_network(config, channels, bias_init=1.0)
        self.shift = _style_network(config, channels, bias_init=0.0)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("observed", torch.cat([torch.zeros(channels), torch.ones(channels)]), persistent=False)

    def style(self, w: Tensor) -> Tensor:
        """Scales and shifts [N, 2C] for ``w`` [N, w_dim]."""
        return torch.cat([self.scale(w), self.shift(w)], dim=1)

    def finish(self, x: Tensor, style: Tensor) -> Tensor:
        """``x`` [N, C, H, W] normalised (by the batch in training, by running statistics else), styled, activated."""
        if self.training:
            x = self._normalized_by_batch(x)
        else:
            x = F.batch_norm(x, self.running_mean, self.running_var, training=False, eps=self.eps)
        height, width = x.shape[2:]
        scale, shift = per_pixel(style, (height, width)).to(x.dtype).tensor_split([self.channels], dim=1)
        return bias_act(x * scale + shift, activation=self.activation)

    def follow(self, observed: Tensor) -> None:
        """Move the running mean and variance towards ``observed``, [2C]."""
        for running, value in zip((self.running_mean, self.running_var), observed.chunk(2), strict=True):
            running.lerp_(value, self.momentum)

    def start_from(self, observed: Tensor) -> None:
        """Set the running mean and variance to ``observed``, [2C]."""
        for running, value in zip((self.running_mean, self.running_var), observed.chunk(2), strict=True):
            running.copy_(value)

    def _normalized_by_batch(self, x: Tensor) -> Tensor:
        """Normalise ``x`` by all images of the batch, those of other processes included."""
        if self.over_processes is None:
            if self.tracks:
                variance, mean = torch.var_mean(x.detach().float(), dim=(0, 2, 3))
                self.observed.copy_(torch.cat([mean, variance]))
            return F.batch_norm(x, None, None, training=True, eps=self.eps)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = self.over_processes(torch.full([], float(x.numel() // self.channels), device=x.device))
        mean = self.over_processes(wide.sum(dim=(0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = self.over_processes(centred.square().sum(dim=(0, 2, 3))) / count
        if self.tracks:
            self.observed.copy_(torch.cat([mean, variance * (count / (count - 1))]).detach())
        return (centred * (variance + self.eps).rsqrt()[:, None, None]).to(x.dtype)


class SelfModulatedDense(SelfModulated):
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
        x = repeated(features.reshape(-1, self.channels, *spec.size), state.place).to(compute_dtype(features))
        return state.wrote(self.finish(x.contiguous(memory_format=memory_format(self)), rest))


class SelfModulatedConv(SelfModulated):
    """Convolution, after doubled pixels where it enlarges."""

    box: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        self.weight = conv_weight(spec)
        self.weight_gain = equalized_gain(self.weight.shape)
        self.scaled = ScaledWeight(self.weight_gain, resolution=spec.resolution)
        self.register_buffer("box", fir_filter((1, 1)), persistent=False)
        self.reach = conv_reach(spec, len(self.box))

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, up * H, up * W]."""
        assert style is not None
        x = state.features
        if spec.up == 2:
            x = upsampling_conv2d(x, self.weight * self.weight_gain, self.box)
        else:
            x = conv2d(x, self.scaled.of(self, self.weight, x.dtype))
        return state.wrote(self.finish(x, style))
