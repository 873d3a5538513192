"""Each loss against a float64 transcription of its formula, on networks whose derivatives are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sgkit.training.losses import (
    class_loss,
    d_loss,
    drift_penalty,
    g_loss,
    gradient_penalty,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)

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


GAMES = {
    "saturating": (lambda r, f: -minus_log(sigmoid(-f), sigmoid(f)), None),
    "wgan": (lambda r, f: -f, lambda r, f: f - r),
    "hinge": (lambda r, f: -f, lambda r, f: max(0.0, 1 - r) + max(0.0, 1 + f)),
    "relativistic": (
        lambda r, f: minus_log(sigmoid(f - r), sigmoid(r - f)),
        lambda r, f: minus_log(sigmoid(r - f), sigmoid(f - r)),
    ),
}


@pytest.mark.parametrize("name", GAMES)
def test_the_other_games(name: str) -> None:
    reals, fakes = LOGITS, LOGITS[::-1]
    g_formula, d_formula = GAMES[name]
    pairs = list(zip(reals, fakes, strict=True))
    real, fake = torch.tensor(reals)[:, None], torch.tensor(fakes)[:, None]
    assert g_loss(name, fake, real).tolist() == pytest.approx([g_formula(r, f) for r, f in pairs], rel=1e-5, abs=1e-7)
    d_formula = d_formula or (lambda r, f: minus_log(sigmoid(r), sigmoid(-r)) + minus_log(sigmoid(-f), sigmoid(f)))
    assert d_loss(name, real, fake).tolist() == pytest.approx([d_formula(r, f) for r, f in pairs], rel=1e-5)


def test_drift_is_the_square_of_real_logits() -> None:
    assert drift_penalty(torch.tensor([[3.0], [-0.5]])).tolist() == [9.0, 0.25]


def test_class_loss_is_the_cross_entropy() -> None:
    logits = [[0.3, -1.2, 2.0], [5.0, 5.0, 5.0]]
    labels = [[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]
    expected = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(math.exp(x) for x in row)
        expected.append(-sum(y * math.log(math.exp(x) / total) for x, y in zip(row, label, strict=True)))
    assert class_loss(torch.tensor(logits), torch.tensor(labels)).tolist() == pytest.approx(expected, rel=1e-6)


def test_gradient_penalty_of_a_linear_discriminator() -> None:
    # D(x) = sum(a x), so |dD/dx| = |a| at every image.
    torch.manual_seed(0)
    a = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    images = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    logits = (a * images).sum(dim=(1, 2, 3))[:, None]
    norm = float(a.detach().square().sum().sqrt())
    penalty = gradient_penalty(images, logits, weight=10.0, scale=0.5)
    assert penalty.tolist() == pytest.approx([10 * (norm / 2 - 1) ** 2] * 5)
    (slope,) = torch.autograd.grad(penalty.sum(), a)
    torch.testing.assert_close(slope, 5 * 20 * (norm / 2 - 1) * 0.5 * a.detach() / norm)


def test_gradient_penalty_of_a_constant_has_a_finite_slope() -> None:
    a = torch.zeros(3, 4, 4, requires_grad=True)
    images = torch.randn(2, 3, 4, 4, requires_grad=True)
    gradient_penalty(images, (a * images).sum(dim=(1, 2, 3))[:, None], weight=10.0).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()


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
