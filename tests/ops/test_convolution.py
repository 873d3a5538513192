from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops import conv2d, convolution, fir_filter, upsampling_conv2d
from sgkit.ops.convolution import Geometry, correlation, correlation_adjoint, serves

LAST = torch.channels_last
WAYS = {
    "by rule": {},
    "small": {"_FEW": 0, "_MIN_CHANNELS": 0, "_MIN_TILES": 10**9},
    "winograd": {"_FEW": 10**9, "_MIN_TILES": 0, "_MIN_CHANNELS": 0, "pays_winograd": lambda *_: True},
    "matrices": {"_FEW": 0, "_MIN_CHANNELS": 0, "_MIN_TILES": 10**9, "_POSITIONS": 20},
    "torch": {"_FEW": 10**9, "_MIN_TILES": 10**9, "_MIN_CHANNELS": 10**9},
}
"""What makes the rule choose each way for small shapes."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(convolution, name, value)
    return str(request.param)


def tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (1, 0), (1, 3), (2, 0), (2, 1)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 4), (2, 8, 8), (1, 13, 9)])
def test_values_and_slopes_are_those_of_torch(shape: tuple[int, int, int], stride: int, padding: int) -> None:
    batch, *size = shape
    if min(size) + 2 * padding < 3:
        pytest.skip("nothing to compute")
    geometry = Geometry(stride, padding, (size[0], size[1]))
    x = tensor(batch, 3, *size).contiguous(memory_format=LAST).requires_grad_()
    weight = tensor(2, 3, 3, 3, seed=1).requires_grad_()
    y = correlation(x, weight, stride=stride, padding=padding)
    expected = F.conv2d(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(y, expected)
    assert y.is_contiguous(memory_format=LAST)
    upstream = tensor(*y.shape, seed=2).requires_grad_()
    first = torch.autograd.grad(y, (x, weight), upstream, create_graph=True)
    expected_first = torch.autograd.grad(expected, (x, weight), upstream, create_graph=True)
    torch.testing.assert_close(first, expected_first)
    torch.testing.assert_close(correlation_adjoint(upstream, weight, geometry), expected_first[0])
    second, expected_second = (
        torch.autograd.grad(sum(slope.sin().sum() for slope in slopes), (x, weight, upstream))
        for slopes in (first, expected_first)
    )
    torch.testing.assert_close(second, expected_second)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("stride", [1, 2])
def test_derivatives_against_differences(stride: int) -> None:
    geometry = Geometry(stride, 1, (4, 3))
    inputs = (tensor(1, 2, 4, 3).requires_grad_(), tensor(1, 2, 3, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w: correlation(x, w, stride=stride, padding=1), inputs)
    assert torch.autograd.gradgradcheck(lambda x, w: correlation(x, w, stride=stride, padding=1), inputs)
    y = tensor(1, 1, *convolution.output_size(geometry), seed=2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda y, w: correlation_adjoint(y, w, geometry), (y, inputs[1]))


@pytest.mark.usefixtures("way")
def test_no_images_at_all() -> None:
    x, weight = tensor(0, 3, 6, 6).requires_grad_(), tensor(2, 3, 3, 3, seed=1).requires_grad_()
    y = correlation(x, weight, padding=1)
    assert y.shape == (0, 2, 6, 6)
    slopes = torch.autograd.grad(y.sum(), (x, weight))
    assert slopes[0].shape == x.shape
    assert torch.equal(slopes[1], torch.zeros_like(weight))


@pytest.mark.usefixtures("way")
def test_results_may_be_overwritten() -> None:
    x, weight = tensor(1, 3, 4, 4).requires_grad_(), tensor(2, 3, 3, 3, seed=1).requires_grad_()
    out = correlation(x, weight, padding=1)
    torch.testing.assert_close(out.detach() + 1, out.add_(1))
    adjoint = correlation_adjoint(tensor(1, 2, 2, 2).requires_grad_(), weight, Geometry(2, 0, (5, 5)))
    torch.testing.assert_close(adjoint.detach() + 1, adjoint.add_(1))
    (slope,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    torch.testing.assert_close(slope.detach() + 1, slope.add_(1))


def test_layers_train_equally_in_both_layouts() -> None:
    weight, taps = tensor(4, 3, 3, 3, dtype=torch.float32).requires_grad_(), fir_filter((1, 3, 3, 1))
    planes = tensor(2, 3, 8, 8, seed=1, dtype=torch.float32)
    bias = tensor(4, seed=2, dtype=torch.float32)
    last = planes.contiguous(memory_format=LAST)
    assert serves(last, weight)
    assert not serves(planes, weight)
    for layer in (
        lambda x: conv2d(x, weight, bias=bias),
        lambda x: conv2d(x, weight, down=2, taps=taps),
        lambda x: upsampling_conv2d(x, weight, taps),
    ):
        out, expected = layer(last), layer(planes)
        assert "Backward" in str(out.grad_fn)
        torch.testing.assert_close(out, expected)
        slopes = [torch.autograd.grad(y.square().sum(), weight)[0] for y in (out, expected)]
        torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "dtype", "is_served"),
    [
        ((4, 3, 3, 3), torch.float32, True),
        ((4, 3, 1, 1), torch.float32, False),
        ((4, 3, 5, 5), torch.float32, False),
        ((4, 3, 3, 3), torch.bfloat16, False),
        ((4, 3, 3, 3), torch.float64, False),
    ],
)
def test_it_serves_3x3_in_fp32(shape: tuple[int, ...], dtype: torch.dtype, is_served: bool) -> None:
    x = torch.zeros(1, 3, 8, 8, dtype=dtype).contiguous(memory_format=LAST)
    weight = torch.zeros(shape, dtype=dtype)
    assert serves(x, weight) == is_served
    assert not serves(x, weight.contiguous(memory_format=LAST)) or not is_served
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not serves(x, weight)


@pytest.mark.parametrize(
    ("batch", "channels", "size", "stride", "called"),
    [
        (4, 128, 16, 1, ["winograd_correlation", "winograd_correlation", "winograd_slope"]),
        (4, 64, 32, 1, ["winograd_slope"]),
        (4, 32, 16, 1, []),
        (2, 256, 4, 1, ["_slope_by_matrices"]),
        (4, 128, 33, 2, ["_slope_by_matrices"]),
        (4, 32, 33, 2, []),
    ],
)
def test_the_rule(
    batch: int, channels: int, size: int, stride: int, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The functions that are called for value, slope of the input, slope of the weight; the others are torch's."""
    calls: list[str] = []

    def note(name: str) -> None:
        function = getattr(convolution, name)
        monkeypatch.setattr(convolution, name, lambda *a, **b: calls.append(name) or function(*a, **b))

    for name in ("winograd_correlation", "winograd_slope", "_slope_by_matrices"):
        note(name)
    x = torch.zeros(batch, channels, size, size).contiguous(memory_format=LAST).requires_grad_()
    weight = torch.zeros(channels, channels, 3, 3, requires_grad=True)
    correlation(x, weight, stride=stride, padding=1 if stride == 1 else 0).sum().backward()
    assert calls == called


def test_rounding_of_winograds_slopes_is_about_that_of_plain_sums() -> None:
    x, y = tensor(2, 128, 32, 32), tensor(2, 128, 32, 32, seed=1)
    weight = torch.zeros(128, 128, 3, 3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, padding=1), weight, y)
    found = convolution.winograd_slope(x.float(), y.float(), padding=1)
    error = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert float(error) < 2.5e-6  # 1.5e-6; that of torch's operator 0.4e-6
