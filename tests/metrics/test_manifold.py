from __future__ import annotations

import numpy as np
import pytest

from sgkit.errors import InputError
from sgkit.metrics import manifold
from sgkit.metrics.manifold import precision_recall, radii


def samples(num: int, seed: int, *, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(num, 5)) + shift).astype(np.float32)


def plain(data: np.ndarray, generated: np.ndarray, k: int, dtype: type) -> list[float]:
    """The definition, pair by pair, in numbers of ``dtype``."""

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(dtype(np.linalg.norm(one.astype(dtype).astype(float) - other.astype(dtype).astype(float))))

    found = []
    for centres, probes in ((data, generated), (generated, data)):
        reach = [sorted(distance(one, other) for other in centres)[k] for one in centres]
        inside = [any(distance(one, c) <= r for c, r in zip(centres, reach, strict=True)) for one in probes]
        found.append(sum(inside) / len(inside))
    return found


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("rows", [7, 2048])
def test_precision_and_recall_are_their_definition(half: bool, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifold, "ROWS", rows)
    data, generated = samples(40, 0), samples(30, 1, shift=0.6)
    found = precision_recall(data, generated, neighbours=2, half=half)
    assert [found.precision, found.recall] == pytest.approx(
        plain(data, generated, 2, np.float16 if half else np.float64)
    )


def test_the_edge_counts_as_inside() -> None:
    """As in NVIDIA's tools: at 0, 1 and 3, balls of k = 1 reach 1, 1 and 2; a probe at 5 is on an edge."""
    data = np.array([[0.0], [1.0], [3.0]], np.float32)
    assert radii(data, 1).tolist() == [1, 1, 2]
    probes = np.array([[5.0], [5.1], [-1.0]], np.float32)
    assert precision_recall(data, probes, neighbours=1).precision == pytest.approx(2 / 3)


def test_equal_samples_are_no_distance_apart() -> None:
    data = samples(20, 0) * np.float32(1000)
    assert precision_recall(data, data).precision == 1
    assert radii(np.repeat(data, 4, axis=0), 3).tolist() == [0] * 80


def test_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="3 and 5 dimensions cannot be compared"):
        precision_recall(samples(9, 0), samples(9, 0)[:, :3])
    with pytest.raises(InputError, match="need at least 4 images on each side; given: 3"):
        precision_recall(samples(3, 0), samples(9, 0))
