"""The nearest of many vectors, to see whether generated images repeat training images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def nearest(queries: Tensor, data: Iterable[Tensor], *, count: int = 1) -> tuple[Tensor, Tensor]:
    """Euclidean distances to the ``count`` nearest vectors of ``data``, rising, and their numbers in it.

    Args:
        queries: [Q, D].
        data: batches [N, D], which are numbered through.

    Returns:
        float64 and int64, both [Q, count], or as many columns as there are vectors.
    """
    queries = queries.double()
    distances = torch.empty(len(queries), 0, dtype=torch.float64)
    numbers = torch.empty(len(queries), 0, dtype=torch.int64)
    seen = 0
    for batch in data:
        found = torch.cdist(queries, batch.double(), compute_mode="donot_use_mm_for_euclid_dist")
        fresh = torch.arange(seen, seen + len(batch)).expand(len(queries), -1)
        distances, numbers = torch.cat([distances, found], dim=1), torch.cat([numbers, fresh], dim=1)
        distances, order = distances.sort(dim=1, stable=True)
        distances, numbers = distances[:, :count], numbers.gather(1, order)[:, :count]
        seen += len(batch)
    return distances, numbers
