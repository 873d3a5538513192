"""Style mixing: the styles of some layers from one image, the rest from another (StyleGAN, section 3.1)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sgkit.errors import UsageError
from sgkit.latents.sources import Source
from sgkit.model import Model
from sgkit.render.compile import layer_numbers
from sgkit.render.drawing import DrawSettings, drawing, unlike
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels, arrange
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Layers, Mix, Scene, Sheet
from sgkit.runtime.files import check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The images of the rows' and columns' sources, and every row mixed with every column."""

    rows: tuple[Rendered, ...]
    cols: tuple[Rendered, ...]
    cells: tuple[tuple[Rendered, ...], ...]
    """Row by row: the row's image with the column's styles at ``layers``."""
    row_names: tuple[str, ...]
    col_names: tuple[str, ...]
    layers: tuple[int, ...]
    """The layers of w+ that came from the columns."""
    seconds: float

    def places(self) -> list[Rendered | None]:
        """The table, row by row: the columns' sources at the top and the rows' on the left, the corner empty."""
        table: list[Rendered | None] = [None, *self.cols]
        for source, cells in zip(self.rows, self.cells, strict=True):
            table += [source, *cells]
        return table

    def picture(self, *, gap: int = 0) -> Pixels:
        """The table as one image [H, W, C]."""
        pixels = [None if one is None else one.pixels for one in self.places()]
        return arrange(pixels, (len(self.cols) + 1, len(self.rows) + 1), gap=gap)

    def sheet(self, *, gap: int = 0) -> Sheet:
        """What the table shows, as data."""
        scenes = tuple(None if one is None else one.scene for one in self.places())
        return Sheet(scenes=scenes, columns=len(self.cols) + 1, rows=len(self.rows) + 1, gap=gap)


@dataclass(frozen=True, kw_only=True)
class MixResult:
    """A table written to a file."""

    path: Path
    rows: tuple[str, ...]
    """What the images of the rows are made from."""
    cols: tuple[str, ...]
    layers: tuple[int, ...]
    """The layers of w+ that came from the columns."""
    seconds: float


def mix(
    model: Model | Inputs,
    rows: Source | Iterable[Source],
    cols: Source | Iterable[Source],
    settings: DrawSettings | None = None,
    *,
    layers: Layers = "coarse",
    batch: int = 8,
    on_progress: OnProgress = ignore_progress,
) -> Mixture:
    """Every row's image with the styles of every column's image at ``layers``.

    Rows and columns are seeds, latent files and latents in any mixture and of any space: mixing is done in s, where it
    equals mixing in w+. Everything that is not exchanged is the row's, its noise too.

    Args:
        layers: ``coarse``, ``middle``, ``fine``, or numbers of layers of w+.

    Raises:
        UsageError: layers, label, truncation or latents do not fit the model, or a side is empty.
        InputError: a latent file cannot be read.
    """
    began, on = time.perf_counter(), drawing(model, settings)
    numbers = layer_numbers(layers, on.model.num_ws)
    sides = [list(on.origins(side)) for side in (rows, cols)]
    if not all(sides) or batch < 1:
        raise UsageError("Mixing needs at least one row, one column, and a batch of 1 or more.")
    names = unlike(origin.name for side in sides for origin in side)
    row_keys, col_keys = names[: len(sides[0])], names[len(sides[0]) :]
    scenes: list[Scene] = []
    for keys, side in ((row_keys, sides[0]), (col_keys, sides[1])):
        for key, origin in zip(keys, side, strict=True):
            scenes.append(on.scene({key: on.subject(origin, batch=len(side))}, key, seed=origin.seed))
    alone = {scene.main()[0]: scene for scene in scenes}
    for row, origin in zip(row_keys, sides[0], strict=True):
        for col in col_keys:
            mixed = alone[row].subjects[row].changed(mix=(Mix(subject=col, layers=numbers),))
            scenes.append(on.scene({row: mixed, col: alone[col].subjects[col]}, row, seed=origin.seed))
    pictures: list[Rendered] = []
    for one in render(scenes, on.inputs, batch=batch):
        pictures.append(one)
        on_progress(Progress(done=len(pictures), total=len(scenes)))
    count = len(names)
    cells = [tuple(pictures[first : first + len(col_keys)]) for first in range(count, len(pictures), len(col_keys))]
    return Mixture(
        rows=tuple(pictures[: len(row_keys)]),
        cols=tuple(pictures[len(row_keys) : count]),
        cells=tuple(cells),
        row_names=tuple(origin.name for origin in sides[0]),
        col_names=tuple(origin.name for origin in sides[1]),
        layers=numbers,
        seconds=time.perf_counter() - began,
    )


def mix_picture(mixture: Mixture, path: str | Path, *, gap: int = 0, overwrite: bool = False) -> MixResult:
    """Write the mixture's table as PNG.

    Raises:
        InputError: ``path`` exists, and is not to be overwritten.
    """
    check_new(path, overwrite=overwrite)
    write_picture(mixture.picture(gap=gap), Path(path), mixture.sheet(gap=gap))
    names = {"rows": mixture.row_names, "cols": mixture.col_names}
    return MixResult(path=Path(path), **names, layers=mixture.layers, seconds=mixture.seconds)
