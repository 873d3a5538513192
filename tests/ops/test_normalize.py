from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sgkit.ops import equalized_gain, instance_norm, minibatch_stddev, normalize_2nd_moment


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def stddev_by_hand(x: Tensor, group: int, features: int) -> Tensor:
    """Sample j is in group j mod (N / G); deviation over the group, mean over a share of channels and all pixels."""
    batch, channels, height, width = x.shape
    groups, share = batch // group, channels // features
    out = torch.zeros(batch, features, height, width, dtype=x.dtype)
    for g in range(groups):
        members = [j for j in range(batch) if j % groups == g]
        for f in range(features):
            total = 0.0
            for c in range(f * share, (f + 1) * share):
                for i in range(height):
                    for j in range(width):
                        values = [float(x[m, c, i, j]) for m in members]
                        mean = sum(values) / group
                        total += math.sqrt(sum((v - mean) ** 2 for v in values) / group + 1e-8)
            for m in members:
                out[m, f] = total / (share * height * width)
    return torch.cat([x, out], dim=1)


@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize(("batch", "group_size", "group"), [(8, 4, 4), (8, 2, 2), (3, 4, 3), (6, None, 6), (4, 1, 1)])
def test_minibatch_stddev_of_strided_groups(batch: int, group_size: int | None, group: int, features: int) -> None:
    x = tensor(batch, 4, 2, 3)
    out = minibatch_stddev(x, group_size=group_size, num_channels=features)
    torch.testing.assert_close(out, stddev_by_hand(x, group, features), rtol=1e-12, atol=1e-12)


def test_minibatch_stddev_groups_are_strided_not_neighbours() -> None:
    x = tensor(1, 2, 2, 2).expand(2, -1, -1, -1).repeat_interleave(2, dim=0)  # equal but for what follows
    x = x + torch.tensor([0.0, 0.0, 5.0, 0.0], dtype=x.dtype)[:, None, None, None]
    appended = minibatch_stddev(x, group_size=2)[:, -1, 0, 0]
    assert appended[0] == appended[2] == pytest.approx(2.5)
    assert appended[1] == appended[3] == pytest.approx(1e-4)


@pytest.mark.parametrize(("batch", "features"), [(6, 1), (4, 3)])
def test_minibatch_stddev_refuses_what_does_not_divide(batch: int, features: int) -> None:
    with pytest.raises(ValueError, match=rf"a batch of {batch} with 4 channels does not divide into groups of 4 with"):
        minibatch_stddev(tensor(batch, 4, 2, 2), group_size=4, num_channels=features)


def test_minibatch_stddev_keeps_channels_last() -> None:
    x = tensor(4, 6, 3, 5).contiguous(memory_format=torch.channels_last)
    out = minibatch_stddev(x, group_size=4)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, minibatch_stddev(x.contiguous(), group_size=4))


def test_minibatch_stddev_computes_half_precision_in_float32() -> None:
    x = (1 + 0.01 * tensor(4, 2, 3, 3)).half()
    expected = minibatch_stddev(x.double(), group_size=4)[:, -1]
    out = minibatch_stddev(x, group_size=4)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out[:, -1].double(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("group_size", [2, None])
def test_minibatch_stddev_gradients(group_size: int | None) -> None:
    x = tensor(4, 2, 2, 2).requires_grad_()

    def function(value: Tensor) -> Tensor:
        return minibatch_stddev(value, group_size=group_size)

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True)


def test_minibatch_stddev_of_equal_samples_has_finite_gradients() -> None:
    x = torch.ones(4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(minibatch_stddev(x, group_size=4).sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("shape", "dim"), [((3, 8), 1), ((2, 4, 3, 5), 1), ((3, 8), 0)])
def test_second_moment_becomes_one(shape: tuple[int, ...], dim: int) -> None:
    x = tensor(*shape) * 30
    out = normalize_2nd_moment(x, dim=dim)
    torch.testing.assert_close(out.square().mean(dim=dim), torch.ones_like(out.select(dim, 0)))
    torch.testing.assert_close(out, x / (x.square().mean(dim=dim, keepdim=True) + 1e-8).sqrt())


def test_second_moment_of_zero_stays_zero() -> None:
    assert torch.equal(normalize_2nd_moment(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_instance_norm_is_over_pixels_of_one_channel_and_sample() -> None:
    x = tensor(2, 3, 4, 5) * 3 + 7
    out = instance_norm(x)
    for n in range(2):
        for c in range(3):
            centred = x[n, c] - x[n, c].mean()
            torch.testing.assert_close(out[n, c], centred / (centred.square().mean() + 1e-8).sqrt())


def test_instance_norm_takes_the_eps_of_its_network() -> None:
    x = tensor(1, 1, 2, 2) * 1e-3
    centred = x - x.mean()
    torch.testing.assert_close(instance_norm(x, eps=1e-5), centred / (centred.square().mean() + 1e-5).sqrt())


@pytest.mark.parametrize("function", [normalize_2nd_moment, instance_norm])
def test_gradients_of_first_and_second_order(function) -> None:
    x = tensor(2, 3, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True)


@pytest.mark.parametrize("shape", [(7, 16), (7, 4, 2, 2), (7, 16, 1, 1)])
def test_equalized_gain_divides_by_the_root_of_fan_in(shape: tuple[int, ...]) -> None:
    assert equalized_gain(shape) == pytest.approx(0.25)
    assert equalized_gain(shape, gain=2.0, lr_multiplier=0.01) == pytest.approx(0.005)
