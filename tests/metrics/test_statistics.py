from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgkit.errors import InputError
from sgkit.metrics.statistics import FeatureBank, StreamingGaussian


def features(num: int, dim: int = 5, *, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    return torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)) + offset


def test_gaussian_is_numpys_mean_and_covariance() -> None:
    values = features(50)
    gaussian = StreamingGaussian(5)
    gaussian.update(values)
    result = gaussian.result()
    assert result.num == 50
    np.testing.assert_allclose(result.mean, values.double().mean(dim=0).numpy(), rtol=1e-13)
    np.testing.assert_allclose(result.covariance, np.cov(values.double().numpy(), rowvar=False), rtol=1e-12, atol=1e-15)


@given(cuts=st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=30)
def test_gaussian_does_not_depend_on_batches(cuts: list[int]) -> None:
    values = features(40, offset=1000.0)
    whole, parts = StreamingGaussian(5), StreamingGaussian(5)
    whole.update(values)
    edges = [0, *sorted(cuts), 40]
    for start, stop in itertools.pairwise(edges):
        parts.update(values[start:stop])
    np.testing.assert_allclose(parts.result().mean, whole.result().mean, rtol=1e-14)
    np.testing.assert_allclose(parts.result().covariance, whole.result().covariance, rtol=1e-9, atol=1e-12)


def test_gaussian_merges_parts() -> None:
    values = features(30)
    whole, first, second = StreamingGaussian(5), StreamingGaussian(5), StreamingGaussian(5)
    whole.update(values)
    first.update(values[:7])
    second.update(values[7:])
    first.merge(second)
    first.merge(StreamingGaussian(5))
    assert first.num == 30
    np.testing.assert_allclose(first.result().covariance, whole.result().covariance, rtol=1e-12, atol=1e-15)


def test_gaussian_keeps_small_spread_beside_a_large_mean() -> None:
    values = features(200).double() * 1e-3 + 1e6
    gaussian = StreamingGaussian(5)
    for batch in values.split(16):
        gaussian.update(batch)
    expected = np.cov((values - 1e6).numpy(), rowvar=False)
    np.testing.assert_allclose(gaussian.result().covariance, expected, rtol=1e-3, atol=1e-9)


def test_gaussian_result_is_a_copy() -> None:
    gaussian = StreamingGaussian(5)
    gaussian.update(features(4))
    before = gaussian.result()
    mean = before.mean.copy()
    gaussian.update(features(4, seed=1))
    np.testing.assert_array_equal(before.mean, mean)


def test_bank_keeps_order() -> None:
    values = features(9)
    bank, rest = FeatureBank(5), FeatureBank(5)
    bank.update(values[:4])
    rest.update(values[4:])
    bank.merge(rest)
    assert bank.num == 9
    np.testing.assert_array_equal(bank.result(), values.numpy())


def test_empty_bank_has_its_shape() -> None:
    assert FeatureBank(5).result().shape == (0, 5)


@pytest.mark.parametrize("num", [0, 1])
def test_gaussian_needs_two_images(num: int) -> None:
    gaussian = StreamingGaussian(5)
    gaussian.update(features(num))
    with pytest.raises(InputError, match=f"needs 2 images or more; there (is|are) {num}"):
        gaussian.result()


@pytest.mark.parametrize("statistic", [StreamingGaussian(5), FeatureBank(5)])
def test_wrong_features_are_refused(statistic: StreamingGaussian | FeatureBank) -> None:
    with pytest.raises(InputError, match=r"shape \[3, 4\]; expected \[N, 5\]"):
        statistic.update(features(3, 4))
    with pytest.raises(InputError, match="not finite"):
        statistic.update(torch.full((2, 5), float("nan")))
