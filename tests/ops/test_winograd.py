from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgkit.ops import conv2d, modulated_conv2d, pays_winograd, winograd_conv2d, winograd_weight


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (2, 3, 8, 8), (3, 2, 5, 11), (1, 4, 3, 3), (40, 1, 22, 21)])
def test_it_is_the_correlation(shape: tuple[int, ...], padding: int) -> None:
    x, weight = tensor(*shape), tensor(5, shape[1], 3, 3, seed=1)
    out = winograd_conv2d(x, winograd_weight(weight), padding=padding)
    torch.testing.assert_close(out, F.conv2d(x, weight, padding=padding), rtol=1e-12, atol=1e-12)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_gradients_of_first_and_second_order(padding: int) -> None:
    transformed = winograd_weight(tensor(3, 2, 3, 3, seed=1))
    x = tensor(2, 2, 5, 6).requires_grad_()

    def function(x: Tensor) -> Tensor:
        return winograd_conv2d(x, transformed, padding=padding).square()

    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def test_the_rounding_is_about_that_of_the_plain_sum() -> None:
    x, weight = tensor(1, 256, 16, 16), tensor(64, 256, 3, 3, seed=1) / 48
    expected = F.conv2d(x, weight, padding=1)
    out = winograd_conv2d(x.float(), winograd_weight(weight.float()))
    assert float((out - expected).square().mean().sqrt()) < 2.5e-6  # 1.4e-6; with the usual points 3.3e-6
    assert float((out - expected).abs().max()) < 4e-5


def test_autocast_changes_nothing() -> None:
    x, transformed = tensor(1, 4, 8, 8).float(), winograd_weight(tensor(4, 4, 3, 3).float())
    expected = winograd_conv2d(x, transformed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(winograd_conv2d(x, transformed), expected)


def test_convolutions_take_a_transformed_weight() -> None:
    x, weight, styles, bias = tensor(2, 3, 8, 8), tensor(4, 3, 3, 3, seed=1), tensor(2, 3, seed=2), tensor(4, seed=3)
    transformed = winograd_weight(weight)
    torch.testing.assert_close(conv2d(x, transformed, bias=bias), conv2d(x, weight, bias=bias))
    recorded = conv2d(x.requires_grad_(), transformed, bias=bias)  # whose result may be overwritten
    torch.testing.assert_close(recorded, conv2d(x, weight, bias=bias))
    for rows in (slice(2), slice(1)):  # also one style on a canvas that is larger than the weight
        torch.testing.assert_close(
            modulated_conv2d(x[rows], weight, styles[rows], bias=bias, laid_out=transformed),
            modulated_conv2d(x[rows], weight, styles[rows], bias=bias),
        )


@pytest.mark.parametrize(
    ("shape", "dtype", "pays"),
    [
        ((128, 128, 3, 3), torch.float32, True),
        ((128, 64, 3, 3), torch.float32, False),
        ((128, 128, 1, 1), torch.float32, False),
        ((128, 128, 3, 3), torch.bfloat16, False),
        ((128, 128, 3, 3), torch.float64, False),
    ],
)
def test_it_pays_for_many_channels_in_fp32(shape: tuple[int, ...], dtype: torch.dtype, pays: bool) -> None:
    assert pays_winograd(torch.empty(shape), dtype) == pays
