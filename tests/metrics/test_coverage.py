from __future__ import annotations

import numpy as np
import pytest

from sgkit.errors import InputError
from sgkit.metrics.coverage import cmmd, density_coverage


def samples(num: int, *, seed: int, dim: int = 5, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(num, dim)) + shift).astype(np.float32)


def transcription(measured: np.ndarray, data: np.ndarray, k: int) -> tuple[float, float]:
    """Naeem et al., equations 3 and 4, pair by pair."""
    x, y = data.astype(np.float64), measured.astype(np.float64)
    radii = [sorted(np.linalg.norm(x - one, axis=1))[k] for one in x]
    inside = np.array([[np.linalg.norm(a - b) < radius for b in y] for a, radius in zip(x, radii, strict=True)])
    return inside.sum() / (k * len(y)), inside.any(axis=1).mean()


@pytest.mark.parametrize(("shift", "k"), [(0.0, 5), (0.7, 3), (30.0, 5)])
def test_density_and_coverage_are_their_definitions(shift: float, k: int) -> None:
    data, measured = samples(40, seed=0), samples(33, seed=1, shift=shift)
    found = density_coverage(measured, data, k=k)
    assert (found.density, found.coverage) == pytest.approx(transcription(measured, data, k))
    assert (found.coverage > 0.3) == (shift < 30)


def test_coverage_of_repeated_samples_is_low_and_their_density_is_not() -> None:
    data = samples(60, seed=0)
    repeated = np.repeat(samples(2, seed=1), 30, axis=0) * 0.1
    found = density_coverage(repeated, data)
    assert found.coverage < 0.6 < density_coverage(samples(60, seed=2), data).coverage
    assert found.density > 1


@pytest.mark.parametrize("dims", [(5, 5), (3, 3)])
def test_cmmd_is_its_definition(dims: tuple[int, int]) -> None:
    a, b = samples(12, seed=0, dim=dims[0]), samples(9, seed=1, dim=dims[1], shift=0.5)
    x, y = (v.astype(np.float64) / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True) for v in (a, b))
    kernel = lambda p, q: np.mean([[np.exp(-np.sum((u - v) ** 2) / 200) for v in q] for u in p])  # noqa: E731
    expected = 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    assert cmmd(a, b) == pytest.approx(expected, rel=1e-9)
    assert cmmd(a, 7 * a[::-1]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: density_coverage(samples(9, seed=0), samples(5, seed=1)), "need more than 5 reference images"),
        (lambda: density_coverage(samples(9, seed=0, dim=4), samples(9, seed=1)), "4 and 5 dimensions"),
        (lambda: cmmd(samples(9, seed=0, dim=4), samples(9, seed=1)), "the same dimension"),
        (lambda: cmmd(np.zeros((3, 4), np.float32), samples(3, seed=1, dim=4)), "are all 0"),
    ],
)
def test_too_few_or_unlike_features_are_refused(call: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        call()  # type: ignore[operator]
