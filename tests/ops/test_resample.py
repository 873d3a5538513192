from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops import Padding, conv2d, downsample2d, filter2d, fir_filter, upfirdn2d, upsample2d, upsampling_conv2d
from sgkit.ops.resample import from_few_channels

TAPS = [(1,), (1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 2, 4, 1), (1, 2, 3, 4, 5)]
"""Lengths 1 to 5; the last two are asymmetric, so they show a filter that is not flipped."""


def signal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def filter_of(taps: tuple[int, ...]) -> Tensor:
    return fir_filter(taps).double()


def outer(taps: Tensor) -> Tensor:
    return torch.outer(taps, taps)


def insert_zeros(x: Tensor, up: int) -> Tensor:
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h * up, w * up)
    for row, column in itertools.product(range(h), range(w)):
        wide[:, :, row * up, column * up] = x[:, :, row, column]
    return wide


def pad(x: Tensor, before: int, after: int) -> Tensor:
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h + before + after, w + before + after)
    wide[:, :, before : before + h, before : before + w] = x
    return wide


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """True convolution, valid part: out[i, j] = sum over a, b of kernel[a, b] x[i + n-1 - a, j + n-1 - b]."""
    n = kernel.shape[0]
    height, width = x.shape[2] - n + 1, x.shape[3] - n + 1
    out = x.new_zeros(*x.shape[:2], height, width)
    for a, b in itertools.product(range(n), range(n)):
        out += kernel[a, b] * x[:, :, n - 1 - a : n - 1 - a + height, n - 1 - b : n - 1 - b + width]
    return out


def correlate(x: Tensor, weight: Tensor, *, stride: int = 1) -> Tensor:
    """Valid correlation with [O, I, k, k], pixel by pixel."""
    k = weight.shape[-1]
    height, width = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    out = x.new_zeros(x.shape[0], weight.shape[0], height, width)
    for i, j in itertools.product(range(height), range(width)):
        window = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
        out[:, :, i, j] = torch.einsum("nikl,oikl->no", window, weight)
    return out


def close(one: Tensor, other: Tensor, tolerance: float = 1e-12) -> None:
    assert one.shape == other.shape
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_fir_filter_sums_to_one_in_float32() -> None:
    taps = fir_filter((1, 3, 3, 1))
    assert taps.dtype == torch.float32
    assert taps.tolist() == [0.125, 0.375, 0.375, 0.125]


