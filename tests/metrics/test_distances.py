from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from sgkit.errors import InputError
from sgkit.metrics.distances import frechet_distance, kernel_distance, polynomial_kernel
from sgkit.metrics.statistics import Floats, Gaussian


def gaussian(mean: Floats, covariance: Floats) -> Gaussian:
    return Gaussian(num=100, mean=mean, covariance=covariance)


def random_gaussian(seed: int, *, dim: int = 6, rank: int | None = None) -> Gaussian:
    draw = np.random.default_rng(seed)
    half = draw.normal(size=(dim, rank or dim))
    return gaussian(draw.normal(size=dim), half @ half.T)


def samples(num: int, *, seed: int, dim: int = 6, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(num, dim)) + shift).astype(np.float32)


# ---------------------------------------------------------------------------------------------- Frechet


def test_frechet_closed_form_of_diagonal_gaussians() -> None:
    means, deviations = np.array([[0.0, 1.0, -2.0], [1.0, 1.0, 4.0]]), np.array([[1.0, 2.0, 0.5], [3.0, 2.0, 0.0]])
    first, second = (gaussian(mean, np.diag(dev**2)) for mean, dev in zip(means, deviations, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


def test_frechet_of_shifted_gaussians_is_the_squared_shift() -> None:
    first = random_gaussian(0)
    second = gaussian(first.mean + 3, first.covariance)
    assert frechet_distance(first, second) == pytest.approx(6 * 9, rel=1e-12)


def test_frechet_of_scaled_gaussian() -> None:
    first = random_gaussian(0)
    second = gaussian(first.mean, 4 * first.covariance)  # twice the deviation: Tr(S) (2 - 1)^2
    assert frechet_distance(first, second) == pytest.approx(np.trace(first.covariance), rel=1e-12)


def test_frechet_is_the_formula_with_a_matrix_root() -> None:
    first, second = random_gaussian(1), random_gaussian(2)
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance)
    between = first.mean - second.mean
    expected = between @ between + np.trace(first.covariance + second.covariance - 2 * root.real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-10)


def test_frechet_is_invariant_under_rotation() -> None:
    first, second = random_gaussian(3), random_gaussian(4)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    turned = [gaussian(turn @ g.mean, turn @ g.covariance @ turn.T) for g in (first, second)]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(first, second), rel=1e-10)


def test_frechet_is_symmetric_and_zero_for_itself() -> None:
    first, second = random_gaussian(1), random_gaussian(2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-12)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-12)


def test_frechet_of_singular_covariances() -> None:
    flat, full = random_gaussian(1, dim=40, rank=3), random_gaussian(2, dim=40)
    root = scipy.linalg.sqrtm(_eigen_root(full.covariance) @ flat.covariance @ _eigen_root(full.covariance) + 0j)
    between = flat.mean - full.mean
    expected = between @ between + np.trace(flat.covariance + full.covariance) - 2 * np.trace(root).real
    assert frechet_distance(flat, full) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-10)
    point = gaussian(flat.mean, np.zeros((40, 40)))
    assert frechet_distance(flat, point) == pytest.approx(np.trace(flat.covariance), rel=1e-12)
    assert frechet_distance(point, point) == 0


def _eigen_root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values)) @ vectors.T


def test_frechet_refuses_unlike_dimensions() -> None:
    with pytest.raises(InputError, match="6 and 4 dimensions"):
        frechet_distance(random_gaussian(0), random_gaussian(0, dim=4))


# ----------------------------------------------------------------------------------------------- kernel


def test_kernel_distance_is_its_definition() -> None:
    x, y = samples(7, seed=0).astype(np.float64), samples(7, seed=1, shift=0.5).astype(np.float64)

    def kernel(a: Floats, b: Floats) -> float:
        return float((a @ b / 6 + 1) ** 3)

    within = sum(kernel(p[i], p[j]) for p in (x, y) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    across = sum(kernel(a, b) for a in x for b in y) / 49
    found = kernel_distance(x.astype(np.float32), y.astype(np.float32), num_subsets=2, subset_size=7)
    assert found.mean == pytest.approx(within - 2 * across, rel=1e-12)
    assert (found.num_subsets, found.std) == (1, None)  # the subset is the whole


def test_polynomial_kernel_of_known_vectors() -> None:
    np.testing.assert_allclose(polynomial_kernel(np.array([[1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, -3.0]])), [[8, 0]])


def test_kernel_distance_is_unbiased() -> None:
    values = [
        kernel_distance(samples(50, seed=2 * i), samples(50, seed=2 * i + 1), num_subsets=1).mean for i in range(400)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert min(values) < 0 < max(values)


def test_kernel_distance_grows_with_the_shift() -> None:
    data = samples(300, seed=0)
    found = [kernel_distance(samples(300, seed=1, shift=s), data, subset_size=100).mean for s in (0, 0.5, 1, 2)]
    assert found == sorted(found)
    assert found[-1] > 100 * abs(found[0])


def test_kernel_distance_is_fixed_by_its_seed() -> None:
    first, second = samples(60, seed=0), samples(80, seed=1, shift=0.3)
    found = [kernel_distance(first, second, num_subsets=5, subset_size=20, seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert (found[0].num_subsets, found[0].subset_size) == (5, 20)


def test_kernel_distance_takes_smaller_subsets_of_few_images() -> None:
    assert kernel_distance(samples(30, seed=0), samples(50, seed=1), num_subsets=2).subset_size == 30


def test_kernel_distance_needs_two_images() -> None:
    with pytest.raises(InputError, match="given 1 and 5"):
        kernel_distance(samples(1, seed=0), samples(5, seed=1))
    with pytest.raises(InputError, match="6 and 4 dimensions"):
        kernel_distance(samples(5, seed=0), samples(5, seed=1, dim=4))
