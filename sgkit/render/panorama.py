"""Panoramas from seeds and latent files: images in a line or a grid that blend into each other."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sgkit.latents.sources import Source
from sgkit.model import Axis, Model
from sgkit.render.arrange import plane_of
from sgkit.render.drawing import DrawSettings, drawing
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.panorama_scene import PanoramaSettings, panorama_scene
from sgkit.render.pictures import Pixels
from sgkit.render.places import Painting, Rows
from sgkit.render.planes import drawn_at_once
from sgkit.render.render import Rendered, render
from sgkit.render.scene import Scene, Sheet
from sgkit.render.seams import Seams, Steps, steps_of
from sgkit.render.stream.run import OnNote, ignore_note
from sgkit.render.stream.scenes import LARGE, MOST_PIXELS, PanSettings, pan_scene, pan_sheet, stream_scene
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import check_new
from sgkit.runtime.outputs import STILLS, check_animation, check_streamed
from sgkit.runtime.progress import OnProgress, ignore_progress


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where parts and tiles meet in a panorama: the index of the first pixel after each join."""

    width: int
    height: int
    columns: int
    rows: int
    joins_x: tuple[int, ...]
    joins_y: tuple[int, ...]
    tile: int
    wrap: tuple[Axis, ...]

    def seams(self, steps: Steps) -> PanoramaSeams:
        """Steps at these joins and elsewhere."""
        high, wide = drawn_at_once((self.height, self.width), self.tile)
        tiles_x, tiles_y = (
            [at for at in range(side, len(along), side) if at not in joins]
            for side, along, joins in ((wide, steps.x, self.joins_x), (high, steps.y, self.joins_y))
        )
        return PanoramaSeams(
            x=steps.seams(self.joins_x, axis="x", is_ring="x" in self.wrap),
            y=steps.seams(self.joins_y, axis="y", is_ring="y" in self.wrap),
            tiles_x=steps.seams(tiles_x, axis="x"),
            tiles_y=steps.seams(tiles_y, axis="y"),
        )


@dataclass(frozen=True, kw_only=True)
class PanoramaSeams:
    """Steps between pixels where images meet, and where tiles do; ``None``: nothing meets there, or not measured."""

    x: Seams | None = None
    """Where columns meet."""
    y: Seams | None = None
    """Where rows meet."""
    tiles_x: Seams | None = None
    tiles_y: Seams | None = None

    @property
    def ratio(self) -> float | None:
        """The larger of the ratios of columns and rows: about 1 where no seam shows."""
        return max((one.ratio for one in (self.x, self.y) if one), default=None)


@dataclass(frozen=True, kw_only=True)
class Panorama:
    """A panorama, and what is known of its joins."""

    rendered: Rendered
    names: tuple[str, ...]
    """The images in it."""
    layout: Layout
    seams: PanoramaSeams

    @property
    def image(self) -> Pixels:
        """uint8 [H, W, C]."""
        return self.rendered.pixels


@dataclass(frozen=True, kw_only=True)
class PanoramaResult:
    """What was written."""

    file: Path
    width: int
    height: int
    columns: int
    rows: int
    styles: tuple[str, ...]
    joins: tuple[int, ...]
    """Where columns meet: the index of the first pixel after each join."""
    joins_y: tuple[int, ...]
    """Where rows meet."""
    tile: int
    seam_ratio: float | None
    """Mean step between neighbouring pixels at the joins, over that elsewhere: about 1 where no seam shows."""
    seams: PanoramaSeams
    seconds: float
    model_hash: str
    tiles: int = 0
    """In how many tiles it was drawn; 0: whole."""
    resumed: int = 0
    """Tiles that an earlier call had finished."""
    frames: int = 0
    """Of a video; 0: an image."""


def panorama(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    settings: DrawSettings | None = None,
    arrangement: PanoramaSettings | None = None,
    *,
    places: Rows | None = None,
    painting: Painting | None = None,
) -> Panorama:
    """One image in which the images of all ``sources`` are beside each other and blend into each other.

    Raises:
        UsageError: label, truncation, latents, size, grid or overlap do not fit.
        InputError: a latent file cannot be read.
    """
    on = drawing(model, settings)
    scene = panorama_scene(on, sources, arrangement, places=places, painting=painting)
    layout = layout_of(scene, on.inputs)
    (rendered,) = render(scene, on.inputs)
    seams = layout.seams(steps_of(rendered.pixels))
    return Panorama(rendered=rendered, names=scene.main(), layout=layout, seams=seams)


