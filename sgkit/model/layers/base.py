"""What the layers share: the seam to the walk, the dense layer, gains."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.model.canvas import DIMENSION, Canvas
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import ACTIVATIONS, bias_act, equalized_gain

RESIDUAL_GAIN = math.sqrt(0.5)
"""Both ways of a residual block are scaled by this, which keeps the variance of their sum (StyleGAN2, figure 7)."""


class FullyConnected(nn.Module):
    """``activation(x W^T + b)`` with equalized learning rate; parameters are stored divided by ``lr_multiplier``.

    With ``gain_in_weight`` the activation's gain scales the weight alone, as in ProGAN and StyleGAN1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
        gain_in_weight: bool = False,
    ) -> None:
        super().__init__()
        self.activation, self.lr_multiplier = activation, lr_multiplier
        self.weight_gain = ACTIVATIONS[activation].gain if gain_in_weight else 1.0
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] to [N, out_features]."""
        gain = equalized_gain(self.weight.shape, gain=self.weight_gain, lr_multiplier=self.lr_multiplier)
        # The factors cost no pass over the weights here.
        x = torch.addmm(self.bias.to(x.dtype), x, self.weight.to(x.dtype).t(), beta=self.lr_multiplier, alpha=gain)
        return bias_act(x, activation=self.activation, gain=1 / self.weight_gain, overwrite=True)


class Layer(nn.Module):
    """Base of the operators: the part of a network for one :class:`LayerSpec`."""

    tracks: bool = False
    """Whether a forward pass notes what the layer's running statistics are made of: in one pass of a training step."""
    keeps_statistics: bool = False
    """Whether the layer has running statistics."""
    reach: int = 0
    """How many pixels of its input the layer reads beyond the one at the place that it writes."""
    observed: Tensor
    """What the last noted pass found, as means over its images: of layers that keep statistics."""

    def follow(self, observed: Tensor) -> None:
        """Move the running statistics towards what the images of a whole batch have shown."""
        raise NotImplementedError

    def style(self, w: Tensor) -> Tensor:
        """The layer's style [N, S] for ``w`` [N, w_dim]: only layers with a ``style_index`` have one."""
        raise NotImplementedError

    def measured(self, spec: LayerSpec, state: State, style: Tensor, noise: NoiseSource) -> Tensor:
        """``style`` with what the layer would otherwise compute from the whole canvas, as it is on this one."""
        del spec, state, noise
        return style

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """What the layer writes, given what was written before it; ``state.canvas`` is already the output's."""
        raise NotImplementedError


class StyledLayer(Layer):
    """A layer whose style [N, in] is an affine function of w, around 1 at first."""

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


def memory_format(network: nn.Module) -> torch.memory_format:
    """Memory format of the first features of ``network``, which all later ones keep.

    ``channels_last``, in which convolutions run fastest, but for training in half precision on CPUs: gradients of
    weights can take four times as long in it, where :mod:`sgkit.ops.convolution` does not make them.
    """
    weight = next(network.parameters())
    is_plain = weight.device.type != "cpu" or compute_dtype(weight) == weight.dtype
    if is_plain or not torch.is_grad_enabled():
        return torch.channels_last
    trains = any(parameter.requires_grad for parameter in network.parameters())
    return torch.contiguous_format if trains else torch.channels_last


def conv_weight(spec: LayerSpec) -> nn.Parameter:
    """A fresh convolution weight [out, in, k, k] of unit variance."""
    return nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, spec.kernel, spec.kernel))


def conv_reach(spec: LayerSpec, taps: int) -> int:
    """The reach of a convolution, after zeros between the pixels and a filter of ``taps`` where it enlarges."""
    return spec.kernel // 2 if spec.up == 1 else ((spec.kernel + taps - 2) // 2 + 1) // 2


def add_noise(
    spec: LayerSpec,
    x: Tensor,
    stored: Tensor,
    strength: Tensor,
    noise: NoiseSource,
    canvas: Canvas,
    *,
    batch: int | None = None,
    overwrite: bool = False,
) -> Tensor:
    """``x`` [N, C, H, W] with the layer's noise times ``strength`` (a scalar, or [C, 1, 1]) added.

    ``batch``: how many pictures there are, where ``x`` [1, C, H, W] is the same for all. ``overwrite``: as in
    :func:`sgkit.ops.bias_act`.
    """
    values = noise(spec, stored, canvas.of(x), batch or x.shape[0])
    if values is None:
        return x
    values = (values * strength).to(x.dtype)
    if not overwrite or values.shape[0] not in (1, x.shape[0]):  # len() would fix the batch of an export
        return x + values
    return x.add_(values)


def repeated(tensor: Tensor, canvas: Canvas) -> Tensor:
    """What a layer learned for the model's own picture, ``tensor`` [N, C, h, w], repeated over ``canvas``."""
    for axis, dimension in DIMENSION.items():
        side, own = canvas.side(axis), tensor.shape[dimension]
        if (side.start, side.length) != (0, own):
            tensor = tensor.index_select(dimension, canvas.pixels(axis).to(tensor.device) % own)
    return tensor
