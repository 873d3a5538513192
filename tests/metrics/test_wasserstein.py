from __future__ import annotations

import pickle
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from sgkit.errors import InputError
from sgkit.metrics import spool, wasserstein
from sgkit.metrics.spool import Spool
from sgkit.metrics.wasserstein import PatchBank, Patches, laplacian_pyramid, sliced_distance, sliced_wasserstein


def images(num: int = 3, size: int = 32, *, seed: int = 0, channels: int = 3) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, channels, size, size), generator=draw, dtype=torch.uint8)


def bank(*batches: torch.Tensor, patches: int = 8) -> PatchBank:
    found = PatchBank(patches_per_image=patches)
    for batch in batches:
        found.update(batch)
    return found


def test_pyramid_is_burt_and_adelsons() -> None:
    x = images(2, 64).double()
    taps = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256.0
    blur = lambda a: scipy.ndimage.convolve(a, taps[None, None], mode="mirror")  # noqa: E731
    gaussian = [x.numpy()]
    for _ in range(2):
        gaussian.append(blur(gaussian[-1])[:, :, ::2, ::2])
    expected = []
    for fine, coarse in pairwise(gaussian):
        wide = np.zeros_like(fine)
        wide[:, :, ::2, ::2] = coarse
        expected.append(fine - blur(4 * wide))
    expected.append(gaussian[-1])
    found = laplacian_pyramid(x)
    assert [level.shape[2] for level in found] == [64, 32, 16]
    for level, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(level.numpy(), wanted, atol=1e-9)


def test_patches_are_parts_of_the_levels_normalised_by_channel() -> None:
    x = images(2, 16)
    (_, level), *_ = bank(x, patches=50).levels()
    (patches,) = level.blocks()
    assert patches.shape == (100, 3 * 49)
    by_channel = patches.reshape(100, 3, 49).astype(np.float64)
    assert by_channel.mean(axis=(0, 2)) == pytest.approx([0, 0, 0], abs=1e-5)
    assert by_channel.std(axis=(0, 2)) == pytest.approx([1, 1, 1], abs=1e-5)
    windows = np.lib.stride_tricks.sliding_window_view(x[0].numpy(), (3, 7, 7)).reshape(-1, 3, 49)
    flat = by_channel[0]
    likeness = [np.corrcoef(flat[0], window[0].astype(float))[0, 1] for window in windows]
    assert max(likeness) == pytest.approx(1, abs=1e-6)
    assert max(windows[0, 0].shape) == 49


def test_distance_is_the_mean_of_one_dimensional_ones() -> None:
    draw = np.random.default_rng(1)
    a, b = (draw.normal(size=(40, 6)).astype(np.float32) + shift for shift in (0, 1))
    axes = np.random.default_rng(5)
    expected = []
    for _ in range(2):
        directions = axes.standard_normal((6, 16))
        directions /= np.linalg.norm(directions, axis=0)
        expected += [scipy.stats.wasserstein_distance(a @ d, b @ d) for d in directions.T]
    found = sliced_distance(rows(a), rows(b), directions=16, repeats=2, seed=5)
    assert found == pytest.approx(np.mean(expected), rel=1e-5)


def rows(array: np.ndarray) -> Patches:
    held = Spool(array.shape[1])
    held.append(array)
    return Patches(rows=held, shift=np.zeros(array.shape[1]), scale=np.ones(array.shape[1]))


def test_memory_does_not_grow_with_the_number_of_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sliced_wasserstein(bank(images(40)), bank(images(40, seed=1))).mean
    monkeypatch.setattr(spool, "BLOCK", 256)
    monkeypatch.setattr(wasserstein, "MOST_PROJECTED", 1 << 14)
    assert sliced_wasserstein(bank(images(40)), bank(images(40, seed=1))).mean == pytest.approx(whole, rel=1e-6)
    first, second = (bank(*images(120, seed=seed).split(8), patches=64) for seed in (0, 1))
    size = sum(array.nbytes for array in first.to_arrays().values())
    tracemalloc.start()
    try:
        sliced_wasserstein(first, second.chosen(120))
        assert tracemalloc.get_traced_memory()[1] < size / 5
    finally:
        tracemalloc.stop()
    assert size == 120 * 64 * 147 * 4 * 2


def test_a_bank_is_whole_after_it_was_sent_to_another_process() -> None:
    first = bank(images(3))
    again = pickle.loads(pickle.dumps(first))
    again.update(images(1, seed=9))
    assert (first.num, again.num) == (3, 4)
    np.testing.assert_array_equal(again.to_arrays()["patches32"][:24], first.to_arrays()["patches32"])


def test_value_does_not_depend_on_order_or_batches_and_is_0_for_the_same_images() -> None:
    x, y = images(4), images(4, seed=1)
    found = sliced_wasserstein(bank(x), bank(y))
    merged = bank(x[2:3])
    merged.merge(bank(x[:2], x[3:]))
    assert sliced_wasserstein(merged, bank(y)).mean == pytest.approx(found.mean, rel=1e-5)
    assert sliced_wasserstein(bank(x), bank(x.flip(0))).mean == pytest.approx(0, abs=1e-3)
    assert sliced_wasserstein(bank(images(9)).chosen(4), bank(images(9)[[0, 3, 5, 8]])).mean < 1e-3
    assert found.mean == pytest.approx(np.mean(list(found.by_size.values())))
    restored = PatchBank(patches_per_image=8)
    restored.restore(bank(x).to_arrays())
    assert (restored.num, sliced_wasserstein(restored, bank(y)).mean) == (4, pytest.approx(found.mean))


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (images(2), images(3), "as many images on both sides"),
        (images(2, 16), images(2, 32), "of the same size"),
        (images(0), images(0), "has none|as many"),
    ],
)
def test_sides_must_match(first: torch.Tensor, second: torch.Tensor, text: str) -> None:
    with pytest.raises(InputError, match=text):
        sliced_wasserstein(*(bank(*([one] if len(one) else [])) for one in (first, second)))


@pytest.mark.parametrize("size", [8, 50])
def test_sizes_without_a_pyramid_are_refused(size: int) -> None:
    with pytest.raises(InputError, match="A Laplacian pyramid needs sides of at least 16 pixels"):
        bank(images(1, size if size == 8 else 33))


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="needs images of one size"):
        bank(images(1, 32), images(1, 16))
