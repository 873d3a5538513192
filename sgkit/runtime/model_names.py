"""Names of models: a path, the name of a packaged model, or ``MODEL+DELTA``: a model with tuned weights put on it.

A path that contains a ``+`` and exists is that file. Nothing heavy is imported, so a name is split before torch is
loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sgkit.packaged import packaged_path

MOST_DELTAS = 16
"""In one name."""


class ModelName(NamedTuple):
    """What a name of a model stands for."""

    base: str
    """A path, the name of a packaged model, or again ``MODEL+DELTA``."""
    delta: Path | None = None
    """The file of tuned weights to put on ``base``."""


def split_name(path: str | Path) -> ModelName:
    """The model and the delta that ``path`` names; of several ``+`` the last one whose sides both exist.

    Where none has, the sides are those of which one exists, so that a message can name the missing one.
    """
    text = str(path)
    if _exists(text):
        return ModelName(text)
    best: ModelName | None = None
    for base, delta in _splits(text):
        is_delta = os.path.lexists(delta)
        is_model = _exists(base) or (is_delta and split_name(base).delta is not None)
        if is_model and is_delta:
            return ModelName(base, Path(delta))
        if best is None and (is_model or is_delta):
            best = ModelName(base, Path(delta))
    return best or ModelName(text)


def find_model(path: str | Path, folder: Path) -> Path | None:
    """``path`` where it leads to something: as it is, or with its files looked for in ``folder``; else ``None``."""
    for place in (Path(path), folder / path):
        if _exists(str(place)):
            return place
    for base, delta in _splits(str(path)):
        file = next((place for place in (Path(delta), folder / delta) if _exists(str(place))), None)
        model = None if file is None else find_model(base, folder)
        if model is not None:
            return Path(f"{model}+{file}")
    return None


def _exists(text: str) -> bool:
    return os.path.lexists(packaged_path(text))


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """Both sides of each of the last ``+``, from the right."""
    places = [place for place, letter in enumerate(text) if letter == "+"]
    for place in places[: -MOST_DELTAS - 1 : -1]:
        if text[:place] and text[place + 1 :]:
            yield text[:place], text[place + 1 :]
