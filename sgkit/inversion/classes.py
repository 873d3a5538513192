"""The class of a conditional model that suits an image best, found by short searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from sgkit.config.project import ProjectSettings
from sgkit.errors import UsageError
from sgkit.inversion.optimize import Projection, search
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
    on_class: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[int]:
    """The class of each of ``targets`` [N, C, H, W].

    All classes are compared by their mean latents; the nearest :data:`CANDIDATES` are searched for :data:`STEPS` steps
    each, in w without noise maps, and the one that comes closest is taken.

    ``on_class`` is called after each comparison with a class: how many were made, and how many there are so far.

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
    count, done = model.config.label_dim, 0

    def distances(number: int, rows: Tensor, by: ProjectSettings, total: int) -> Tensor:
        nonlocal done
        part = mask if mask is None or mask.ndim == 2 or len(mask) == 1 else mask[rows]
        label = model.one_hot([number])
        found = search(model, targets[rows], by, label=label, mask=part, precision=precision)
        done += 1
        on_class(done, total)
        return found.start_distances if by.steps == 1 else found.distances

    every = torch.arange(len(targets))
    started = torch.stack([distances(number, every, first, count) for number in range(count)]).cpu()  # [classes, N]
    nearest = started.topk(min(CANDIDATES, count), dim=0, largest=False).indices
    best = torch.full((len(targets),), torch.inf)
    chosen = torch.zeros(len(targets), dtype=torch.int64)
    tried = sorted(set(nearest.flatten().tolist()))
    for number in tried:
        rows = (nearest == number).any(dim=0).nonzero()[:, 0]
        reached = distances(number, rows, replace(first, steps=STEPS), count + len(tried)).cpu()
        closer = reached < best[rows]
        best[rows[closer]], chosen[rows[closer]] = reached[closer], number
    return [int(number) for number in chosen]


def rows_by_class(classes: Sequence[int]) -> dict[int, list[int]]:
    """Class -> the rows of the images that have it, in rising order of both."""
    return {number: [row for row, one in enumerate(classes) if one == number] for number in sorted(set(classes))}


def search_in_classes(
    model: Model,
    targets: Tensor,
    settings: ProjectSettings,
    *,
    mask: Tensor | None = None,
    start: Tensor | None = None,
    precision: ResolvedPrecision = "fp32",
) -> Projection:
    """As :func:`sgkit.inversion.search`, each image in the class that :func:`search_classes` finds for it."""
    groups = rows_by_class(search_classes(model, targets, settings, mask=mask, precision=precision))
    parts = [
        search(
            model,
            targets[rows],
            settings,
            label=model.one_hot([number]),
            mask=mask,
            start=None if start is None else start[rows],
            precision=precision,
        )
        for number, rows in groups.items()
    ]
    return _joined(parts, [row for rows in groups.values() for row in rows])


def _joined(parts: Sequence[Projection], rows: Sequence[int]) -> Projection:
    """Projections of parts as one, whose images ``rows`` names in the order of the parts."""
    order = torch.tensor(rows).argsort()

    def joined(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, Mapping):
            return {name: joined([one[name] for one in values]) for name in first}
        return torch.cat(list(values))[order.to(first.device)] if isinstance(first, Tensor) else first

    steps = max(len(one.history) for one in parts)
    padded = [torch.full((steps - len(one.history), one.history.shape[1]), torch.nan) for one in parts]
    history = torch.cat([torch.cat([one.history, more]) for one, more in zip(parts, padded, strict=True)], dim=1)
    names = [one.name for one in fields(Projection) if one.name != "history"]
    found = {name: joined([getattr(part, name) for part in parts]) for name in names}
    return Projection(**found, history=history[:, order])