def layout_of(scene: Scene, inputs: Inputs | Model) -> Layout:
    """Where parts and tiles meet in a scene with a grid or a line."""
    plane = plane_of(scene, inputs)
    cell = plane.cell
    joins = [
        tuple(at for at in (round(join * cell) for join in strip.joins) if 0 < at < side + strip.is_ring)
        for strip, side in ((plane.rows, plane.height), (plane.columns, plane.width))
    ]
    return Layout(
        width=plane.width,
        height=plane.height,
        columns=plane.columns.count,
        rows=plane.rows.count,
        joins_x=joins[1],
        joins_y=joins[0],
        tile=plane.tile,
        wrap=scene.periodic,
    )


def panorama_file(
    model: Model | Inputs,
    sources: Source | Iterable[Source],
    path: str | Path,
    settings: DrawSettings | None = None,
    arrangement: PanoramaSettings | None = None,
    *,
    places: Rows | None = None,
    painting: Painting | None = None,
    tile: int | None = None,
    max_pixels: int = MOST_PIXELS,
    pan: PanSettings | None = None,
    context: DistributedContext | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
    on_note: OnNote = ignore_note,
) -> PanoramaResult:
    """Write a panorama as PNG, JPEG, WebP, BigTIFF or a deep-zoom folder, or a video of a view that moves over it.

    It is drawn tile by tile, in memory that depends on the tile only, if ``tile`` is given, if it has more than
    ``LARGE`` pixels, for BigTIFF and deep zoom, and where processes share the work.

    Args:
        model: the model, or inputs with one.
        sources: seeds and latents, in order.
        path: .png, .jpg, .webp, .tif, .dzi, or a name that ends in _dzi; with ``pan`` as for
            :func:`sgkit.render.video.write_animation`.
        settings: how latents become images.
        arrangement: how images are placed beside each other.
        places: what stands at every place, instead of ``sources``.
        painting: what is under each of its pixels.
        tile: side of a tile in pixels.
        max_pixels: refuse a larger image.
        pan: make a video of a view that moves as this says.
        context: the processes that share the tiles.
        overwrite: replace what is at ``path``.
        on_progress: told frames or megapixels.
        on_note: told how long a large image will take, and what is continued.

    Raises:
        UsageError: as :func:`panorama`; the extension of ``path`` is unknown; more pixels than ``max_pixels``.
        InputError: a latent file cannot be read, or ``path`` exists or cannot be written.
        ResourceError: the disk is full.
    """
    began, path, on = time.perf_counter(), Path(path), drawing(model, settings)
    context = context or DistributedContext()
    if pan is None:
        check_streamed(path, whole=tile is None)
    else:
        check_animation(path, fps=pan.fps)
    check_new(path, overwrite=overwrite, resumable=pan is None)
    scene = panorama_scene(on, sources, arrangement, places=places, painting=painting)
    layout = layout_of(scene, on.inputs)
    seams, streamed, frames = PanoramaSeams(), None, 0
    if pan is not None:
        sheet = pan_sheet(scene, on.inputs, pan)
        pan_scene(sheet, on.inputs, path, tile=tile, overwrite=overwrite, on_progress=on_progress)
        frames = sheet.frames
    elif tile or context.world_size > 1 or path.suffix.lower() not in STILLS or layout.height * layout.width > LARGE:
        streamed = stream_scene(
            Sheet(scenes=(scene,)),
            on.inputs,
            path,
            tile=tile,
            max_pixels=max_pixels,
            context=context,
            overwrite=overwrite,
            on_progress=on_progress,
            on_note=on_note,
        )
    else:
        (rendered,) = render(scene, on.inputs)
        write_picture(rendered.pixels, path, Sheet(scenes=(rendered.scene,)))
        seams = layout.seams(steps_of(rendered.pixels))
    return PanoramaResult(
        file=path,
        width=layout.width,
        height=layout.height,
        columns=layout.columns,
        rows=layout.rows,
        styles=scene.main(),
        joins=layout.joins_x,
        joins_y=layout.joins_y,
        tile=streamed.tile if streamed else layout.tile,
        seam_ratio=seams.ratio,
        seams=seams,
        seconds=time.perf_counter() - began,
        model_hash=on.inputs.model_hash(on.model),
        tiles=streamed.tiles if streamed else 0,
        resumed=streamed.resumed if streamed else 0,
        frames=frames,
    )
