from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sgkit.metrics.moving import moved_by_pixels, moved_by_sinc, rotation_filter, turned, turned_twice


def smooth(size: int = 32, *, by: tuple[float, float] = (0.0, 0.0), angle: float = 0.0) -> torch.Tensor:
    """A band-limited picture, moved right and down in pixels, or turned counter-clockwise about its middle."""
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) + 0.5 - size / 2] * 2, indexing="ij")
    x, y = x - by[0], y - by[1]
    x, y = math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y
    return (torch.sin(0.5 * x + 0.3 * y) + torch.cos(0.2 * x - 0.6 * y + 1))[None, None] / 2


def brute_sinc(image: np.ndarray, right: float, down: float) -> np.ndarray:
    """The windowed sinc of 3 lobes as a sum over source pixels, each axis normalised."""

    def matrix(side: int, amount: float) -> np.ndarray:
        weights = np.zeros((side, side))
        fraction = amount - math.floor(amount)
        total = sum(np.sinc(k - fraction) * np.sinc((k - fraction) / 3) for k in range(-2, 4))
        for n in range(side):
            for source in range(side):
                place = n - source - amount
                if abs(place) < 3:
                    weights[n, source] = np.sinc(place) * np.sinc(place / 3) / total
        return weights

    return matrix(image.shape[0], down) @ image @ matrix(image.shape[1], right).T


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, -2), (-5, 1), (40, 0)])
def test_whole_pixels_are_moved_exactly(right: int, down: int) -> None:
    moved, mask = moved_by_pixels(smooth(), right, down)
    expected = smooth(by=(right, down))
    assert torch.equal(moved * mask, moved)
    torch.testing.assert_close(moved, expected * mask)
    assert mask.sum() == max(32 - abs(right), 0) * (32 - abs(down))


@pytest.mark.parametrize(("right", "down"), [(0.0, 0.0), (2.5, -1.25), (-3.75, 0.4), (1.0, -30.5)])
def test_fractions_are_windowed_sincs(right: float, down: float) -> None:
    moved, mask = moved_by_sinc(smooth(), right, down)
    expected = brute_sinc(smooth()[0, 0].numpy(), right, down)
    np.testing.assert_allclose((moved * mask)[0, 0].numpy(), expected * mask[0, 0].numpy(), atol=1e-12)
    whole = [math.floor(right), math.floor(down)]
    sides = [max(32 + min(w - 2, 0) - max(w + 3, 0), 0) for w in whole]
    assert mask.sum() == sides[0] * sides[1]


@pytest.mark.parametrize("fine", [1, 4])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_filter_is_the_convolution_of_both_grids_filters(fine: int, angle: float) -> None:
    """A direct sum over the plane at a few places of the filter, in place of two Fourier transforms."""
    taps = rotation_filter(angle, fine=fine).numpy()
    side = np.arange(-64 * fine + 1, 64 * fine) / fine
    v, u = np.meshgrid(side, side, indexing="ij")
    c, s = math.cos(angle), math.sin(angle)
    window = lambda x: np.sinc(x / 3) * (np.abs(x) < 3)  # noqa: E731
    middle, half = len(taps) // 2, 64 * fine - 1
    found, expected = [], []
    for row, column in ((0, 0), (1, 2), (3, -1)):
        values = []
        for function in (np.sinc, window):
            own = function(u) * function(v)
            other = np.roll(function(c * u + s * v) * function(-s * u + c * v), (0, 0))
            # sum over p of own(p) other(x - p), around the plane as a circle
            shifted = np.roll(other[::-1, ::-1], (row + 0, column + 0), axis=(0, 1))
            values.append((own * shifted).sum())
        expected.append(values[0] * values[1])
        found.append(taps[middle + row, middle + column])
    assert half == 64 * fine - 1
    phases = np.pad(taps, ((0, 1), (0, 1))).reshape(12, fine, 12, fine).sum(axis=(0, 2))
    np.testing.assert_allclose(phases, 1 / fine**2)
    if fine == 1:  # one phase: normalised by a single number
        assert np.array(found) / found[0] == pytest.approx(np.array(expected) / expected[0], abs=1e-9)


@pytest.mark.parametrize("angle", [0.3, -2.0, math.pi / 2])
def test_turning_agrees_with_the_turned_picture(angle: float) -> None:
    found, mask = turned(smooth(48), angle)
    expected, other = turned_twice(smooth(48, angle=angle), angle)
    both = (mask * other).bool()
    assert both.sum() > 400
    torch.testing.assert_close(found[both], expected[both], atol=5e-3, rtol=0)
    assert (found - smooth(48, angle=-angle))[both].abs().max() > 0.3
