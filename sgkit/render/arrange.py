"""From a scene with a grid or a line to the plane that draws any window of it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from sgkit.errors import UsageError
from sgkit.latents.spaces import Latents, join, to_styles
from sgkit.model import Model, noise_source
from sgkit.model.precision import drawing_precision
from sgkit.render.compile import Compiler, Styles, refuse_moves
from sgkit.render.edits import edit_of
from sgkit.render.grid import Endless, Grid
from sgkit.render.inputs import Inputs
from sgkit.render.pairs import PairsPlane
from sgkit.render.planes import Plane
from sgkit.render.scene import Line, Scene, Seed
from sgkit.render.strips import Strip

WIDEST = 6.0
"""Standard deviations beyond which a Gaussian counts as 0."""


def grid_of(arrangement: Grid | Line) -> Grid:
    """The arrangement as a grid: a line is one row, or one column."""
    if isinstance(arrangement, Grid):
        return arrangement
    count, across = len(arrangement.of), arrangement.axis == "x"
    return Grid(
        kind="grid",
        of=arrangement.of,
        columns=count if across else 1,
        rows=1 if across else count,
        overlap=arrangement.overlap,
        smoothing=arrangement.smoothing,
    )


def plane_of(scene: Scene, inputs: Inputs | Model | Compiler, *, tile: int | None = None) -> Plane:
    """The picture of ``scene``, a grid or a line, of which any window can be drawn.

    Args:
        scene: what to draw.
        inputs: the models and latents that it names, or the one model.
        tile: side of a tile in pixels; by default the one that the scene records.

    Raises:
        UsageError: the scene has another arrangement, or does not fit its model.
        SceneError: a model or latents are not there.
    """
    if not isinstance(scene.arrangement, (Grid, Line)):
        raise UsageError("Only a grid or a line is drawn in tiles: leave tiles out.")
    if not isinstance(inputs, Compiler):
        inputs = Compiler(inputs if isinstance(inputs, Inputs) else Inputs(inputs))
    grid = grid_of(scene.arrangement)
    model = inputs.inputs.model(scene, scene.subjects[grid.of[0]].model)
    if grid.mode == "pairs" and scene.edits:
        raise UsageError("In pairs, every piece has a separate canvas, so there are no edits. Use the mode plane.")
    plan = model.generator.synthesis.plan
    rows, columns = strips_of(scene, grid, model)
    kind = PairsPlane if grid.mode == "pairs" else Plane
    return kind(
        model,
        _StylesAt(scene, grid, inputs, model),
        rows=rows,
        columns=columns,
        noise=noise_source(scene.noise.kind, scene.noise.seed),
        size=scene.size,
        precision=drawing_precision(scene.precision, model.config, model.device),
        tile=tile or grid.tile,
        edit=edit_of(scene, plan, inputs.inputs.mask),
        last_edit=max((index for record in scene.edits for index in record.where().layers(plan)), default=-1),
    )


def strips_of(scene: Scene, grid: Grid, model: Model) -> tuple[Strip, Strip]:
    """How the places of a grid share the height and the width.

    Raises:
        UsageError: a periodic axis does not close at that size.
    """
    cell = model.image_size[0] // model.config.base[0]
    sizes = scene.size or (grid.rows * model.image_size[0], grid.columns * model.image_size[1])
    strips = []
    for axis, side, pixels, count in zip("yx", ("height", "width"), sizes, (grid.rows, grid.columns), strict=True):
        is_ring = axis in scene.periodic
        if is_ring and pixels % cell:
            below = max(pixels // cell, 1) * cell
            raise UsageError(
                f"The {side} is {pixels} pixels; so that its ends join, it must be a multiple of {cell} for this "
                f"model. Nearest: {below} or {below + cell}."
            )
        if count > -(-pixels // cell):
            raise UsageError(
                f"{count:,} {'rows' if axis == 'y' else 'columns'} do not fit into a {side} of {pixels:,} pixels: each "
                f"needs at least {cell} pixels with this model. Use a {side} of {count * cell:,} or more."
            )
        strips.append(
            Strip(
                length=-(-pixels // cell),
                count=count,
                overlap=grid.overlap,
                is_ring=is_ring,
                axis="y" if axis == "y" else "x",
                reach=0,
                blend=grid.blend,
            )
        )
    return strips[0], strips[1]


class _StylesAt:
    """The styles of a grid's places, each computed alone, so that they do not depend on what else is drawn."""

    def __init__(self, scene: Scene, grid: Grid, compiler: Compiler, model: Model) -> None:
        self.scene, self.grid, self.compiler, self.model = scene, grid, compiler, model

    def __call__(self, row: int, column: int) -> Styles:
        """Styles [1, C] by layer."""
        scene, name = self._placed(row, column)
        if not self.grid.smoothing:
            return self.compiler.styled([(scene, name)])[0].styles
        subject = scene.subjects[name]
        refuse_moves(name, subject)
        return to_styles(self._smoothed(row, column), self.model, psi=subject.psi, cutoff=subject.cutoff)

    def _placed(self, row: int, column: int) -> tuple[Scene, str]:
        """The scene with the subject of a place as the place gives it."""
        name = self.grid.name(row, column)
        subject = self.scene.subjects[name].changed(batch=1)
        if isinstance(subject.source, Endless):
            subject = subject.changed(source=Seed(seed=subject.source.seed(row, column)))
        return self.scene.changed(subjects={**self.scene.subjects, name: subject}), name

    def _smoothed(self, row: int, column: int) -> Latents:
        """z averaged with its neighbours' by a Gaussian, and brought back to unit variance."""
        grid, wrap = self.grid, self.scene.periodic
        rows = gaussian(row, grid.rows, grid.smoothing, is_ring="y" in wrap)
        columns = gaussian(column, grid.columns, grid.smoothing, is_ring="x" in wrap)
        places = [(r, c, a * b) for r, a in rows.items() for c, b in columns.items()]
        placed = [self._placed(r, c) for r, c, _ in places]
        if any(self.compiler.space(*one) != "z" for one in placed):
            raise UsageError("--smooth averages neighbouring z, so it needs seeds or latents of z.")
        latents = [self.compiler.latents(*one) for one in placed]
        own = latents[next(i for i, (r, c, _) in enumerate(places) if (r, c) == (row, column))]
        joined = join([replace(one, label=None) for one in latents])
        weights = torch.tensor([[weight for *_, weight in places]]).to(joined.only)
        z = weights @ joined.only
        return replace(own, values={"z": z * z.square().mean(dim=1, keepdim=True).rsqrt()})


def gaussian(place: int, count: int, sigma: float, *, is_ring: bool) -> dict[int, float]:
    """Weights of the places around ``place``, by a Gaussian; they sum to 1."""
    far = min(math.ceil(WIDEST * sigma), count - 1)
    around = range(place - far, place + far + 1)
    if is_ring:
        distances: dict[int, int] = {}
        for other in around:
            distance = abs(other - place)
            distances[other % count] = min(distances.get(other % count, count), distance, count - distance % count)
    else:
        distances = {other: abs(other - place) for other in around if 0 <= other < count}
    weights = {other: math.exp(-0.5 * (distance / sigma) ** 2) for other, distance in distances.items()}
    total = sum(weights.values())
    return {other: weight / total for other, weight in weights.items()}
