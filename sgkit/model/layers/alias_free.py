"""The layers of StyleGAN3's generator: signals that are continuous between the pixels (Karras et al. 2021)."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn

from sgkit.config import ModelConfig
from sgkit.errors import ConfigError, UsageError
from sgkit.model.canvas import DIMENSION, Axis, Canvas
from sgkit.model.layers.at_rest import AtRest, modulated_weight
from sgkit.model.layers.base import (
    FullyConnected,
    Layer,
    StyledLayer,
    compute_dtype,
    conv_weight,
    memory_format,
)
from sgkit.model.noise import NoiseSource
from sgkit.model.spec import LayerSpec
from sgkit.model.walk import State
from sgkit.ops import Padding, bias_act, modulated_conv2d, per_pixel, upfirdn2d


class FourierInput(Layer):
    """Fourier features whose translation and rotation w chooses (StyleGAN3, sections 3.1 and 3.2)."""

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__()
        assert spec.alias_free is not None
        self.rate, self.bandwidth = spec.alias_free.out_rate, spec.alias_free.out_cutoff
        channels = spec.out_channels
        freqs = torch.randn(channels, 2)
        radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
        # Uniform over a disc, roughly: StyleGAN3's released networks draw them so.
        freqs = freqs / (radii * radii.square().exp() ** 0.25) * self.bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(config.w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def style(self, w: Tensor) -> Tensor:
        """Cosine, sine, shift right, shift down: [N, 4] for ``w`` [N, w_dim], the first two not yet normalised."""
        return self.affine(w)  # type: ignore[no-any-return]

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """Features [N, C, h, w]."""
        assert style is not None
        canvas = state.place
        if style.ndim == 4:
            style = per_pixel(style, canvas.size)
        places = style.shape[:1] + (style.shape[2:] if style.ndim == 4 else (1, 1))  # N, h, w: 1 where all are alike
        matrix = self._placement(style.movedim(1, -1).reshape(-1, 4), self.transform)
        phases = self.phases + torch.einsum("cd,nd->nc", self.freqs, matrix[:, :2, 2])
        freqs = torch.einsum("cd,nde->nce", self.freqs, matrix[:, :2, :2])
        # Frequencies that the placement moves beyond what the canvas can hold fade out.
        excess = (freqs.square().sum(dim=2).sqrt() - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        across, down, phases, amplitudes = (
            values.reshape(*places, -1).movedim(-1, 1).contiguous()
            for values in (freqs[..., 0], freqs[..., 1], phases, (1 - excess).clamp(0, 1))
        )
        rows, columns = (self._centres(spec, canvas, axis) for axis in DIMENSION)
        angles = across * columns + down * rows[:, None] + phases
        features = torch.sin(2 * math.pi * angles) * amplitudes
        x = torch.einsum("oc,nchw->nohw", self.weight / math.sqrt(self.weight.shape[1]), features)
        return state.wrote(x.to(compute_dtype(x)).contiguous(memory_format=memory_format(self)))

    def moved(self, style: Tensor, right: Tensor, down: Tensor) -> Tensor:
        """Styles [N, 4] whose features are those of ``style`` further right and down, in units of the image's base."""
        style = style / style[:, :2].square().sum(dim=1, keepdim=True).sqrt()
        by = torch.stack([right, down], dim=1).to(style) @ self.transform[:2, :2].t()
        return torch.cat([style[:, :2], style[:, 2:] + by], dim=1)

    def turned(self, style: Tensor, angle: Tensor, right: Tensor | float, down: Tensor | float) -> Tensor:
        """Styles [N, 4] whose features are those of ``style`` turned about the centre, then moved.

        Args:
            style: [N, 4].
            angle: radians counter-clockwise: one for all, or [N].
            right: units of the image's base, likewise.
            down: likewise.

        Raises:
            UsageError: the network's own transform stretches its features, so that turning would shear them.
        """
        count = len(style)
        angles, rights, downs = (torch.as_tensor(value).double().cpu().expand(count) for value in (angle, right, down))
        cosine, sine, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
        rows = [cosine, sine, rights, -sine, cosine, downs, zero, zero, one]
        moved = torch.stack(rows, dim=1).reshape(-1, 3, 3)
        own = self.transform.double().cpu()
        change = own @ torch.linalg.inv(moved) @ own.inverse()
        turn = change[:, :2, :2]
        if not torch.allclose(turn @ turn.mT, torch.eye(2, dtype=torch.float64).expand_as(turn), atol=1e-5):
            raise UsageError("The input of this network is stretched, so its images cannot be turned.")
        plain = torch.eye(3, dtype=torch.float64)
        placement = self._placement(style.double().cpu(), plain) @ change
        turn = placement[:, :2, :2]
        shift = -torch.einsum("nji,nj->ni", turn, placement[:, :2, 2])
        return torch.cat([turn[:, :, 0], shift], dim=1).to(style)

    @staticmethod
    def _placement(style: Tensor, transform: Tensor) -> Tensor:
        cosine, sine, right, down = (style / style[:, :2].square().sum(dim=1, keepdim=True).sqrt()).unbind(dim=1)
        zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
        rotation = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=1)
        translation = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], dim=1)
        return rotation.reshape(-1, 3, 3) @ translation.reshape(-1, 3, 3) @ transform

    def _centres(self, spec: LayerSpec, canvas: Canvas, axis: Axis) -> Tensor:
        """Pixel centres along an axis, in units of the image's base, 0 in the middle of the model's own picture."""
        side, own = canvas.side(axis), spec.size[DIMENSION[axis] - 2] - 2 * spec.margin
        length = side.length + 2 * canvas.margin
        positions = torch.arange(length, device=self.freqs.device, dtype=self.freqs.dtype)
        return (positions + (side.start - canvas.margin + 0.5 - own / 2)) / self.rate


