from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sgkit.ops import ACTIVATIONS, bias_act

BY_HAND = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0) * math.sqrt(2),
    "lrelu": lambda x: (x if x > 0 else 0.2 * x) * math.sqrt(2),
}


def tensor(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_every_activation_is_tested() -> None:
    assert set(BY_HAND) == set(ACTIVATIONS)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", BY_HAND)
def test_bias_gain_and_clamp_in_this_order(name: str, shape: tuple[int, ...]) -> None:
    x, bias = tensor(*shape), torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64)
    out = bias_act(x, bias, activation=name, gain=0.7, clamp=0.9)
    for index, value in zip(torch.cartesian_prod(*map(torch.arange, shape)), out.flatten(), strict=True):
        expected = 0.7 * BY_HAND[name](float(x[tuple(index)]) + float(bias[index[1]]))
        assert float(value) == pytest.approx(min(max(expected, -0.9), 0.9))


@pytest.mark.parametrize("name", ["relu", "lrelu"])
def test_unit_variance_goes_in_and_comes_out(name: str) -> None:
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    second_moment = float(bias_act(x[None], activation=name).square().mean())
    assert second_moment == pytest.approx({"relu": 1.0, "lrelu": 1.04}[name], rel=0.02)


def test_nothing_to_do_changes_nothing() -> None:
    x = tensor(2, 3)
    assert torch.equal(bias_act(x), x)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_gain_may_move_before_the_nonlinearity(name: str) -> None:
    x = tensor(4, 5)
    torch.testing.assert_close(bias_act(x * 3, activation=name), bias_act(x, activation=name, gain=3.0))


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_gradients_of_first_and_second_order(name: str, clamp: float | None) -> None:
    x, bias = tensor(2, 3, 2, 2).requires_grad_(), tensor(3).requires_grad_()

    def function(*values: Tensor) -> Tensor:
        return bias_act(*values, activation=name, gain=0.7, clamp=clamp)

    assert torch.autograd.gradcheck(function, (x, bias))
    assert torch.autograd.gradgradcheck(function, (x, bias))


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_gradients_where_the_input_is_overwritten(name: str, clamp: float | None) -> None:
    x, bias = tensor(2, 3, 2, 2).requires_grad_(), tensor(3).requires_grad_()

    def function(x: Tensor, bias: Tensor) -> Tensor:
        return bias_act(x * 2, bias, activation=name, gain=0.7, clamp=clamp, overwrite=True)

    assert torch.equal(function(x, bias), bias_act(x * 2, bias, activation=name, gain=0.7, clamp=clamp))
    assert torch.autograd.gradcheck(function, (x, bias))
    assert torch.autograd.gradgradcheck(function, (x, bias))


def test_an_overwritten_input_holds_the_result() -> None:
    x, bias = tensor(2, 3).requires_grad_() * 1, tensor(3).requires_grad_()
    assert bias_act(x, bias, activation="lrelu", overwrite=True).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_of_the_features_stays(dtype: torch.dtype) -> None:
    x, bias = tensor(2, 3, 4, 4), tensor(3)
    out = bias_act(x.to(dtype), bias.float(), activation="lrelu")
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), bias_act(x, bias, activation="lrelu"), rtol=0, atol=0.05)


def test_channels_last_stays() -> None:
    x = tensor(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    out = bias_act(x, torch.ones(3), activation="lrelu", gain=2.0, clamp=3.0)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("grad", [False, True])
def test_the_input_is_not_changed(grad: bool) -> None:
    x = tensor(2, 3)
    copy = x.clone()
    with torch.set_grad_enabled(grad):
        bias_act(x, torch.ones(3), activation="lrelu", clamp=0.1)
    assert torch.equal(x, copy)