@pytest.mark.parametrize("taps", TAPS[1:])
def test_upsample_is_zero_insertion_padding_and_convolution(taps: tuple[int, ...]) -> None:
    x, n = signal(2, 3, 3, 5), len(taps)
    expected = convolve(pad(insert_zeros(x, 2), (n + 1) // 2, (n - 2) // 2), outer(filter_of(taps)) * 4)
    close(upsample2d(x, filter_of(taps)), expected)


@pytest.mark.parametrize("taps", TAPS[1:])
def test_downsample_is_padding_convolution_and_every_second_pixel(taps: tuple[int, ...]) -> None:
    x, n = signal(2, 3, 6, 10), len(taps)
    expected = convolve(pad(x, (n - 1) // 2, (n - 2) // 2), outer(filter_of(taps)))[:, :, ::2, ::2]
    close(downsample2d(x, filter_of(taps)), expected)


@pytest.mark.parametrize("taps", TAPS)
def test_filter_keeps_size(taps: tuple[int, ...]) -> None:
    x, n = signal(1, 2, 5, 7), len(taps)
    expected = convolve(pad(x, n // 2, (n - 1) // 2), outer(filter_of(taps)))
    close(filter2d(x, filter_of(taps)), expected)
    assert filter2d(x, filter_of(taps)).shape == x.shape


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("taps", TAPS[1:])
def test_up_convolution_filters_then_correlates(taps: tuple[int, ...], k: int) -> None:
    x, weight, n = signal(2, 3, 3, 4), signal(4, 3, k, k, seed=1), len(taps)
    wide = pad(insert_zeros(x, 2), (n + 1) // 2 + k // 2, (n - 2) // 2 + k // 2)
    expected = correlate(convolve(wide, outer(filter_of(taps)) * 4), weight)
    close(upsampling_conv2d(x, weight, filter_of(taps)), expected)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("taps", TAPS[1:])
def test_down_convolution_filters_then_correlates_with_stride(taps: tuple[int, ...], k: int) -> None:
    x, weight, n = signal(2, 3, 4, 8), signal(4, 3, k, k, seed=1), len(taps)
    wide = pad(x, (n - 1) // 2 + k // 2, (n - 2) // 2 + k // 2)
    expected = correlate(convolve(wide, outer(filter_of(taps))), weight, stride=2)
    close(conv2d(x, weight, down=2, taps=filter_of(taps)), expected)


@pytest.mark.parametrize("k", [1, 3])
def test_plain_convolution_is_a_correlation_of_the_same_size(k: int) -> None:
    x, weight = signal(2, 3, 4, 6), signal(4, 3, k, k, seed=1)
    close(conv2d(x, weight), correlate(pad(x, k // 2, k // 2), weight))


@pytest.mark.parametrize(("k", "down"), [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_convolution_adds_a_bias(k: int, down: int) -> None:
    x, weight, bias = signal(1, 3, 4, 6), signal(4, 3, k, k, seed=1), signal(4, seed=2)
    options = {"down": down, "taps": filter_of((1, 3, 3, 1))}
    close(conv2d(x, weight, bias=bias, **options), conv2d(x, weight, **options) + bias[:, None, None])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_few_channels_are_multiplied_as_convolutions_do(layout: torch.memory_format) -> None:
    """The way that images take into D on CUDA."""
    found = []
    for function in (lambda x, w, b: F.conv2d(x, w, b), from_few_channels):
        torch.manual_seed(0)
        x = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
        weight, bias = torch.randn(6, 3, 1, 1, requires_grad=True), torch.randn(6, requires_grad=True)
        y = function(x, weight, bias)
        first = torch.autograd.grad(y.pow(3).sum(), (x, weight, bias), create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), (x, weight, bias))
        found.append([y, *first, *second])
    assert found[1][0].is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_plain_convolution_takes_other_padding() -> None:
    x, weight = signal(1, 3, 4, 6), signal(4, 3, 3, 3, seed=1)
    close(conv2d(x, weight, padding=2), correlate(pad(x, 2, 2), weight))
    close(conv2d(x, weight, padding=0), correlate(x, weight))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_other_factors(factor: int) -> None:
    taps, x = filter_of((1, 3, 3, 1)), signal(1, 2, 4, 8)
    assert upsample2d(x, taps, factor=factor).shape == (1, 2, 4 * factor, 8 * factor)
    assert downsample2d(x, taps, factor=factor).shape == (1, 2, 4 // factor, 8 // factor)


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 4, 1)])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1), (1, 3), (-1, 2), (-1, -2)])
def test_upfirdn_with_any_factor_and_padding(
    taps: tuple[int, ...], up: int, down: int, padding: tuple[int, int]
) -> None:
    x, before, after = signal(1, 2, 7, 8), *padding
    wide = pad(insert_zeros(x, up), max(before, 0), max(after, 0))
    wide = wide[:, :, max(-before, 0) :, max(-before, 0) :]
    wide = wide[:, :, : wide.shape[2] - max(-after, 0), : wide.shape[3] - max(-after, 0)]
    expected = convolve(wide, outer(filter_of(taps)) * 1.5)[:, :, ::down, ::down]
    arguments = {"up": up, "down": down, "padding": Padding(before, after), "gain": 1.5}
    close(upfirdn2d(x, filter_of(taps), **arguments), expected)
    close(upfirdn2d(x, outer(filter_of(taps)), **arguments), expected)


@pytest.mark.parametrize("function", [upsample2d, downsample2d, filter2d])
@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 4, 1)])
def test_taps_in_two_dimensions_equal_those_in_one(function, taps: tuple[int, ...]) -> None:
    x = signal(2, 3, 4, 6)
    close(function(x, outer(filter_of(taps))), function(x, filter_of(taps)))


def test_a_filter_that_does_not_separate() -> None:
    x, kernel = signal(1, 2, 5, 7), signal(3, 3, seed=3)
    close(upfirdn2d(x, kernel, padding=Padding(1, 1)), convolve(pad(x, 1, 1), kernel))
    close(upfirdn2d(x, kernel, padding=Padding(2, 0)), convolve(pad(x, 2, 0), kernel))


def test_a_constant_keeps_its_value_inside_the_border() -> None:
    x = torch.full((1, 1, 6, 8), 3.0, dtype=torch.float64)
    taps = filter_of((1, 3, 3, 1))
    for resampled in (upsample2d(x, taps), downsample2d(x, taps), filter2d(x, taps)):
        inner = resampled[:, :, 2:-2, 2:-2] if resampled.shape[2] > 4 else resampled[:, :, 1:-1, 1:-1]
        close(inner, torch.full_like(inner, 3.0))


def test_halving_needs_taps() -> None:
    with pytest.raises(ValueError, match=r"conv2d: down > 1 needs the taps of a low-pass filter"):
        conv2d(signal(1, 1, 4, 4), signal(1, 1, 3, 3), down=2)


RESAMPLERS = {
    "upsample2d": lambda x, weight: upsample2d(x, filter_of((1, 2, 4, 1)).to(x.dtype)),
    "downsample2d": lambda x, weight: downsample2d(x, filter_of((1, 2, 4, 1)).to(x.dtype)),
    "filter2d": lambda x, weight: filter2d(x, filter_of((1, 2, 4, 1)).to(x.dtype)),
    "upfirdn2d, two dimensions": lambda x, weight: upfirdn2d(
        x, outer(filter_of((1, 2, 4, 1))).to(x.dtype), up=2, padding=Padding(2, 1)
    ),
    "filter2d, many taps": lambda x, weight: filter2d(x, filter_of((1, 2, 3, 4, 5)).to(x.dtype)),
    "upfirdn2d, a remainder": lambda x, weight: upfirdn2d(
        x, filter_of((1, 2, 4, 1)).to(x.dtype), down=3, padding=Padding(2, 3)
    ),
    "conv2d": lambda x, weight: conv2d(x, weight),
    "conv2d, down": lambda x, weight: conv2d(x, weight, down=2, taps=filter_of((1, 2, 4, 1)).to(x.dtype)),
    "conv2d, down, 1x1": lambda x, weight: conv2d(
        x, weight[:, :, :1, :1], down=2, taps=filter_of((1, 2, 4, 1)).to(x.dtype)
    ),
    "upsampling_conv2d": lambda x, weight: upsampling_conv2d(x, weight, filter_of((1, 2, 4, 1)).to(x.dtype)),
    "upsampling_conv2d, 1x1": lambda x, weight: upsampling_conv2d(
        x, weight[:, :, :1, :1], filter_of((1, 2, 4, 1)).to(x.dtype)
    ),
}


@pytest.mark.parametrize("name", RESAMPLERS)
def test_gradients_of_first_and_second_order(name: str) -> None:
    x, weight = signal(1, 2, 4, 6).requires_grad_(), signal(2, 2, 3, 3, seed=1).requires_grad_()
    inputs = (x, weight) if "conv2d" in name else (x,)

    def function(*values: Tensor) -> Tensor:
        return RESAMPLERS[name](values[0], values[-1])

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("function", [upsample2d, downsample2d, filter2d])
def test_second_derivatives_never_go_channel_by_channel(function: Callable[..., Tensor]) -> None:
    x = torch.randn(1, 50, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(function(x, fir_filter((1, 3, 3, 1))).square().sum(), x, create_graph=True)
    with torch.profiler.profile() as recorder:
        slope.square().sum().backward()
    names = [event.name for event in recorder.events()]
    assert 1 <= names.count("aten::convolution") <= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", RESAMPLERS)
def test_every_dtype_gives_the_same_values(name: str, dtype: torch.dtype) -> None:
    x, weight = signal(2, 4, 4, 6), signal(3, 4, 3, 3, seed=1)
    out = RESAMPLERS[name](x.to(dtype), weight.to(dtype))
    assert out.dtype == dtype
    expected = RESAMPLERS[name](x, weight)
    tolerance = {torch.float32: 1e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype] * float(expected.abs().max())
    close(out.double(), expected, tolerance)


@pytest.mark.parametrize("name", RESAMPLERS)
def test_channels_last_comes_back_channels_last(name: str) -> None:
    x, weight = signal(2, 4, 6, 8).float(), signal(3, 4, 3, 3, seed=1).float()
    out = RESAMPLERS[name](x.contiguous(memory_format=torch.channels_last), weight)
    assert out.is_contiguous(memory_format=torch.channels_last)
    close(out, RESAMPLERS[name](x, weight), 1e-5)


@pytest.mark.parametrize("name", RESAMPLERS)
def test_no_input_is_changed(name: str) -> None:
    x, weight = signal(2, 4, 4, 6), signal(3, 4, 3, 3, seed=1)
    before = x.clone(), weight.clone()
    with torch.no_grad():
        RESAMPLERS[name](x, weight)
    assert torch.equal(x, before[0])
    assert torch.equal(weight, before[1])


def test_upsampling_without_a_filter_repeats_pixels() -> None:
    x = signal(1, 2, 3, 4)
    close(upsample2d(x, filter_of((1, 1))), F.interpolate(x, scale_factor=2, mode="nearest"))


# --------------------------------------------------------------------------------------- half precision on CPUs


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_filters_compute_in_fp32_on_cpus_whatever_the_dtype(dtype: torch.dtype, layout: torch.memory_format) -> None:
    """oneDNN never returns from some of these convolutions in bf16, so none is computed in it, even under autocast."""
    x = signal(2, 3, 9, 10).to(dtype).contiguous(memory_format=layout).requires_grad_()
    taps = torch.outer(filter_of((1, 2, 3, 4, 5)), filter_of((1, 2, 3, 4, 5))).float()
    expected = upfirdn2d(x.float(), taps, down=2, padding=Padding(2, 2)).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = upfirdn2d(x, taps, down=2, padding=Padding(2, 2))
    assert got.dtype == dtype
    assert torch.equal(got, expected)
    upstream = torch.ones_like(got)
    (slope,) = torch.autograd.grad(got, x, upstream)
    (expected_slope,) = torch.autograd.grad(expected, x, upstream)
    torch.testing.assert_close(slope, expected_slope)


HANGS = """
import itertools, torch
from sgkit.ops import Padding, upfirdn2d

torch.set_num_threads(1)
for channels, n, axes in itertools.product((2, 3, 8, 16), (12, 16, 24), (1, 2)):
    taps = torch.hann_window(n) if axes == 1 else torch.ones(n, n)
    for up, down in ((1, 1), (2, 1), (1, 2)):
        x = torch.randn(2, channels, 32, 32).contiguous(memory_format=torch.channels_last)
        for dtype in (torch.bfloat16, torch.float32):  # autocast would compute these in bf16 as well
            leaf = x.to(dtype).requires_grad_()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = upfirdn2d(leaf, taps, up=up, down=down, padding=Padding(n // 2, n // 2))
                (slope,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
                slope.square().sum().backward()
"""


def test_filters_return_for_the_shapes_that_hang_in_onednn() -> None:
    """In a process that can be killed: forward, backward, and backward of that."""
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=60)