class AliasFreeConv(StyledLayer):
    """Modulated convolution, then a nonlinearity between low-pass filters (StyleGAN3, figure 4b); or the image."""

    magnitude_ema: Tensor
    keeps_statistics = True
    up_taps: Tensor
    down_taps: Tensor

    def __init__(self, spec: LayerSpec, config: ModelConfig) -> None:
        super().__init__(spec, config)
        synthesis, sampling = config.synthesis, spec.alias_free
        assert sampling is not None
        assert synthesis.alias_free is not None
        settings, self.is_rgb = synthesis.alias_free, spec.kind == "rgb"
        self.clamp, self.output_scale = synthesis.conv_clamp, settings.output_scale
        self.ema_beta, self.activation = settings.magnitude_ema_beta, synthesis.activation
        self.weight = conv_weight(spec)
        self.at_rest = AtRest(functools.partial(modulated_weight, resolution=spec.resolution))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("observed", torch.ones([]), persistent=False)
        inner_rate = max(sampling.in_rate, sampling.out_rate) * (1 if self.is_rgb else settings.lrelu_upsampling)
        self.up, self.down = inner_rate // sampling.in_rate, inner_rate // sampling.out_rate
        up_taps = settings.filter_size * self.up if self.up > 1 and not self.is_rgb else 1
        down_taps = settings.filter_size * self.down if self.down > 1 and not self.is_rgb else 1
        radial = settings.radial_filters and not sampling.critical
        up_filter = design_lowpass(up_taps, sampling.in_cutoff, 2 * sampling.in_half_width, inner_rate)
        down_filter = design_lowpass(
            down_taps, sampling.out_cutoff, 2 * sampling.out_half_width, inner_rate, radial=radial
        )
        self.register_buffer("up_taps", up_filter, persistent=False)
        self.register_buffer("down_taps", down_filter, persistent=False)
        self.padding = _padding(spec, config, up=self.up, down=self.down, taps=up_taps + down_taps)
        in_margin = 0 if self.is_rgb else settings.margin
        self.reach = _reach(spec, in_margin, self.padding, up=self.up, down=self.down, taps=up_taps + down_taps)

    def forward(self, spec: LayerSpec, state: State, style: Tensor | None, noise: NoiseSource) -> State:
        """``x`` [N, in, H, W] to [N, out, H', W'], or the image."""
        assert style is not None
        x = state.features
        if self.tracks:
            self.observed.copy_(x.detach().float().square().mean())
        kept = self.at_rest.of(self, self.weight, x.dtype)
        x = modulated_conv2d(
            x,
            self.weight,
            style,
            demodulate=not self.is_rgb,
            padding=spec.kernel - 1,
            energy=kept and kept.energy,
            laid_out=kept and kept.laid_out,
        )
        x = x * self.magnitude_ema.rsqrt().to(x.dtype) + self.bias.to(x.dtype)[:, None, None]
        x = upfirdn2d(x, self.up_taps, up=self.up, padding=self.padding, gain=float(self.up**2))
        x = bias_act(x, activation="linear" if self.is_rgb else self.activation, clamp=self.clamp)
        x = upfirdn2d(x, self.down_taps, down=self.down, padding=Padding(0, 0))
        if self.is_rgb:
            image = x.to(torch.promote_types(x.dtype, torch.float32)) * self.output_scale
            return state.wrote(state.x, rgb=image)
        return state.wrote(x)

    def follow(self, observed: Tensor) -> None:
        """Move the running magnitude of the input towards ``observed``, a scalar."""
        self.magnitude_ema.copy_(observed.lerp(self.magnitude_ema, self.ema_beta))


