from __future__ import annotations

import numpy as np
import pytest

from sgkit.errors import InputError
from sgkit.metrics.separability import conditional_entropy, linear_svm, predicted, separability
from tests.compare import other

DRAW = np.random.default_rng(0)


def blobs(
    num: int, *, dim: int = 4, apart: float = 1.0, classes: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, num)
    x = draw.normal(size=(num, dim))
    x[:, 0] += apart * y
    x[:, 1] += apart * (y == 1)
    return x, y


def certain(y: np.ndarray, classes: int = 2) -> np.ndarray:
    return np.eye(classes)[y]


@pytest.mark.parametrize(
    ("joint", "expected"),
    [
        ([[5, 0], [0, 5]], 0.0),
        ([[5, 5], [5, 5]], np.log(2)),
        ([[6, 2], [1, 3]], None),
        ([[10, 0], [0, 0]], 0.0),
        ([[2, 1, 0], [0, 4, 1], [3, 0, 2]], None),
    ],
)
def test_entropy_is_joint_minus_marginal(joint: list[list[int]], expected: float | None) -> None:
    counts = np.array(joint)
    given, targets = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    p = counts / counts.sum()
    plain = -sum(v * np.log(v) for v in p.ravel() if v) + sum(v * np.log(v) for v in p.sum(axis=1) if v)
    found = conditional_entropy(given, targets, num_classes=len(joint))
    assert found == pytest.approx(plain if expected is None else expected, abs=1e-12)


@pytest.mark.parametrize("apart", [0.2, 2.0, 20.0])
def test_svm_minimises_the_squared_hinge(apart: float) -> None:
    x, y = blobs(300, apart=apart)
    weights, signs, data = linear_svm(x, y == 1), 2.0 * y - 1, np.hstack([x, np.ones((300, 1))])
    slack = np.maximum(1 - signs * (data @ weights), 0)
    gradient = weights - 2 * data.T @ (signs * slack)
    assert np.abs(gradient).max() < 1e-3 * max(np.abs(weights).max(), 1)


def test_svm_is_that_of_scikit_learn() -> None:
    svm = other("sklearn.svm")
    for apart, classes in ((0.5, 2), (2.0, 2), (1.0, 4)):
        x, y = blobs(400, apart=apart, classes=classes)
        theirs = svm.LinearSVC(tol=1e-8, max_iter=100_000).fit(x, y)
        if classes == 2:
            assert linear_svm(x, y == 1) == pytest.approx(np.append(theirs.coef_[0], theirs.intercept_), abs=1e-4)
        assert (predicted(x, y, num_classes=classes) == theirs.predict(x)).all()


def test_score_is_exp_of_the_summed_entropies_of_the_surest() -> None:
    x, y = blobs(200, apart=1.5)
    unsure = np.where(np.arange(200) < 50, 0.6, 0.9)[:, None]
    answers = np.where(certain(y) == 1, unsure, 1 - unsure)
    answers[:50] = answers[:50, ::-1]  # wrong answers, which are not among the surest
    other = DRAW.integers(0, 2, 200)
    found = separability({"x": x}, {"a": answers, "b": certain(other)}, keep=150)["x"]
    first = predicted(x[50:], y[50:], num_classes=2)
    second = predicted(x[:150], other[:150], num_classes=2)
    entropies = [
        conditional_entropy(first, y[50:], num_classes=2),
        conditional_entropy(second, other[:150], num_classes=2),
    ]
    assert [one.entropy for one in found.attributes] == pytest.approx(entropies)
    assert found.score == pytest.approx(np.exp(sum(entropies)))
    assert entropies[1] > entropies[0] > 0


def test_an_attribute_that_all_samples_share_costs_nothing() -> None:
    x, _ = blobs(50)
    found = separability({"z": x}, {"a": certain(np.zeros(50, int))}, keep=50)["z"]
    assert (found.score, found.attributes[0].counts) == (1.0, (50, 0))


def test_a_warped_space_is_less_separable_than_a_straight_one() -> None:
    straight = DRAW.normal(size=(600, 3))
    angles = 2.0 * straight[:, :1]  # turned by an angle that depends on the first coordinate
    warped = np.hstack([straight[:, :1], np.sin(angles) * straight[:, 1:2], np.cos(angles) * straight[:, 1:2]])
    found = separability({"z": warped, "w": straight}, {"a": certain((straight[:, 1] > 0).astype(int))}, keep=600)
    assert found["w"].score < 1.1 < 1.5 < found["z"].score


@pytest.mark.parametrize(("latents", "answers"), [(np.nan, {"a": 1.0}), (0.0, {}), (0.0, {"a": np.inf})])
def test_broken_numbers_and_no_attributes_are_refused(latents: float, answers: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"NaN or infinity|at least one attribute"):
        separability({"z": np.full((4, 2), latents)}, {name: np.full((4, 2), v) for name, v in answers.items()})
