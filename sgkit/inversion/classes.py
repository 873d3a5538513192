"""The class of a conditional model that suits an image best, found by short searches."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sgkit.config.project import ProjectSettings
from sgkit.errors import UsageError
from sgkit.inversion.optimize import search
from sgkit.model import Model
from sgkit.runtime.precision import ResolvedPrecision

SEARCH = "search"
"""Stands for a class that is searched."""
CANDIDATES = 4
"""Classes that are searched for an image: those whose mean latents come closest to it."""
STEPS = 15
SAMPLES = 200
"""Latents of each class whose mean the first comparison takes."""


def check_classes(model: Model) -> None:
    """Refuse models whose classes cannot be searched.

    Raises:
        UsageError: the model has no classes.
    """
    if model.config.label_dim == 0:
        raise UsageError("This model is unconditional: remove --class (in Python: label).")
    if model.config.label_dim == 1:
        raise UsageError("The label of this model is one number, so there are no classes to search. Give the number.")


def search_classes(
    model: Model,
    targets: Tensor,
    settings: ProjectSettings,
    *,
    mask: Tensor | None = None,
    precision: ResolvedPrecision = "fp32",
) -> list[int]:
    """The class of each of ``targets`` [N, C, H, W].

    All classes are compared by their mean latents; the nearest :data:`CANDIDATES` are searched for :data:`STEPS` steps
    each, in w without noise maps, and the one that comes closest is taken.

    Raises:
        UsageError: the model has no classes.
    """
    check_classes(model)
    first = replace(
        settings,
        space="w",
        prior="none",
        prior_weight=None,
        steps=1,
        w_samples=SAMPLES,
        starts=0,
        coarse=0.0,
        patience=0,
        optimize_noise=False,
    )
    count = model.config.label_dim

    def distances(number: int, rows: Tensor, by: ProjectSettings) -> Tensor:
        part = mask if mask is None or mask.ndim == 2 or len(mask) == 1 else mask[rows]
        label = model.one_hot([number])
        found = search(model, targets[rows], by, label=label, mask=part, precision=precision)
        return found.start_distances if by.steps == 1 else found.distances

    every = torch.arange(len(targets))
    started = torch.stack([distances(number, every, first) for number in range(count)]).cpu()  # [classes, N]
    nearest = started.topk(min(CANDIDATES, count), dim=0, largest=False).indices
    best = torch.full((len(targets),), torch.inf)
    chosen = torch.zeros(len(targets), dtype=torch.int64)
    for number in sorted(set(nearest.flatten().tolist())):
        rows = (nearest == number).any(dim=0).nonzero()[:, 0]
        reached = distances(number, rows, replace(first, steps=STEPS)).cpu()
        closer = reached < best[rows]
        best[rows[closer]], chosen[rows[closer]] = reached[closer], number
    return [int(number) for number in chosen]
