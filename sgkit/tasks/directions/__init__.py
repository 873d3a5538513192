"""Finding directions: SeFa, GANSpace, linear boundaries, differences and channels of s, written to one kind of file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sgkit.latents.directions import Directions, save_directions
from sgkit.latents.sources import Source
from sgkit.model import Model
from sgkit.model.labels import LabelChoice
from sgkit.render.inputs import Inputs
from sgkit.runtime.files import check_new
from sgkit.runtime.progress import OnProgress, ignore_progress
from sgkit.tasks.directions.job import Job
from sgkit.tasks.directions.labelled import find_boundary, find_channels
from sgkit.tasks.directions.settings import DirectionList, DirectionRow, FindSettings, Method
from sgkit.tasks.directions.unlabelled import find_difference, find_pca, find_sefa

__all__ = [
    "DirectionList",
    "DirectionRow",
    "FindSettings",
    "Method",
    "described",
    "find_directions",
    "find_file",
]


def find_file(
    model: Model | Inputs, path: str | Path, settings: FindSettings, *, overwrite: bool = False, **more: Any
) -> DirectionList:
    """Find directions and write them to ``path``; ``more``: as :func:`find_directions`."""
    began = time.perf_counter()
    check_new(path, overwrite=overwrite)
    found = find_directions(model, settings, **more)
    save_directions(found, path)
    return described(found, Path(path), seconds=time.perf_counter() - began)


def described(found: Directions, path: Path, *, seconds: float = 0.0) -> DirectionList:
    """``found`` as rows."""
    measures = [None] * len(found) if found.explained is None else found.explained.tolist()
    rows = zip(found.names, found.steps.tolist(), measures, found.signs, strict=True)
    settings = dict(found.settings)
    return DirectionList(
        path=path,
        method=found.method,
        space=found.space,
        layers=found.layers,
        measure=str(settings.get("measure", "")),
        model_hash=found.model_hash,
        rows=tuple(DirectionRow(name=n, step=s, measure=m, sign=sign) for n, s, m, sign in rows),
        settings=settings,
        seconds=seconds,
    )


def find_directions(
    model: Model | Inputs,
    settings: FindSettings,
    *,
    labels: Path | None = None,
    latents: Sequence[Source] = (),
    plus: Sequence[Source] | LabelChoice = (),
    minus: Sequence[Source] | LabelChoice = (),
    on_progress: OnProgress = ignore_progress,
) -> Directions:
    """Directions of one model.

    Args:
        model: the model.
        settings: the method and its settings.
        labels: boundary and channels: a store with labels, which teaches a classifier of generated images; or a table
            of labels for ``latents``, by their names.
        latents: what the table labels.
        plus: difference: the latents (or the class of the samples) to go to.
        minus: difference: those to come from.
        on_progress: told of long steps.

    Raises:
        UsageError: something is missing or does not fit the model and the method.
        InputError: a file cannot be read.
    """
    inputs = model if isinstance(model, Inputs) else Inputs(model)
    job = Job(inputs, settings, labels, tuple(latents), plus, minus, on_progress)
    return _METHODS[settings.method](job)


_METHODS: dict[str, Callable[[Job], Directions]] = {
    "sefa": find_sefa,
    "pca": find_pca,
    "boundary": find_boundary,
    "difference": find_difference,
    "channels": find_channels,
}
