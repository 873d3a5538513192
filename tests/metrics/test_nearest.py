from __future__ import annotations

import torch

from sgkit.metrics.nearest import nearest


def test_the_nearest_are_found_across_batches_and_ties_keep_their_order() -> None:
    data = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [3.0, 4.0], [9.0, 9.0]])
    queries = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    for size in (1, 2, 5):
        distances, numbers = nearest(queries, data.split(size), count=3)
        assert numbers.tolist() == [[0, 2, 1], [1, 3, 2]]
        assert torch.allclose(distances, torch.tensor([[0.0, 1.0, 5.0], [0.0, 0.0, 18**0.5]], dtype=torch.float64))


def test_few_vectors_give_few_columns() -> None:
    distances, numbers = nearest(torch.zeros(2, 3), [torch.ones(1, 3)], count=5)
    assert numbers.tolist() == [[0], [0]]
    assert distances.shape == (2, 1)
