"""Style mixing: the styles of some layers from one picture, the rest from another (StyleGAN, section 3.1)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sgkit.errors import UsageError, did_you_mean
from sgkit.latents.sources import (
    DrawSettings,
    Origin,
    Source,
    draw_styles,
    origin_noise,
    origin_styles,
    read_origins,
)
from sgkit.model import Model
from sgkit.render.pictures import Pixels, arrange, to_pixels, write_png
from sgkit.runtime.files import atomic_path, check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

LAYER_GROUPS: dict[str, tuple[int, int | None]] = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, None)}
"""Name -> layers of w+, from and up to: styles of 4 to 8, 16 to 32, and 64 pixels and more (StyleGAN, figure 3)."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Pictures of the rows' and columns' sources, and every row mixed with every column."""

    rows: Pixels
    """uint8 [R, H, W, C]."""
    cols: Pixels
    """uint8 [C', H, W, C]."""
    cells: Pixels
    """uint8 [R, C', H, W, C]: the row's picture with the column's styles at ``layers``."""
    row_names: tuple[str, ...]
    col_names: tuple[str, ...]
    layers: tuple[int, ...]
    """The layers of w+ that came from the columns."""
    seconds: float

    def picture(self, *, gap: int = 0) -> Pixels:
        """One picture [H, W, C]: the cells, the columns' sources above them and the rows' to their left."""
        places: list[Pixels | None] = [None, *self.cols]
        for source, cells in zip(self.rows, self.cells, strict=True):
            places += [source, *cells]
        return arrange(places, (len(self.cols) + 1, len(self.rows) + 1), gap=gap)


def layer_numbers(layers: str | Sequence[int], num_ws: int) -> tuple[int, ...]:
    """Layers of w+, rising, for ``coarse``, ``middle`` or ``fine``, or for numbers.

    Raises:
        UsageError: the model has no such layers, or they are all that it has.
    """
    if num_ws == 1:
        raise UsageError(
            "This model has one w for the whole image, so there are no styles to mix. To go from one image to another, "
            "use 'sgkit interpolate'."
        )
    groups = [name for name in LAYER_GROUPS if 0 < len(range(num_ws)[slice(*LAYER_GROUPS[name])]) < num_ws]
    allowed = f"Allowed: {', '.join([*groups, f'numbers from 0 to {num_ws - 1}'])}."
    if isinstance(layers, str):
        if layers not in LAYER_GROUPS:
            raise UsageError(f"Unknown layers {layers!r}. {did_you_mean(layers, LAYER_GROUPS)}")
        found = tuple(range(num_ws)[slice(*LAYER_GROUPS[layers])])
        if not found:
            start = LAYER_GROUPS[layers][0]
            raise UsageError(
                f"--layers {layers} starts at layer {start}; the model has {num_ws} layers of w+. {allowed}"
            )
        if len(found) == num_ws:
            raise UsageError(
                f"--layers {layers} means all {num_ws} layers of this model: each mixture would be a copy of its "
                f"column. {allowed}"
            )
    else:
        found = tuple(sorted(set(layers)))
        wrong = [layer for layer in found if not 0 <= layer < num_ws]
        if wrong or not found:
            given = f"Layer {wrong[0]} of --layers is out of range" if wrong else "No layers were given"
            raise UsageError(f"{given}; the model has {num_ws} layers of w+. {allowed}")
    return found


