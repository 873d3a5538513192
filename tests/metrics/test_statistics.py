from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgkit.config.metrics import Statistic
from sgkit.errors import InputError
from sgkit.metrics.statistics import (
    STATISTICS,
    FeatureBank,
    FeatureRequest,
    FeatureStatistics,
    StreamingGaussian,
    compute_statistics,
)
from sgkit.runtime.progress import Progress


def features(num: int, dim: int = 5, *, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    return torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)) + offset


def gaussian_of(*batches: torch.Tensor) -> StreamingGaussian:
    made = StreamingGaussian(5)
    for batch in batches:
        made.update(batch)
    return made


def test_gaussian_is_numpys_mean_and_covariance() -> None:
    values = features(50)
    result = gaussian_of(values).result()
    assert result.num == 50
    np.testing.assert_allclose(result.mean, values.double().mean(dim=0).numpy(), rtol=1e-13)
    np.testing.assert_allclose(result.covariance, np.cov(values.double().numpy(), rowvar=False), rtol=1e-12, atol=1e-15)


@given(cuts=st.lists(st.integers(0, 40), max_size=6), merge=st.booleans())
@settings(max_examples=30)
def test_gaussian_does_not_depend_on_batches_and_parts(cuts: list[int], merge: bool) -> None:
    values = features(40, offset=1000.0)
    parts = [values[start:stop] for start, stop in itertools.pairwise([0, *sorted(cuts), 40])]
    made = gaussian_of(*parts[:1])
    for part in parts[1:]:
        if merge:
            made.merge(gaussian_of(part))
        else:
            made.update(part)
    whole = gaussian_of(values).result()
    assert made.num == 40
    np.testing.assert_allclose(made.result().mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(made.result().covariance, whole.covariance, rtol=1e-9, atol=1e-12)


def test_gaussian_keeps_small_spread_beside_a_large_mean() -> None:
    values = features(200).double() * 1e-3 + 1e6
    expected = np.cov((values - 1e6).numpy(), rowvar=False)
    np.testing.assert_allclose(gaussian_of(*values.split(16)).result().covariance, expected, rtol=1e-3, atol=1e-9)


def test_gaussian_result_is_a_copy() -> None:
    made = gaussian_of(features(4))
    before = made.result()
    mean = before.mean.copy()
    made.update(features(4, seed=1))
    np.testing.assert_array_equal(before.mean, mean)


def test_bank_keeps_order() -> None:
    values = features(9)
    bank, rest = FeatureBank(5), FeatureBank(5)
    assert bank.result().shape == (0, 5)
    bank.update(values[:4])
    rest.update(values[4:])
    bank.merge(rest)
    assert bank.num == 9
    np.testing.assert_array_equal(bank.result(), values.numpy())


@pytest.mark.parametrize("num", [0, 1])
def test_gaussian_needs_two_images(num: int) -> None:
    with pytest.raises(InputError, match=f"needs at least 2 images; given: {num}"):
        gaussian_of(features(num)).result()


@pytest.mark.parametrize("statistic", [StreamingGaussian(5), FeatureBank(5)])
def test_wrong_features_are_refused(statistic: StreamingGaussian | FeatureBank) -> None:
    with pytest.raises(InputError, match=r"shape \[3, 4\]; expected \[N, 5\]"):
        statistic.update(features(3, 4))
    with pytest.raises(InputError, match="NaN or infinity"):
        statistic.update(torch.full((2, 5), float("nan")))


# ------------------------------------------------------------------------------- statistics of images


class MeanColour:
    """Features that need no network: the mean of each channel."""

    content_id = "mean-colour"

    def __init__(self, name: str = "colour", dim: int = 3) -> None:
        self.name = name
        self.dim = dim
        self.seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return images.float().mean(dim=(2, 3))[:, : self.dim]


BOTH: frozenset[Statistic] = frozenset(("gaussian", "bank"))
IMAGES = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
COLOURS = IMAGES.float().mean(dim=(2, 3)).numpy()


def computed(batches: Any, extractor: MeanColour | None = None, **options: Any) -> FeatureStatistics:
    request = FeatureRequest(extractor=extractor or MeanColour(), statistics=BOTH)
    return compute_statistics(batches, [request], **options)[0]


def test_each_extractor_has_the_statistics_that_were_requested() -> None:
    first, second = compute_statistics(
        IMAGES.split(6),
        [
            FeatureRequest(extractor=MeanColour("a"), statistics=BOTH),
            FeatureRequest(extractor=MeanColour("b", 2), statistics=frozenset(("gaussian",))),
        ],
    )
    np.testing.assert_allclose(first.bank(), COLOURS, rtol=1e-6)
    np.testing.assert_allclose(second.gaussian().mean, COLOURS[:, :2].mean(axis=0), rtol=1e-6)
    with pytest.raises(KeyError, match="bank"):
        second.bank()


@pytest.mark.parametrize("batch", [1, 7, 20])
@pytest.mark.parametrize("start", [0, 5])
def test_requests_of_the_first_images_share_features(batch: int, start: int) -> None:
    extractor = MeanColour()
    requests = [FeatureRequest(extractor=extractor, statistics=BOTH, num=num) for num in (None, 9, 3)]
    found = compute_statistics(IMAGES.split(batch), requests, start=start)
    assert [one.num for one in found] == [20, 9 - start, max(3 - start, 0)]
    assert extractor.seen == 20
    np.testing.assert_array_equal(found[1].bank(), found[0].bank()[: 9 - start])


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_no_more_images_are_read_than_needed(batch: int) -> None:
    extractor, taken = MeanColour(), 0

    def batches() -> Iterator[torch.Tensor]:
        nonlocal taken
        for images in IMAGES.split(batch):
            taken += len(images)
            yield images

    found = computed(batches(), extractor, num_images=8)
    assert (found.num, extractor.seen) == (8, 8)
    assert taken == -(-8 // batch) * batch
    np.testing.assert_allclose(found.bank(), COLOURS[:8], rtol=1e-6)


def test_progress_is_reported() -> None:
    seen: list[Progress] = []
    computed(IMAGES.split(8), num_images=18, stage="data", on_progress=seen.append)
    assert [(one.stage, one.done, one.total) for one in seen] == [("data", 8, 18), ("data", 16, 18), ("data", 18, 18)]


def test_no_images_give_empty_statistics() -> None:
    assert computed([]).num == 0
    assert computed(IMAGES.split(4), num_images=0).bank().shape == (0, 3)


def test_parts_merge_in_order() -> None:
    whole, first, second = (computed([part]) for part in (IMAGES, IMAGES[:9], IMAGES[9:]))
    first.merge(second)
    assert first.num == 20
    np.testing.assert_array_equal(first.bank(), whole.bank())
    np.testing.assert_allclose(first.gaussian().covariance, whole.gaussian().covariance, rtol=1e-10)


def test_arrays_round_trip() -> None:
    made = computed([IMAGES])
    arrays: Any = {"gaussian": made.to_arrays("gaussian"), "bank": made.to_arrays("bank")}
    back = FeatureStatistics.from_arrays(3, arrays)
    assert back.num == 20
    np.testing.assert_array_equal(back.bank(), made.bank())
    np.testing.assert_allclose(back.gaussian().covariance, made.gaussian().covariance, rtol=1e-14)
    with pytest.raises(ValueError, match="features"):
        FeatureStatistics.from_arrays(4, {"bank": arrays["bank"]})
    with pytest.raises(ValueError, match=r"the statistics are of \[5, 20\] images"):
        FeatureStatistics.from_arrays(3, {**arrays, "bank": {"bank": made.bank()[:5]}})


# -------------------------------------------------------------------------------------------------- memory


def held_bytes(value: Any) -> int:
    """Bytes of the arrays and tensors that an object holds in memory, and of numbers in lists; not of mapped files."""
    if isinstance(value, np.memmap):
        return 0
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, dict):
        return sum(map(held_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return 8 * len(value) + sum(map(held_bytes, value))
    return held_bytes(vars(value)) if hasattr(value, "__dict__") else 0


BYTES_PER_IMAGE = {"gaussian": 0, "patches": 0, "pairs": 8, "bank": 5 * 4 + 8}
"""What each may keep of an image: nothing, a number for each pair, or the features (and an entry of a list)."""


@pytest.mark.parametrize("name", STATISTICS)
def test_what_is_kept_of_images_does_not_depend_on_their_size(name: str) -> None:
    pixels = name in ("patches", "pairs")
    sizes = {}
    for batches in (2, 10, 40):
        made = STATISTICS[name](5)
        for index in range(batches):
            draw = torch.Generator().manual_seed(index)
            images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=draw)
            made.update(images if pixels else features(4, seed=index))
        assert made.num == 4 * batches
        sizes[batches] = held_bytes(made)
    for few, many in itertools.pairwise(sizes):
        assert sizes[many] - sizes[few] <= BYTES_PER_IMAGE[name] * 4 * (many - few), sizes
    assert sizes[40] > 0 or name == "patches"
