"""Images of scenes as files: a folder of them, or one grid. Each carries its scene."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sgkit.render.files import write_picture, write_pictures
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import FORMATS, Pixels, arrange, grid_shape
from sgkit.render.render import render
from sgkit.render.scene import Scene, Sheet
from sgkit.runtime.files import check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress


@dataclass(frozen=True, kw_only=True)
class ImagesResult:
    """What was written."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    """What each image is called, in order."""
    width: int
    """Of one image."""
    height: int
    seconds: float
    model_hash: str
    """Of the first model."""


def write_images(
    scenes: Mapping[str, Scene],
    inputs: Inputs,
    out: str | Path,
    *,
    shape: tuple[int, int] | None = None,
    gap: int = 0,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> ImagesResult:
    """Write the images of ``scenes``, by name: one grid where ``out`` is a .png, .jpg or .webp file, else a folder of
    PNG files.

    Args:
        scenes: by name; images of a grid must be of one size.
        inputs: what they name.
        out: the file or folder.
        shape: (columns, rows) of the grid; ``None``: about square.
        gap: pixels between the images of a grid.
        batch: images drawn at a time.
        overwrite: replace files that exist; otherwise they are refused before anything is drawn.
        on_progress: called after each image.

    Raises:
        UsageError: the grid is too small.
        InputError: a file exists.
    """
    began, out = time.perf_counter(), Path(out)
    single = out.suffix.lower() in FORMATS
    files = [out] if single else [out / f"{name}.png" for name in scenes]
    for file in files:
        check_new(file, overwrite=overwrite)
    columns, rows = grid_shape(len(scenes), shape) if single else (1, 1)
    drawn: list[Scene] = []
    size = (0, 0)

    def pictures() -> Iterator[Pixels]:
        nonlocal size
        for one in render(scenes.values(), inputs, batch=batch):
            size = (one.pixels.shape[0], one.pixels.shape[1])
            drawn.append(one.scene)
            on_progress(Progress(done=len(drawn), total=len(scenes)))
            yield one.pixels

    if single:
        picture = arrange(pictures(), (columns, rows), gap=gap)
        write_picture(picture, out, Sheet(scenes=tuple(drawn), columns=columns, rows=rows, gap=gap))
    else:
        shown = zip(files, pictures(), strict=True)
        for _ in write_pictures((to, image, Sheet(scenes=(drawn[-1],))) for to, image in shown):
            pass
    first = drawn[0]
    return ImagesResult(
        files=tuple(files),
        names=tuple(scenes),
        width=size[1],
        height=size[0],
        seconds=time.perf_counter() - began,
        model_hash=inputs.model_hash(inputs.model(first, first.subjects[first.main()[0]].model)),
    )