def design_lowpass(numtaps: int, cutoff: float, width: float, rate: float, *, radial: bool = False) -> Tensor:
    """Kaiser-windowed low-pass filter, float32: taps [n] that separate, or radially symmetric [n, n].

    ``cutoff``, ``width`` (of the transition band) and ``rate`` are in one unit of frequency (StyleGAN3, appendix C).

    Raises:
        ConfigError: the filter overflows.
    """
    from scipy import signal, special

    if numtaps == 1:
        return torch.ones(1)
    with np.errstate(all="ignore"):
        if radial:
            positions = (np.arange(numtaps) - (numtaps - 1) / 2) / rate
            radius = np.hypot(*np.meshgrid(positions, positions))
            jinc = np.where(radius == 0, cutoff, special.j1(2 * cutoff * np.pi * radius) / (np.pi * radius))
            window = np.kaiser(numtaps, signal.kaiser_beta(signal.kaiser_atten(numtaps, width / (rate / 2))))
            taps = jinc * np.outer(window, window)
            taps = taps / taps.sum()
        else:
            taps = signal.firwin(numtaps=numtaps, cutoff=cutoff, width=width, fs=rate)
    if not np.isfinite(taps).all():
        raise ConfigError(
            f"A low-pass filter of {numtaps} taps with a transition band of {width:g} around {cutoff:g}, at rate "
            f"{rate:g}, cannot be computed. Lower alias_free.first_stopband, last_stopband_rel or filter_size."
        )
    return torch.as_tensor(taps, dtype=torch.float32)


def _padding(spec: LayerSpec, config: ModelConfig, *, up: int, down: int, taps: int) -> Padding:
    """What makes the canonical canvas come out at ``spec.size``: the same at both axes and on any canvas."""
    sampling, settings = spec.alias_free, config.synthesis.alias_free
    assert sampling is not None
    assert settings is not None
    margin = 0 if spec.kind == "rgb" else settings.margin  # the layer before the image has cut its margin off
    in_side = config.base[0] * sampling.in_rate // 4 + 2 * margin
    total = (spec.size[0] - 1) * down + 1 - (in_side + spec.kernel - 1) * up + taps - 2
    before = (total + up) // 2
    return Padding(before, total - before)


def _reach(spec: LayerSpec, in_margin: int, padding: Padding, *, up: int, down: int, taps: int) -> int:
    """The furthest pixel that is read for some output pixels, from the one that is at their place."""
    furthest = 0
    for pixel in range(spec.scale):
        first = (pixel + spec.margin) * down - padding.before
        read = (-(-first // up) - (spec.kernel - 1), (first + taps - 2) // up)
        furthest = max(furthest, *(abs(index - in_margin - pixel // spec.scale) for index in read))
    return furthest
