"""Weight modulation and demodulation (StyleGAN2, section 2.2, equations 1 to 3), without per-sample weights.

Scaling the weights' input channels is scaling the input, and demodulation is a factor for each output channel. So one
convolution with shared weights serves the whole batch, and a style may differ from pixel to pixel: styles are
``[N, C]``, or maps ``[N, C, h, w]`` that are stretched over the canvas. For a single style the weights themselves are
scaled where there are fewer of them than of the pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops.normalize import equalized_gain
from sgkit.ops.resample import conv2d, transposed_weight, upsampling_conv2d


def per_pixel(values: Tensor, size: tuple[int, int]) -> Tensor:
    """``values`` [N, C] or [N, C, h, w] shaped to multiply a canvas of ``size`` (height, width).

    A map side of 1 is kept and broadcasts; another side is stretched to the canvas by nearest neighbour, so that a map
    drawn at some resolution switches between the same pixels at every finer one.
    """
    if values.ndim == 2:
        return values[:, :, None, None]
    height, width = (side if given > 1 else 1 for side, given in zip(size, values.shape[2:], strict=True))
    if values.shape[2:] == (height, width):
        return values
    # A convolution's input and output are channels_last; a map laid out otherwise would cost more than its product.
    values = values.contiguous(memory_format=torch.channels_last)
    return F.interpolate(values, size=(height, width), mode="nearest-exact")


def weight_energy(weight: Tensor) -> Tensor:
    """Squared weights [O, I, k, k] summed over the kernel: [O, I]."""
    return weight.square().sum(dim=(2, 3))


def demodulation(energy: Tensor, styles: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Factors [N, O] (or [N, O, h, w]) that give each output unit expected deviation (StyleGAN2, equation 3).

    ``energy`` [O, I] is :func:`weight_energy` of the weights as they are used; ``styles`` [N, I] or [N, I, h, w].
    """
    with torch.autocast(device_type=styles.device.type, enabled=False):  # it is small, and all outputs depend on it
        if styles.ndim == 2:
            return (styles.square() @ energy.t() + eps).rsqrt()
        return (torch.einsum("oi,nihw->nohw", energy, styles.square()) + eps).rsqrt()


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    gain: float = 1.0,
    up_taps: Tensor | None = None,
    padding: int | None = None,
    bias: Tensor | None = None,
    energy: Tensor | None = None,
    laid_out: Tensor | None = None,
) -> Tensor:
    """``x`` [N, I, H, W] correlated with ``weight`` [O, I, k, k] modulated by ``styles``; ``up_taps``: also doubled.

    Weights are scaled by 1/sqrt(fan_in); with ``demodulate`` that cancels and only keeps half precision in range.

    Args:
        gain: factor of the result, which costs nothing here.
        padding: zeros around, where not those that keep the size (without ``up_taps``).
        bias: [O], added to the result, most often in the same pass over it (not times ``gain``).
        energy: :func:`weight_energy` of ``weight``, when the caller has it already.
        laid_out: ``weight`` as convolutions multiply with it, likewise: in channels_last, or the
            :func:`sgkit.ops.winograd_weight` of it; with ``up_taps``, :func:`sgkit.ops.transposed_weight`.
    """
    weight_gain = equalized_gain(weight.shape)
    scales = styles * (weight_gain if demodulate else weight_gain * gain)
    if weight.shape[2:] == (1, 1) and styles.ndim == 2 and not (demodulate or padding) and up_taps is None:
        return _pointwise(x, weight[:, :, 0, 0] * scales[:, None], bias)
    factors = None
    if demodulate:
        energy = weight_energy(weight) if energy is None else energy
        factors = demodulation(energy * weight_gain**2, styles) * gain
    is_plain = laid_out is None or laid_out.ndim == 4
    if is_plain and _is_smaller_than_canvas(weight, x, styles, up=1 if up_taps is None else 2):
        products = scales if factors is None else factors.t() * scales  # [O or 1, I]
        return _convolved(x, weight, up_taps, padding, laid_out, products=products, bias=bias)
    x = x * per_pixel(scales, (x.shape[2], x.shape[3])).to(x.dtype)
    if factors is None:
        return _convolved(x, weight, up_taps, padding, laid_out, bias=bias)
    x = _convolved(x, weight, up_taps, padding, laid_out)
    beyond = 0 if padding is None else padding - weight.shape[-1] // 2  # pixels more than the input at each edge
    height, width = (side - 2 * beyond for side in x.shape[2:])
    factors = per_pixel(factors, (height, width)).to(x.dtype)
    if beyond > 0 and styles.ndim == 4:
        rows, columns = (beyond * (side > 1) for side in factors.shape[2:])
        factors = F.pad(factors, (columns, columns, rows, rows), mode="replicate")
    # x is this function's own, so it may hold the result where no gradient is recorded.
    if bias is None:
        return x * factors if _records(x, factors) else x.mul_(factors)
    bias = bias.to(x.dtype)[:, None, None]
    return torch.addcmul(bias, x, factors, out=None if _records(x, factors, bias) else x)


def _records(*tensors: Tensor) -> bool:
    """Whether gradients of what is made of ``tensors`` are recorded."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _is_smaller_than_canvas(weight: Tensor, x: Tensor, styles: Tensor, *, up: int) -> bool:
    """Whether modulating the weights costs less than scaling what is convolved and what comes of it.

    Only for one style for all samples, and not where its slope is asked for: that would be the slope of the weights.
    """
    if _records(styles, weight) or torch.compiler.is_compiling():  # a comparison would fix the batch of an export
        return False
    if styles.ndim != 2 or styles.shape[0] != 1 or weight.shape[-1] == 1:
        return False
    out_channels, in_channels = weight.shape[:2]
    return weight.numel() < x.shape[0] * x.shape[2] * x.shape[3] * (in_channels + out_channels * up**2)


def _convolved(
    x: Tensor,
    weight: Tensor,
    up_taps: Tensor | None,
    padding: int | None,
    laid_out: Tensor | None,
    *,
    products: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """``x`` convolved with ``weight``, each [k, k] of it times its element of ``products`` [O or 1, I]."""
    if up_taps is None:
        own = weight if laid_out is None else laid_out
        return conv2d(x, own if products is None else own * products[:, :, None, None], padding=padding, bias=bias)
    if products is not None:
        laid_out = (transposed_weight(weight) if laid_out is None else laid_out) * products.t()[:, :, None, None]
    x = upsampling_conv2d(x, weight, up_taps, transposed=laid_out)
    return x if bias is None else x.add_(bias.to(x.dtype)[:, None, None])


def _pointwise(x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` [N or 1, I, H, W] times a matrix for each sample [N, O, I]: no pass over the input to scale it."""
    batch, (height, width) = weights.shape[0], x.shape[2:]
    weights = weights.to(x.dtype)
    if x.is_contiguous():
        out = torch.matmul(weights, x.flatten(2)).reshape(batch, -1, height, width)
    else:
        pixels = x.permute(0, 2, 3, 1).reshape(x.shape[0], height * width, -1)  # a view in channels_last
        out = torch.matmul(pixels, weights.transpose(1, 2)).reshape(batch, height, width, -1).permute(0, 3, 1, 2)
    return out if bias is None else out.add_(bias.to(x.dtype)[:, None, None])
