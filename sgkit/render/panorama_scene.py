"""From images and settings to the scene of a panorama."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.latents.sources import Origin, Source
from sgkit.model import Axis, Model
from sgkit.model.labels import class_list, label_vector
from sgkit.render.drawing import Drawing
from sgkit.render.grid import Count, Endless, Grid, GridMap
from sgkit.render.places import Choice, Painting, Rows
from sgkit.render.scene import MODEL, Noise, Scene, Side, Subject

Wrap = Literal["none", "x", "y", "both"]
AXES: dict[Wrap, tuple[Axis, ...]] = {"none": (), "x": ("x",), "y": ("y",), "both": ("x", "y")}


class PanoramaSettings(Config):
    """How images are placed beside each other."""

    grid: tuple[Count, Count] | None = None
    """Columns and rows; ``None``: a line of all images, or as many as fit the size."""
    vertical: bool = False
    """A line runs from top to bottom."""
    width: Side | None = None
    """Pixels; ``None``: the model's side for each column."""
    height: Side | None = None
    """Pixels; ``None``: the model's side for each row."""
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Width of the blend between neighbours, as a fraction of each image's part: 0 (hard joins) to 1."""
    blend: Literal["smooth", "soat"] = "smooth"
    """``soat``: as the code of "StyleGAN of All Trades" blends: linear over half of a pair, with an overlap of 1."""
    mode: Literal["plane", "pairs"] = "plane"
    """``pairs``: the paper's panorama, pairs of neighbours drawn alone, cut and pasted; for comparison."""
    wrap: Wrap = "none"
    """Make the ends join: 360 degrees; ``both``: a texture that tiles."""
    smoothing: Annotated[float, Field(ge=0, le=64)] = 0.0
    """Neighbouring z are averaged with a Gaussian of this many places; 0 turns it off. For seeds and z only."""
    endless: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """A seed for every place, computed from this number and the place."""
    noise_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the noise of ``random``."""
    tile: Annotated[int, Field(ge=16, le=1 << 14)] | None = None
    """Side in pixels of the tiles that are drawn at a time: memory depends on it."""


def panorama_scene(
    on: Drawing,
    sources: Source | Iterable[Source],
    arrangement: PanoramaSettings | None = None,
    *,
    places: Rows | None = None,
    painting: Painting | None = None,
) -> Scene:
    """The panorama as data.

    Args:
        on: the model, and how it is drawn.
        sources: images, row by row.
        arrangement: how they are placed beside each other.
        places: what stands at every place, instead of ``sources``.
        painting: what is under each of its pixels.

    Raises:
        UsageError: images and places do not fit, or a class is unknown.
    """
    asked = arrangement or PanoramaSettings()
    origins = [] if places is not None else list(on.origins(sources))
    columns, rows = _shape(asked, on.model, len(origins), places, painting)
    if places is None and len(origins) < 2:
        subjects, of, chosen = _by_position(on, asked, origins, painting)
    else:
        _check_count(len(origins) or columns * rows, columns, rows)
        every = [(origin, _label_at(painting, i, columns, rows)) for i, origin in enumerate(origins)]
        subjects, of = _listed(on, every if places is None else _read(on, places))
        chosen = None
    size = (asked.height or rows * on.model.image_size[0], asked.width or columns * on.model.image_size[1])
    return Scene(
        models={MODEL: on.inputs.reference(on.model)},
        subjects=subjects,
        arrangement=Grid(
            kind="grid",
            of=of,
            columns=columns,
            rows=rows,
            map=chosen,
            overlap=1.0 if asked.blend == "soat" else asked.overlap,
            blend=asked.blend,
            mode=asked.mode,
            smoothing=asked.smoothing,
            tile=asked.tile,
        ),
        size=size if asked.height or asked.width else None,
        periodic=AXES[asked.wrap],
        noise=Noise(kind=on.settings.noise, seed=asked.noise_seed),
        precision=on.settings.precision,
    )


def _shape(
    asked: PanoramaSettings, model: Model, count: int, places: Rows | None, painting: Painting | None
) -> tuple[int, int]:
    """Columns and rows."""
    if places is not None:
        return len(places[0]), len(places)
    if asked.grid is not None:
        return asked.grid
    if painting is not None:
        return painting.columns, painting.rows
    if asked.endless is not None:
        height, width = model.image_size
        return max(round((asked.width or width) / width), 1), max(round((asked.height or height) / height), 1)
    if not count:
        raise UsageError("A panorama needs at least one image: give seeds or latents.")
    return (1, count) if asked.vertical else (count, 1)


def _check_count(count: int, columns: int, rows: int) -> None:
    places = columns * rows
    if count not in (1, places):
        near = f"--seeds 0-{places - 1}" if places < 10_000 else "--endless 0"
        raise UsageError(
            f"A grid of {columns}x{rows} has {places:,} places; {count:,} images were given. Give {places:,} images, "
            f"row by row (for example {near}), one for all places, or --endless SEED for a new one at every place."
        )


def _listed(on: Drawing, every: Sequence[tuple[Origin, str | None]]) -> tuple[dict[str, Subject], tuple[str, ...]]:
    """A subject for every image that is not there yet, and the names of all places."""
    subjects: dict[str, Subject] = {}
    of: list[str] = []
    for origin, label in every:
        subject = _labelled(on, on.subject(origin), label)
        name = origin.name if label is None else f"{origin.name}@{label}"
        fresh, count = name, 1
        while subjects.get(fresh, subject) != subject:
            count += 1
            fresh = f"{name}-{count}"
        subjects[fresh] = subject
        of.append(fresh)
    return subjects, tuple(of)


def _by_position(
    on: Drawing, asked: PanoramaSettings, origins: Sequence[Origin], painting: Painting | None
) -> tuple[dict[str, Subject], tuple[str, ...], GridMap | None]:
    """Subjects that a map chooses from; those without a source have a seed for every place."""
    choices = painting.choices if painting else (Choice(),)
    if not origins and len(class_list(on.model, on.settings.label)) > 1:
        raise UsageError(
            "A different seed at every place takes one class, or random. For several classes, say which is where with "
            "--map and --legend."
        )
    subjects: dict[str, Subject] = {}
    for choice in choices:
        if choice.source is not None:
            [(origin, _)] = _read(on, [[choice]])
            subject, name = on.subject(origin), origin.name
        elif origins:
            subject, name = on.subject(origins[0]), origins[0].name
        else:
            subject = on.subject(Origin(name="endless", seed=0)).changed(source=Endless(endless=asked.endless or 0))
            name = "endless"
        name = name if choice.label is None else f"{name}@{choice.label}"
        if name in subjects:
            raise UsageError(f"Two colours of the legend choose {name}. Give each colour a different class or source.")
        subjects[name] = _labelled(on, subject, choice.label)
    if painting is None:
        return subjects, tuple(subjects), None
    return subjects, tuple(subjects), GridMap(columns=painting.columns, rows=painting.rows, of=painting.of)


def _labelled(on: Drawing, subject: Subject, label: str | None) -> Subject:
    if label is None:
        return subject
    label_vector(on.model, label)
    return subject.changed(label=label)


def _label_at(painting: Painting | None, place: int, columns: int, rows: int) -> str | None:
    if painting is None:
        return None
    row, column = divmod(place, columns)
    across, down = (
        math.floor((2 * at + 1) * own / (2 * count))
        for at, own, count in ((column, painting.columns, columns), (row, painting.rows, rows))
    )
    choice = painting.choices[painting.of[down * painting.columns + across]]
    if choice.source is not None:
        raise UsageError(
            "The legend names seeds or latent files, and --seeds or --latent give images, too. Leave one of them out."
        )
    return choice.label


def _read(on: Drawing, places: Rows) -> list[tuple[Origin, str | None]]:
    """The one image that each place names."""
    found: list[tuple[Origin, str | None]] = []
    known: dict[int | Path, list[Origin]] = {}
    for row in places:
        for choice in row:
            assert choice.source is not None
            if choice.source not in known:
                known[choice.source] = list(on.origins([choice.source]))
            origins = known[choice.source]
            if len(origins) != 1:
                raise UsageError(
                    f"{choice.source} holds {len(origins)} latents; a place takes one. Save each in its own file."
                )
            found.append((origins[0], choice.label))
    return found
