from __future__ import annotations

import numpy as np
import pytest
import torch

from sgkit.errors import InputError
from sgkit.metrics.structural_similarity import PairSimilarity, ms_ssim
from tests.compare import other


def pair(size: int = 192, *, noise: float = 40.0, num: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images and noisy copies of them, the same on every machine."""
    places = torch.arange(size, dtype=torch.float64) / size
    waves = [torch.sin(6.28 * (a * places[:, None] + b * places)) for a, b in ((1, 2), (3, 1), (2, 5))]
    first = torch.stack([torch.stack(waves) * (1 - 0.5 * n) for n in range(num)]) * 100 + 128
    second = first + noise * torch.from_numpy(np.random.RandomState(0).uniform(-1, 1, first.shape))
    return first.round().clamp(0, 255).to(torch.uint8), second.round().clamp(0, 255).to(torch.uint8)


GOLDEN = [0.9029304128114023, 0.816462417663014]
"""Of torchmetrics 1.9 for :func:`pair`: MultiScaleStructuralSimilarityIndexMeasure, data_range=255."""


def test_equals_torchmetrics_as_recorded() -> None:
    assert ms_ssim(*pair(), border="reflect").tolist() == pytest.approx(GOLDEN, abs=1e-6)


def test_equals_torchmetrics() -> None:
    theirs = other("torchmetrics.image").MultiScaleStructuralSimilarityIndexMeasure
    measure = theirs(data_range=255.0, reduction="none", normalize="relu")
    first, second = (images.double() for images in pair())
    assert ms_ssim(first, second, border="reflect").tolist() == pytest.approx(measure(first, second).tolist(), abs=1e-6)
    assert measure(first, second).tolist() == pytest.approx(GOLDEN, abs=1e-6)


@pytest.mark.parametrize("size", [16, 64, 65])
def test_small_images_have_a_value_between_that_of_equal_and_unlike_ones(size: int) -> None:
    first, second = pair(size, noise=60)
    assert ms_ssim(first, first).tolist() == pytest.approx([1, 1])
    values = ms_ssim(first, second)
    assert (values < 1).all()
    assert (values > ms_ssim(first, 255 - first)).all()


def test_small_windows_are_narrower_gaussians() -> None:
    """16 px, one level transcribed: sizes 16 to 1 have windows of 11, 8, 4, 2 and 1 pixels."""
    first, second = (x[:1].double().numpy() for x in pair(16))
    expected, weights = 1.0, [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    for level, weight in enumerate(weights):
        size = min(11, first.shape[2])
        offsets = np.arange(size) - (size - 1) / 2
        taps = np.exp(-(offsets**2) / (2 * (1.5 * size / 11) ** 2))
        window = np.outer(taps, taps) / taps.sum() ** 2
        views = [np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3)) for x in (first, second)]
        mean = [(v * window).sum(axis=(4, 5)) for v in views]
        moment = lambda a, b: (views[a] * views[b] * window).sum(axis=(4, 5)) - mean[a] * mean[b]  # noqa: B023, E731
        structure = (2 * moment(0, 1) + 7.65**2) / (moment(0, 0) + moment(1, 1) + 7.65**2)
        light = (2 * mean[0] * mean[1] + 2.55**2) / (mean[0] ** 2 + mean[1] ** 2 + 2.55**2)
        expected *= max((structure * light if level == 4 else structure).mean(), 0) ** weight
        first, second = (
            x.reshape(1, 3, x.shape[2] // 2, 2, -1, 2).mean(axis=(3, 5)) if level < 4 else x for x in (first, second)
        )
    assert ms_ssim(*(x[:1] for x in pair(16))).tolist() == pytest.approx([expected], rel=1e-9)


def test_pairs_do_not_depend_on_batches() -> None:
    images = torch.cat([torch.stack(pair(32), dim=1).flatten(0, 1), pair(32)[0][:1]])  # 5 images
    found = []
    for cuts in ([5], [1, 2, 2], [3, 1, 1]):
        pairs = PairSimilarity()
        for part in images.split(cuts):
            pairs.update(part)
        found.append(pairs.result().tolist())
        assert pairs.num == 5
    assert found[0] == pytest.approx(ms_ssim(images[0:4:2], images[1:4:2]).tolist())
    assert found[0] == found[1] == found[2]
    restored = PairSimilarity()
    restored.restore(pairs.to_arrays())
    assert (restored.num, restored.result().tolist()) == (5, found[2])


@pytest.mark.parametrize(("first", "second"), [((3, 8, 8), (3, 8, 8)), ((3, 32, 32), (3, 16, 16))])
def test_sizes_that_have_no_value_are_refused(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="MS-SSIM compares images of one size, of at least 16 pixels"):
        ms_ssim(torch.zeros(1, *first), torch.zeros(1, *second))
