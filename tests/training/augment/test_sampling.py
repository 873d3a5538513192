from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from sgkit.training.augment.sampling import sample_bilinear


@pytest.fixture
def grid() -> Tensor:
    return torch.rand(2, 4, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2.6 - 1.3


def by_hand(image: Tensor, x: float, y: float) -> Tensor:
    """One place of one image [C, H, W] by the formula."""
    height, width = image.shape[1:]
    column, row = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
    total = torch.zeros(len(image), dtype=image.dtype)
    for i in range(height):
        for j in range(width):
            total += image[:, i, j] * max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j))
    return total


def test_it_weighs_four_neighbours(grid: Tensor) -> None:
    images = torch.randn(2, 3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.stack(
        [
            torch.stack([by_hand(image, *place) for place in places.flatten(0, 1).tolist()], dim=1)
            for image, places in zip(images, grid, strict=True)
        ]
    ).reshape(2, 3, 4, 5)
    torch.testing.assert_close(sample_bilinear(images, grid), wanted, rtol=1e-12, atol=1e-12)


def test_first_and_second_derivatives(grid: Tensor) -> None:
    images = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: sample_bilinear(x, grid), images)
    assert gradgradcheck(lambda x: sample_bilinear(x, grid), images)


def test_it_takes_views(grid: Tensor) -> None:
    images = torch.randn(2, 3, 6, 14, dtype=torch.float64)
    view = images[..., ::2].requires_grad_()
    torch.testing.assert_close(sample_bilinear(view, grid), sample_bilinear(view.contiguous(), grid))
    (gradient,) = torch.autograd.grad(sample_bilinear(view, grid).sum(), view)
    assert gradient.shape == view.shape
