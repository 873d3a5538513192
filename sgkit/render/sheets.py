"""Sheets drawn: one image of all scenes, or the frames of an animation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.marks import marked
from sgkit.render.pictures import Pixels, arrange, opaque
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Photo, Place, Scene, Sheet
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress


@dataclass(frozen=True)
class Frame:
    """One image of an animation, and what makes it again."""

    pixels: Pixels
    sheet: Sheet


def still_of(
    sheet: Sheet, inputs: Inputs, *, batch: int = 8, on_progress: OnProgress = ignore_progress
) -> tuple[Pixels, Sheet]:
    """The image uint8 [H, W, C] of a sheet, and the sheet with how its scenes were drawn.

    Raises:
        UsageError, SceneError: as :func:`sgkit.render.render.render`; or a photo is not there.
    """
    places: list[Place] = []
    pictures = render(sheet.filled, inputs, batch=batch)

    def pixels() -> Iterator[Pixels | None]:
        for place in sheet.scenes:
            if isinstance(place, Scene):
                one = next(pictures)
                places.append(one.scene)
                yield one.pixels
            else:
                places.append(place)
                yield inputs.photo(place) if place else None
            on_progress(Progress(done=len(places), total=len(sheet.scenes)))

    picture = arrange(
        (shown(one, sheet, place) for place, one in enumerate(pixels())), (sheet.columns, sheet.rows), gap=sheet.gap
    )
    return picture, sheet.changed(scenes=tuple(places))


def write_rows(
    rows: Sequence[Sequence[Scene]],
    path: Path,
    inputs: Inputs,
    *,
    gap: int,
    batch: int,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Write one image with a row for each of ``rows``, all of which are equally long; ``gap`` is between images.

    Raises:
        UsageError, SceneError: as :func:`still_of`.
    """
    scenes = tuple(scene for row in rows for scene in row)
    sheet = Sheet(scenes=scenes, columns=len(rows[0]), rows=len(rows), gap=gap if len(scenes) > 1 else 0)
    pixels, drawn = still_of(sheet, inputs, batch=batch, on_progress=on_progress)
    write_picture(pixels, path, drawn)


def shown(pixels: Pixels | None, sheet: Sheet, place: int = 0) -> Pixels | None:
    """A place of ``sheet`` as it is shown: enlarged, without alpha beside photos, and with its marks."""
    if pixels is None:
        return None
    pixels = opaque(pixels) if any(isinstance(place, Photo) for place in sheet.scenes) else pixels
    pixels = pixels.repeat(sheet.scale, axis=0).repeat(sheet.scale, axis=1) if sheet.scale > 1 else pixels
    if not sheet.marks:
        return pixels
    return marked(pixels, [mark for mark in sheet.marks if mark.place == place], scale=sheet.scale)


def frames_of(sheet: Sheet, inputs: Inputs) -> Iterator[Frame]:
    """The frames of an animation, drawn as they are asked for."""
    scenes = (scene.at(sheet.time(frame)) for frame in range(sheet.frames) for scene in sheet.filled)
    drawn = render(scenes, inputs, batch=sheet.batch or 8)
    while cells := list(islice(drawn, len(sheet.filled))):
        yield Frame(_grid(cells, sheet), _still(cells, sheet))


def _grid(cells: list[Rendered], sheet: Sheet) -> Pixels:
    return arrange((one.pixels for one in cells), (sheet.columns, sheet.rows), gap=sheet.gap)


def _still(cells: list[Rendered], sheet: Sheet) -> Sheet:
    scenes = tuple(one.scene for one in cells)
    return Sheet(scenes=scenes, columns=sheet.columns, rows=sheet.rows, gap=sheet.gap)