def mix(
    model: Model,
    rows: Iterable[Source],
    cols: Iterable[Source],
    settings: DrawSettings | None = None,
    *,
    layers: str | Sequence[int] = "coarse",
    batch: int = 8,
    on_progress: OnProgress = ignore_progress,
) -> Mixture:
    """Every row's picture with the styles of every column's picture at ``layers``.

    Rows and columns are seeds, latent files and latents in any mixture and of any space: mixing is done in s, where it
    equals mixing in w+. Everything that is not exchanged is the row's, its noise too.

    Args:
        layers: ``coarse``, ``middle``, ``fine``, or numbers of layers of w+.

    Raises:
        UsageError: layers, label, truncation or latents do not fit the model, or a side is empty.
        InputError: a latent file cannot be read.
    """
    began, settings = time.perf_counter(), settings or DrawSettings()
    numbers = layer_numbers(layers, model.num_ws)
    sides = [list(read_origins(side, model, settings)) for side in (rows, cols)]
    if not all(sides) or batch < 1:
        raise UsageError("Mixing needs at least one row, one column, and a batch of 1 or more.")
    drawer = _Drawer(model, settings, numbers, sides[0], sides[1])
    cells = list(product(range(len(sides[0])), range(len(sides[1]))))
    jobs: list[tuple[int | None, int | None]] = [(row, None) for row in range(len(sides[0]))]
    jobs += [(None, col) for col in range(len(sides[1]))]
    pictures = np.concatenate(list(drawer.draw([*jobs, *cells], batch, on_progress)))
    in_rows, in_cols, in_cells = np.split(pictures, [len(sides[0]), len(jobs)])
    return Mixture(
        rows=in_rows,
        cols=in_cols,
        cells=in_cells.reshape(len(sides[0]), len(sides[1]), *in_cells.shape[1:]),
        row_names=tuple(origin.name for origin in sides[0]),
        col_names=tuple(origin.name for origin in sides[1]),
        layers=numbers,
        seconds=time.perf_counter() - began,
    )


def mix_picture(mixture: Mixture, path: str | Path, *, gap: int = 0, overwrite: bool = False) -> None:
    """Write the mixture's image as PNG; sources and layers are in it as text.

    Raises:
        InputError: ``path`` exists, and is not to be overwritten.
    """
    check_new(path, overwrite=overwrite)
    text = {
        "Software": "sgkit",
        "rows": ", ".join(mixture.row_names),
        "columns": ", ".join(mixture.col_names),
        "layers": ", ".join(str(layer) for layer in mixture.layers),
    }
    with atomic_path(path) as aside:
        write_png(mixture.picture(gap=gap), aside, text=text)


@dataclass(frozen=True)
class _Drawer:
    """Draws a row's source, a column's, or the mixture of both, by their numbers."""

    model: Model
    settings: DrawSettings
    layers: tuple[int, ...]
    rows: list[Origin]
    cols: list[Origin]

    def draw(
        self, jobs: Sequence[tuple[int | None, int | None]], batch: int, on_progress: OnProgress
    ) -> Iterator[Pixels]:
        """Pictures [n, H, W, C] for jobs (row, column), ``batch`` of them at a time."""
        with torch.inference_mode():
            styles = [origin_styles(self.model, side, self.settings) for side in (self.rows, self.cols)]
        for first in range(0, len(jobs), batch):
            part = jobs[first : first + batch]
            chosen = {name: self._choose(name, styles, part) for name in styles[0]}
            # The row keeps its noise; a column's own picture has its own.
            sources = [self.cols[col or 0] if row is None else self.rows[row] for row, col in part]
            noise = origin_noise(sources, self.settings.noise)
            yield to_pixels(draw_styles(self.model, chosen, noise, self.settings.precision))
            on_progress(Progress(done=first + len(part), total=len(jobs)))

    def _choose(
        self, name: str, styles: Sequence[Mapping[str, Tensor]], part: Sequence[tuple[int | None, int | None]]
    ) -> Tensor:
        """The layer's style for each job."""
        exchanged = self._style_index[name] in self.layers
        chosen = []
        for row, col in part:
            from_column = row is None or (col is not None and exchanged)
            chosen.append(styles[1][name][col or 0] if from_column else styles[0][name][row or 0])
        return torch.stack(chosen)

    @property
    def _style_index(self) -> dict[str, int | None]:
        return {spec.name: spec.style_index for spec in self.model.generator.synthesis.plan}
