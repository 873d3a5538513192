"""Each loss against a float64 transcription of its formula, on networks whose derivatives are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sgkit.training.losses import d_loss, g_loss, path_length_penalty, path_lengths, r1_penalty

LOGITS = [-30.0, -2.0, -0.1, 0.0, 0.3, 4.0, 30.0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def minus_log(p: float, q: float) -> float:
    """-log(p), from q = 1 - p where p rounds to 1."""
    return -math.log(p) if p < 0.5 else -math.log1p(-q)


def test_generator_loss_is_minus_log_of_the_probability_of_real() -> None:
    expected = [minus_log(sigmoid(x), sigmoid(-x)) for x in LOGITS]
    assert g_loss("nonsaturating", torch.tensor(LOGITS)[:, None]).tolist() == pytest.approx(expected, rel=1e-5)


def test_discriminator_loss_is_the_cross_entropy_of_real_and_fake() -> None:
    fakes = LOGITS[::-1]
    expected = [
        minus_log(sigmoid(real), sigmoid(-real)) + minus_log(sigmoid(-fake), sigmoid(fake))
        for real, fake in zip(LOGITS, fakes, strict=True)
    ]
    got = d_loss("nonsaturating", torch.tensor(LOGITS)[:, None], torch.tensor(fakes)[:, None])
    assert got.tolist() == pytest.approx(expected, rel=1e-5)


def test_losses_of_half_precision_logits_are_float32() -> None:
    logits = torch.tensor([[0.5]], dtype=torch.bfloat16)
    assert g_loss("nonsaturating", logits).dtype == torch.float32
    assert d_loss("nonsaturating", logits, logits).dtype == torch.float32


def test_r1_of_a_quadratic_discriminator() -> None:
    # D(x) = sum(a x^2) / 2, so dD/dx = a x and the penalty is gamma / 2 * sum(a^2 x^2), image by image.
    torch.manual_seed(0)
    a = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    images = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    logits = (a * images.square()).sum(dim=(1, 2, 3))[:, None] / 2
    penalty = r1_penalty(images, logits, gamma=7.0)
    # Logits enter in float32, which the derivative of a sum does not feel.
    torch.testing.assert_close(penalty, 3.5 * (a * images).square().sum(dim=(1, 2, 3)))
    (slope,) = torch.autograd.grad(penalty.sum(), a)
    torch.testing.assert_close(slope, 7.0 * (a * images.square()).sum(dim=0).detach())


def linear_generator(weights: Tensor, ws: Tensor) -> Tensor:
    """Images [N, C, H, W] whose derivative by w+ is ``weights`` [num_ws, w_dim, C, H, W]."""
    return torch.einsum("nkd,kdchw->nchw", ws, weights)


def test_path_lengths_of_a_linear_generator() -> None:
    torch.manual_seed(1)
    weights = torch.randn(4, 6, 3, 8, 2, dtype=torch.float64)
    ws = torch.randn(5, 4, 6, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(5, 3, 8, 2, dtype=torch.float64)
    lengths = path_lengths(linear_generator(weights, ws), ws, noise)
    for row in range(5):
        squares = [
            sum(float((weights[k, d] * noise[row]).sum() / math.sqrt(16)) ** 2 for d in range(6)) for k in range(4)
        ]
        assert float(lengths[row]) == pytest.approx(math.sqrt(sum(squares) / 4), rel=1e-6)


def test_path_length_penalty_reaches_the_generator() -> None:
    # One layer, one feature, one pixel: the length is |weight * noise|.
    weights = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    ws = torch.tensor([[[1.0]], [[-2.0]]], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([0.5, -2.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    lengths = path_lengths(linear_generator(weights.reshape(1, 1, 1, 1, 1), ws), ws, noise)
    assert lengths.tolist() == pytest.approx([1.5, 6.0])
    penalty = path_length_penalty(lengths, torch.tensor(2.0))
    assert penalty.tolist() == pytest.approx([0.25, 16.0])
    (slope,) = torch.autograd.grad(penalty.sum(), weights)
    assert float(slope) == pytest.approx(2 * (1.5 - 2) * 0.5 + 2 * (6 - 2) * 2)
