from __future__ import annotations

import numpy as np
import pytest
import torch

from sgkit.training.augment.wavelets import SYM2, SYM6, TAPS, enlarge, reduce


@pytest.mark.parametrize(("taps", "moments"), [(SYM2, 2), (SYM6, 6)])
def test_the_filters_are_orthonormal_with_vanishing_moments(taps: tuple[float, ...], moments: int) -> None:
    h = np.array(taps)
    assert h.sum() == pytest.approx(2**0.5, abs=1e-10)
    for shift in range(len(h) // 2):
        assert h[: len(h) - 2 * shift] @ h[2 * shift :] == pytest.approx(float(shift == 0), abs=1e-10)
    high = h * (-1.0) ** np.arange(len(h))
    for moment in range(moments):
        assert high @ (np.arange(len(h)) - len(h) / 2) ** moment == pytest.approx(0, abs=1e-9)


def continued(signal: np.ndarray) -> np.ndarray:
    """The signal [n] between its reflections, zeros around: index i is at i + 4 * n."""
    n = len(signal)
    around = np.zeros(9 * n)
    around[3 * n + 1 : 6 * n - 1] = np.pad(signal, n - 1, mode="reflect")
    return around


def enlarged_by_hand(signal: np.ndarray, first: int, last: int) -> list[float]:
    """u[j] = sqrt 2 * sum over i of h[j + 5 - 2 i] x[i]."""
    x, offset = continued(signal), 4 * len(signal)
    taps = dict(enumerate(SYM6))
    indices = range(-2 * len(signal), 3 * len(signal))
    return [
        2**0.5 * sum(taps.get(j + 5 - 2 * i, 0.0) * x[i + offset] for i in indices) for j in range(2 * first, 2 * last)
    ]


@pytest.mark.parametrize(("first", "last"), [(0, 20), (-3, 9), (5, 26), (-19, 39), (-19, -18)])
@pytest.mark.parametrize("dim", [-1, -2])
def test_enlarging_is_its_formula(first: int, last: int, dim: int) -> None:
    signal = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = signal.reshape(1, 1, 1, 20).expand(2, 3, 4, 20)
    images = images if dim == -1 else images.mT
    large = enlarge(images, first, last, dim=dim)
    wanted = torch.tensor(enlarged_by_hand(signal.numpy(), first, last), dtype=torch.float64)
    assert large.shape[dim] == 2 * (last - first)
    torch.testing.assert_close(large if dim == -1 else large.mT, wanted.expand(2, 3, 4, -1))


@pytest.mark.parametrize("side", [7, 16, 21])
@pytest.mark.parametrize("dim", [-1, -2])
def test_reducing_is_its_formula_and_undoes_enlarging(side: int, dim: int) -> None:
    images = torch.randn(2, 3, 24, 24, dtype=torch.float64).narrow(dim, 0, side)
    large = enlarge(images, -3, side + 3, dim=dim).narrow(dim, 1, 2 * side + TAPS - 2)
    torch.testing.assert_close(reduce(large, side, dim=dim), images)
    noise = torch.randn_like(large)
    by_hand = sum(
        tap * noise.narrow(dim, k, 2 * side - 1).index_select(dim, torch.arange(0, 2 * side, 2))
        for k, tap in enumerate(SYM6)
    )
    torch.testing.assert_close(reduce(noise, side, dim=dim), by_hand / 2**0.5)
