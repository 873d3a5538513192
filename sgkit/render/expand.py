"""Images made larger by their features: padded, tiled, stretched, or with a part repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sgkit.config.base import Config
from sgkit.config.shapes import parse_shape
from sgkit.edits import closing
from sgkit.errors import UsageError
from sgkit.latents.sources import Source
from sgkit.model import Model
from sgkit.render.drawing import Drawing, DrawSettings, drawing
from sgkit.render.geometry import EditRecord, Pad, Repeat, Resize, Tile, resolution
from sgkit.render.inputs import Inputs
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Scene

ExpandMode = Literal["reflect", "replicate", "circular", "constant", "tile", "resize"]


class ExpandSettings(Config):
    """How images are made larger."""

    mode: ExpandMode = "reflect"
    """What new places show: the image reflected, its edge replicated, its opposite end, zeros; copies of the whole
    image; or the image stretched."""
    at: str = "8px"
    """The resolution whose features are expanded: coarser ones give new content, finer ones repeat it."""
    factor: tuple[float, float] | None = None
    """Width and height of the result, in those of the model's image."""
    left: int = 0
    """Pixels of the result that are added at the left; so ``right``, ``top`` and ``bottom``."""
    right: int = 0
    top: int = 0
    bottom: int = 0
    filter: Literal["nearest-exact", "bilinear", "bicubic"] = "nearest-exact"
    """Of ``resize``."""
    repeat: str | None = None
    """A box, ``box:left,top,right,bottom[,softness]``, whose content is repeated in place of all this."""
    times: int = 3
    """How often."""
    vertical: bool = False
    """Repeat it downwards, not to the right."""


def expand(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    settings: DrawSettings | None = None,
    expansion: ExpandSettings | None = None,
    *,
    batch: int = 8,
) -> Iterator[Rendered]:
    """Images made larger, one for each seed and each latent of a file, in order.

    Raises:
        UsageError: as :func:`expand_scenes`.
        InputError: a latent file cannot be read.
    """
    on = drawing(model, settings)
    return render(expand_scenes(on, sources, expansion or ExpandSettings()).values(), on.inputs, batch=batch)


def expand_scenes(on: Drawing, sources: Source | Iterable[Source], expansion: ExpandSettings) -> dict[str, Scene]:
    """The expanded images as data, by name.

    Raises:
        UsageError: nothing would change, a length is not a whole number of features, or the model has no such
            resolution.
    """
    edits = expand_edits(on.model, expansion)
    return {name: scene.changed(edits=edits) for name, scene in on.alone(sources).items()}


@dataclass(frozen=True)
class _Level:
    """The features that are expanded."""

    size: tuple[int, int]
    """Height and width of the image in pixels of the layer."""
    cell: int
    """Pixels of the result along one of them."""
    at: str


def _level(model: Model, at: str) -> _Level:
    plan = model.generator.synthesis.plan
    (index,) = closing(resolution(at)).layers(plan)
    height, width = (side - 2 * plan[index].margin for side in plan[index].size)
    return _Level((height, width), model.image_size[0] // height, at)


def expand_edits(model: Model, expansion: ExpandSettings) -> tuple[EditRecord, ...]:
    """The changes of the canvas that ``expansion`` means for ``model``."""
    level = _level(model, expansion.at)
    if expansion.repeat is not None:
        return (_repeat(expansion, level),)
    left, right, top, bottom = (
        _cells(getattr(expansion, side), side, level) for side in ("left", "right", "top", "bottom")
    )
    wide, high = expansion.factor or ((1.0, 1.0) if left or right or top or bottom else (2.0, 1.0))
    if not 0 < wide <= 64 or not 0 < high <= 64:
        raise UsageError(f"The factor {wide:g}x{high:g} is out of range; both must be above 0 and at most 64.")
    height, width = level.size
    if expansion.mode == "resize":
        if left or right or top or bottom:
            raise UsageError("--mode resize stretches the whole image: give --factor in place of --left, --right ...")
        factors = {"height_factor": high, "width_factor": wide}
        return _some((Resize(kind="resize", at=level.at, mode=expansion.filter, **factors),), (wide, high) != (1, 1))
    across, down = (max(round(side * factor) - side, 0) for side, factor in ((width, wide), (height, high)))
    if min(wide, high) < 1:
        raise UsageError(f"The factor {wide:g}x{high:g} makes the image smaller; only --mode resize does that.")
    if expansion.mode == "tile":
        if left or top:
            raise UsageError("--mode tile repeats the image to the right and down: use --right, --bottom or --factor.")
        lengths = {"x": width + across + right, "y": height + down + bottom}
        changes = {"x": lengths["x"] > width, "y": lengths["y"] > height}
        tiles = tuple(Tile(kind="tile", at=level.at, length=lengths[a], axis=a) for a in ("x", "y") if changes[a])
        return _some(tiles, bool(tiles))
    sides = {
        "left": left + across // 2,
        "right": right + across - across // 2,
        "top": top + down // 2,
        "bottom": bottom + down - down // 2,
    }
    return _some((Pad(kind="pad", at=level.at, mode=expansion.mode, **sides),), any(sides.values()))


def _some(edits: tuple[EditRecord, ...], changes: bool) -> tuple[EditRecord, ...]:
    if not changes:
        raise UsageError("Nothing would be expanded. Give --factor 2x1, or a side such as --right 64.")
    return edits


def _cells(pixels: int, side: str, level: _Level) -> int:
    if pixels < 0:
        raise UsageError(f"--{side} is {pixels}; it must be 0 or more.")
    if pixels % level.cell:
        below = pixels // level.cell * level.cell
        nearest = [value for value in (below, below + level.cell) if value]
        raise UsageError(
            f"--{side} {pixels} is not a whole number of features: at {level.at} one is {level.cell} pixels of this "
            f"model's image. Nearest: {' or '.join(map(str, nearest))}. A finer --at has smaller ones."
        )
    return pixels // level.cell


def _repeat(expansion: ExpandSettings, level: _Level) -> Repeat:
    parsed = parse_shape(expansion.repeat or "")
    if parsed.kind != "box" or parsed.is_inverse:
        raise UsageError(f"--repeat takes a box, for example box:0,0.5,0.4,1; {expansion.repeat!r} is not one.")
    if not 2 <= expansion.times <= 1024:
        raise UsageError(f"--times is {expansion.times}; it must be from 2 to 1024.")
    left, top, right, bottom = parsed.numbers[:4]
    return Repeat(
        kind="repeat",
        at=level.at,
        box=(left, top, right, bottom),
        times=expansion.times,
        axis="y" if expansion.vertical else "x",
        softness=parsed.softness,
    )
