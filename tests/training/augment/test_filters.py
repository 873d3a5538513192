from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradgradcheck

from sgkit.training.augment import AugmentPipe
from sgkit.training.augment.filters import amplify_bands, band_filters, band_gains
from sgkit.training.augment.wavelets import SYM2

Maker = Callable[..., Any]
PIPE = AugmentPipe(filter=1.0)


def test_the_bands_sum_to_an_impulse() -> None:
    total = np.sum(band_filters(), axis=0)
    np.testing.assert_allclose(total, np.eye(43)[21], atol=1e-12)


def test_bands_have_the_responses_of_the_filter_bank() -> None:
    """|H(w)|^2 / 2 of the wavelet, at 1, 2 and 4 times the frequency: equation of the dyadic bank."""
    w = np.linspace(0, np.pi, 33)

    def low(w: np.ndarray) -> np.ndarray:
        return np.abs(np.exp(-1j * np.outer(w, np.arange(4))) @ np.array(SYM2)) ** 2 / 2

    high = [low(octave * w + np.pi) for octave in (1, 2, 4)]
    lows = [low(w), low(w) * low(2 * w), low(w) * low(2 * w) * low(4 * w)]
    wanted = [lows[2], lows[1] * high[2], lows[0] * high[1], high[0]]
    responses = np.array(band_filters()) @ np.cos(np.outer(np.arange(43) - 21, w))
    np.testing.assert_allclose(responses, wanted, atol=1e-12)


def test_gains_keep_the_power_of_natural_images(draw: Maker) -> None:
    random = draw(10)
    gains = band_gains(random, p=1.0, pipe=PIPE)
    for row in range(10):
        total = np.ones(4)
        for band in range(4):
            gain = np.ones(4)
            gain[band] = 2.0 ** float(random.normal(f"filter{band}")[row])
            total *= gain / np.sqrt((np.array([10, 1, 1, 1]) / 13) @ gain**2)
        np.testing.assert_allclose(gains[row], total, rtol=1e-5)


@pytest.mark.parametrize("size", [(48, 44), (12, 30)])
def test_filtering_is_a_separable_convolution_of_the_reflected_image(
    draw: Maker, pictures: Maker, size: tuple[int, int]
) -> None:
    images, random = pictures(3, size, 4).double(), draw(3, size, 4)
    filtered = amplify_bands(images, random, p=1.0, pipe=PIPE)
    gains = band_gains(random, p=1.0, pipe=PIPE).double().numpy()
    for row in range(3):
        taps = gains[row] @ np.array(band_filters())
        for channel in range(3):
            wanted = np.pad(images[row, channel].numpy(), 21, mode="reflect")
            wanted = np.stack([np.convolve(line, taps, mode="valid") for line in wanted])
            wanted = np.stack([np.convolve(line, taps, mode="valid") for line in wanted.T]).T
            np.testing.assert_allclose(filtered[row, channel], wanted, atol=1e-12)
    assert torch.equal(filtered[:, 3], images[:, 3])


def test_constants_are_scaled_by_the_lowest_gain(draw: Maker) -> None:
    random = draw(4)
    gains = band_gains(random, p=1.0, pipe=PIPE)[:, 0]
    filtered = amplify_bands(torch.full((4, 3, 16, 16), 0.5), random, p=1.0, pipe=PIPE)
    torch.testing.assert_close(filtered, (0.5 * gains.square())[:, None, None, None].expand_as(filtered))


def test_bands_may_be_left_out(draw: Maker) -> None:
    random = draw(4)
    pipe = AugmentPipe(filter=1.0, filter_bands=(0.0, 0.0, 0.0, 1.0))
    gains = band_gains(random, p=1.0, pipe=pipe)
    assert torch.equal(gains[:, 0], gains[:, 1])
    assert (gains[:, 3] / gains[:, 0] - torch.exp2(random.normal("filter3"))).abs().max() < 1e-5


def test_second_derivatives(draw: Maker, pictures: Maker) -> None:
    images = pictures(2, (4, 3), 1).double().requires_grad_()
    random = draw(2, (4, 3), 1)
    assert gradgradcheck(lambda x: amplify_bands(x, random, p=1.0, pipe=PIPE).pow(3), images)
