"""FIR resampling and the convolutions that contain it (StyleGAN2, section 2 and appendix B).

A filter is a 1-D tensor of taps ``[n]`` that acts along both axes, or a 2-D tensor ``[n, n]`` when it does not
separate. "Filter" means true convolution: taps are flipped against the signal, which only asymmetric ones show.
Convolution weights are in correlation form, as ``torch.nn.functional.conv2d`` uses them.

Taps are constants: signals and weights get gradients of any order, taps get none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops import convolution, fir_kernel
from sgkit.ops.fir_kernel import Geometry
from sgkit.ops.winograd import winograd_conv2d

_SHORT = 4
"""Taps up to which one pass in two dimensions costs less than two in one: memory is then slower than arithmetic."""


_FEW = 8
"""Channels below which a convolution of single pixels is slow on CUDA."""


class Padding(NamedTuple):
    """Zeros put before and after the signal along both axes; negative numbers crop."""

    before: int
    after: int


def fir_filter(taps: Sequence[float]) -> Tensor:
    """Taps ``[n]``, float32, scaled to sum 1: ``(1, 3, 3, 1)`` is StyleGAN2's low-pass filter."""
    filter_taps = torch.tensor(taps, dtype=torch.float32)
    return filter_taps / filter_taps.sum()


def upfirdn2d(x: Tensor, taps: Tensor, *, up: int = 1, down: int = 1, padding: Padding, gain: float = 1.0) -> Tensor:
    """``x`` [N, C, H, W] zero-inserted by ``up``, padded, filtered by ``taps * gain``, every ``down``-th pixel kept.

    The output side is ``(side * up + before + after - n) // down + 1``. Any dtype; keeps ``channels_last``.
    """
    before, after = padding
    if taps.ndim == 1 and len(taps) <= _SHORT:
        taps = torch.outer(taps, taps)
    height, width = ((up * side + before + after - len(taps)) // down + 1 for side in x.shape[2:])
    if fir_kernel.serves(x, (height, width), len(taps)):
        return _by_kernel(x, taps, (height, width), up=up, down=down, before=before, gain=gain)
    if up > 1:
        around = taps.shape[0] - 1 - before
        if taps.ndim == 2 and down == 1 and around >= 0 and 0 <= after + up - 1 - before < up:
            return _transposed(x, taps * gain, stride=up, padding=around, rest=after + up - 1 - before)
        x = _insert_zeros(x, up)
    if taps.ndim == 1:
        scale = gain**0.5
        x = _filter_axis(x, taps * scale, axis=0, down=down, padding=padding)
        return _filter_axis(x, taps * scale, axis=1, down=down, padding=padding)
    if min(padding) < 0 or before != after:
        x, before = F.pad(x, (before, after, before, after)), 0
    return _depthwise(x, (taps * gain).flip((0, 1)), stride=(down, down), padding=(before, before))


def upsample2d(x: Tensor, taps: Tensor, *, factor: int = 2) -> Tensor:
    """``x`` [N, C, H, W] enlarged to [N, C, factor * H, factor * W]; constants keep their value inside the border."""
    n = taps.shape[0]
    padding = Padding((n + factor - 1) // 2, (n - factor) // 2)
    return upfirdn2d(x, taps, up=factor, padding=padding, gain=float(factor**2))


def downsample2d(x: Tensor, taps: Tensor, *, factor: int = 2) -> Tensor:
    """``x`` [N, C, H, W] low-passed and reduced to [N, C, H // factor, W // factor]."""
    n = taps.shape[0]
    return upfirdn2d(x, taps, down=factor, padding=Padding((n - factor + 1) // 2, (n - factor) // 2))


def filter2d(x: Tensor, taps: Tensor) -> Tensor:
    """``x`` [N, C, H, W] filtered at the same size."""
    n = taps.shape[0]
    return upfirdn2d(x, taps, padding=Padding(n // 2, (n - 1) // 2))


def conv2d(
    x: Tensor,
    weight: Tensor,
    *,
    down: int = 1,
    taps: Tensor | None = None,
    padding: int | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Same-size correlation of ``x`` [N, I, H, W] with ``weight`` [O, I, k, k], k odd; with ``down`` strided.

    Without ``down``, ``weight`` may be the :func:`sgkit.ops.winograd_weight` of a constant one.

    Filter and stride swap with a 1x1 kernel, so there the reduction comes first and costs a quarter. ``padding``: other
    zeros around than the k // 2 that keep the size (``down`` 1 only). ``bias`` [O] is added in the same pass.
    """
    bias = None if bias is None else bias.to(x.dtype)
    if weight.ndim == 3:
        x = winograd_conv2d(x, weight, padding=1 if padding is None else padding)
        return x if bias is None else x.add_(bias[:, None, None])
    k, weight = weight.shape[-1], weight.to(x.dtype)
    if down == 1 and k == 1 and x.is_cuda and x.shape[1] < _FEW and not padding:
        return from_few_channels(x, weight, bias)
    if down == 1:
        return _convolved(x, weight, bias, padding=k // 2 if padding is None else padding)
    if taps is None:
        raise ValueError("conv2d: down > 1 needs the taps of a low-pass filter")
    n = taps.shape[0]
    around = Padding((n - down + 1) // 2 + k // 2, (n - down) // 2 + k // 2)
    if k == 1:
        return F.conv2d(upfirdn2d(x, taps, down=down, padding=around), weight, bias)
    return _convolved(upfirdn2d(x, taps, padding=around), weight, bias, stride=down)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0) -> Tensor:
    if not convolution.serves(x, weight):
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)
    x = convolution.correlation(x, weight, stride=stride, padding=padding)
    return x if bias is None else x.add_(bias[:, None, None])


def from_few_channels(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x`` [N, I, H, W] times ``weight`` [O, I, 1, 1] as a product of matrices for each sample, in channels_last.

    For a few input channels, such as those of an image, cuDNN's convolution is slower by an order of magnitude.
    """
    batch, _, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, -1)
    # One matrix for each sample: the slope of a single one would be a sum over all pixels in one place.
    out = torch.bmm(pixels, weight[:, :, 0, 0].t().expand(batch, -1, -1))
    out = out if bias is None else out.add_(bias)
    return out.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def transposed_weight(weight: Tensor) -> Tensor:
    """``weight`` [O, I, k, k] as :func:`upsampling_conv2d` multiplies with it, [I, O, k, k]: a copy, worth keeping."""
    return weight.flip((2, 3)).transpose(0, 1).contiguous(memory_format=torch.channels_last)


def upsampling_conv2d(x: Tensor, weight: Tensor, taps: Tensor, *, transposed: Tensor | None = None) -> Tensor:
    """``x`` [N, I, H, W] enlarged by 2 and correlated with ``weight`` [O, I, k, k] (k odd): [N, O, 2H, 2W].

    Transposed convolution first, low-pass after: the same linear map as upsampling first, at a quarter of the products.
    ``transposed``: :func:`transposed_weight` of ``weight``, when the caller has it already.
    """
    n, k = taps.shape[0], weight.shape[-1]
    if k == 1:
        return upsample2d(F.conv2d(x, weight.to(x.dtype)), taps)
    if transposed is None and convolution.serves(x, weight):
        geometry = convolution.Geometry(stride=2, padding=0, size=(2 * x.shape[2] + 1, 2 * x.shape[3] + 1))
        x = convolution.correlation_adjoint(x, weight.flip((2, 3)).transpose(0, 1), geometry)
    else:
        transposed = weight.flip((2, 3)).transpose(0, 1) if transposed is None else transposed
        x = F.conv_transpose2d(x, transposed.to(x.dtype), stride=2)
    # One more zero: transposed convolution leaves out the one inserted after the last pixel.
    return upfirdn2d(x, taps, padding=Padding((n + 1) // 2 - k // 2, (n - 2) // 2 - k // 2 + 1), gain=4.0)


def _by_kernel(
    x: Tensor, taps: Tensor, size: tuple[int, int], *, up: int, down: int, before: int, gain: float
) -> Tensor:
    """What :func:`upfirdn2d` computes, where :mod:`sgkit.ops.fir_kernel` can."""
    if taps.ndim == 2:
        geometry = Geometry(up=(up, up), down=(down, down), before=(before, before), size=size)
        return fir_kernel.filtered(x, (taps * gain).flip((0, 1)), geometry)
    kernel = (taps * gain**0.5).flip(0)
    rows = Geometry(up=(up, 1), down=(down, 1), before=(before, 0), size=(size[0], x.shape[3]))
    columns = Geometry(up=(1, up), down=(1, down), before=(0, before), size=size)
    return fir_kernel.filtered(fir_kernel.filtered(x, kernel[:, None], rows), kernel[None, :], columns)


def _insert_zeros(x: Tensor, up: int) -> Tensor:
    batch, channels, height, width = x.shape
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    wide = torch.zeros((batch, channels, height * up, width * up), dtype=x.dtype, device=x.device).contiguous(
        memory_format=layout
    )
    wide[:, :, ::up, ::up] = x
    return wide


def _filter_axis(x: Tensor, taps: Tensor, *, axis: int, down: int, padding: Padding) -> Tensor:
    """Filter along one axis (0: rows, 1: columns)."""
    before, after = padding
    if before == after and before >= 0:
        inside = (before, 0) if axis == 0 else (0, before)
    else:
        x, inside = F.pad(x, (0, 0, before, after) if axis == 0 else (before, after, 0, 0)), (0, 0)
    kernel, stride = taps.flip(0), (down, 1) if axis == 0 else (1, down)
    return _depthwise(x, kernel[:, None] if axis == 0 else kernel[None, :], stride=stride, padding=inside)


def _depthwise(x: Tensor, kernel: Tensor, *, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    if torch.compiler.is_compiling():  # compilers cannot look into it; second derivatives are not theirs
        return _repeated(F.conv2d, x, kernel, stride=stride, padding=padding)
    filtered: Tensor = _Depthwise.apply(x, kernel, stride, padding, None)  # type: ignore[no-untyped-call]
    return filtered


def _transposed(x: Tensor, kernel: Tensor, *, stride: int, padding: int, rest: int) -> Tensor:
    """Zeros inserted and filtered in one: the zeros are not multiplied. ``rest``: pixels more at the far edges."""
    options = {"stride": stride, "padding": padding, "output_padding": rest}
    if torch.compiler.is_compiling():
        return _repeated(F.conv_transpose2d, x, kernel, **options)
    size = tuple((side - 1) * stride - 2 * padding + len(kernel) + rest for side in x.shape[2:])
    filtered: Tensor = _Depthwise.apply(x, kernel, (stride,) * 2, (padding,) * 2, size)  # type: ignore[no-untyped-call]
    return filtered


def _repeated(function: Callable[..., Tensor], x: Tensor, kernel: Tensor, **options: Any) -> Tensor:
    """Apply the convolution ``function`` with the same kernel to every channel of ``x``.

    On CPUs always in float32 (or double), whatever the dtype of ``x`` and whatever autocast says: oneDNN never returns
    from some bf16 convolutions of this kind (2 to 16 channels in ``channels_last``, kernels of 16 or more columns, on
    processors with avx512_bf16; torch 2.13), and with a stride its bf16 transposed ones are up to 50 times as slow.
    """
    channels = x.shape[1]
    if x.device.type != "cpu":
        return function(x, kernel.to(x.dtype).expand(channels, 1, *kernel.shape), groups=channels, **options)
    with torch.autocast("cpu", enabled=False):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        taps = kernel.to(wide.dtype).expand(channels, 1, *kernel.shape)
        return function(wide, taps, groups=channels, **options).to(x.dtype)


class _Depthwise(torch.autograd.Function):
    """Every channel correlated with the same constant kernel, or the adjoint of that, which is the slope of it.

    Autograd would find the same, but its second derivative of grouped convolutions also makes that of the weights, one
    channel after the other.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        size: tuple[int, int] | None,
    ) -> Tensor:
        """``size``: that of the adjoint's result; ``None``: no adjoint."""
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.padding, ctx.size = stride, padding, tuple(x.shape[2:]) if size is None else None
        if size is None:
            return _repeated(F.conv2d, x, kernel, stride=stride, padding=padding)
        least = [(s - 1) * d - 2 * p + k for s, d, p, k in zip(x.shape[2:], stride, padding, kernel.shape, strict=True)]
        rest = [wanted - side for wanted, side in zip(size, least, strict=True)]
        return _repeated(F.conv_transpose2d, x, kernel, stride=stride, padding=padding, output_padding=rest)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        slope = _Depthwise.apply(gradients[0], kernel, ctx.stride, ctx.padding, ctx.size)  # type: ignore[no-untyped-call]
        return slope, None, None, None, None
