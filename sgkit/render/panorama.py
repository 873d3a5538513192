"""Panoramas from seeds and latent files."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.latents.sources import Source
from sgkit.model import Axis, Model
from sgkit.render.drawing import Drawing, DrawSettings, drawing, unlike
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels
from sgkit.render.render import Rendered, render, strip_of
from sgkit.render.scene import MODEL, Line, Noise, Scene, Sheet
from sgkit.render.stream.run import OnNote, ignore_note
from sgkit.render.stream.scenes import LARGE, MOST_PIXELS, PanSettings, pan_scene, pan_sheet, stream_scene
from sgkit.render.strips import Strip
from sgkit.render.weaving import Seams, measure_seams
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import check_new
from sgkit.runtime.outputs import STILLS, check_animation, check_streamed
from sgkit.runtime.progress import OnProgress, ignore_progress


class LineSettings(Config):
    """How images stand side by side."""

    pixels: int | None = None
    """Length of the panorama; ``None``: the model's side for each image."""
    overlap: float = 0.5
    """Width of the blend between neighbours, as a fraction of each image's part: 0 (hard joins) to 1."""
    is_ring: bool = False
    """Make the ends join: 360 degrees."""
    axis: Axis = "x"
    """``x``: from left to right; ``y``: from top to bottom."""
    smoothing: float = 0.0
    """Neighbouring z are averaged with a Gaussian of this many places; 0 turns it off. For seeds and z only."""
    noise_seed: int = 0
    """Seed of the noise of ``random``."""


@dataclass(frozen=True, kw_only=True)
class Panorama:
    """A panorama, and what is known of its joins."""

    rendered: Rendered
    names: tuple[str, ...]
    """What each part came from, in order."""
    joins: tuple[int, ...]
    """Where parts join: the index of the first pixel after each join."""
    seams: Seams | None
    """Steps between pixels at the joins and elsewhere; ``None`` for a single image."""
    num_branches: int
    """How many times the work of a plain image of that size was done."""

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
    styles: tuple[str, ...]
    joins: tuple[int, ...]
    num_branches: int
    seam_ratio: float | None
    """Mean step between neighbouring pixels at the joins, over that elsewhere: about 1 where no seam shows."""
    seams: Seams | None
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
    sources: Iterable[Source],
    settings: DrawSettings | None = None,
    line: LineSettings | None = None,
) -> Panorama:
    """One image in which the images of all ``sources`` stand side by side and blend into each other.

    Raises:
        UsageError: label, truncation, latents, length or overlap do not fit.
        InputError: a latent file cannot be read.
    """
    on, line = drawing(model, settings), line or LineSettings()
    scene = panorama_scene(on, sources, line)
    assert isinstance(scene.arrangement, Line)
    strip = strip_of(scene, scene.arrangement, on.model)
    (rendered,) = render(scene, on.inputs)
    joins = _join_pixels(on.model, strip, rendered.image.shape[2 if line.axis == "x" else 1])
    return Panorama(
        rendered=rendered,
        names=scene.main(),
        joins=joins,
        seams=measure_seams(rendered.image, joins, axis=line.axis, is_ring=line.is_ring),
        num_branches=strip.num_branches,
    )


def panorama_scene(on: Drawing, sources: Iterable[Source], line: LineSettings) -> Scene:
    """The panorama as data."""
    origins = list(on.origins(sources))
    if not origins:
        raise UsageError("A panorama needs at least one image: give seeds or latents.")
    if line.smoothing < 0:
        raise UsageError(f"--smooth is {line.smoothing:g}; it must be 0 or more.")
    names = unlike(origin.name for origin in origins)
    size = None
    if line.pixels is not None:
        height, width = on.model.image_size
        size = (height, line.pixels) if line.axis == "x" else (line.pixels, width)
    return Scene(
        models={MODEL: on.inputs.reference(on.model)},
        subjects={name: on.subject(origin) for name, origin in zip(names, origins, strict=True)},
        arrangement=Line(kind="line", of=tuple(names), axis=line.axis, overlap=line.overlap, smoothing=line.smoothing),
        size=size,
        periodic=(line.axis,) if line.is_ring else (),
        noise=Noise(kind=on.settings.noise, seed=line.noise_seed),
        precision=on.settings.precision,
    )


def panorama_file(
    model: Model | Inputs,
    sources: Iterable[Source],
    path: str | Path,
    settings: DrawSettings | None = None,
    line: LineSettings | None = None,
    *,
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
        line: how images stand side by side.
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
    line, context = line or LineSettings(), context or DistributedContext()
    if pan is None:
        check_streamed(path, whole=tile is None)
    else:
        check_animation(path, fps=pan.fps)
    check_new(path, overwrite=overwrite, resumable=pan is None)
    scene = panorama_scene(on, sources, line)
    assert isinstance(scene.arrangement, Line)
    strip = strip_of(scene, scene.arrangement, on.model)
    seams, streamed, frames = None, None, 0
    if pan is not None:
        sheet = pan_sheet(scene, on.inputs, pan)
        pan_scene(sheet, on.inputs, path, tile=tile, overwrite=overwrite, on_progress=on_progress)
        frames = sheet.frames
    elif (
        tile or context.world_size > 1 or path.suffix.lower() not in STILLS or math.prod(_size(on.model, scene)) > LARGE
    ):
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
        found = panorama(on.inputs, sources, on.settings, line)
        write_picture(found.image, path, Sheet(scenes=(found.rendered.scene,)))
        seams = found.seams
    height, width = _size(on.model, scene)
    return PanoramaResult(
        file=path,
        width=width,
        height=height,
        styles=scene.main(),
        joins=_join_pixels(on.model, strip, width if line.axis == "x" else height),
        num_branches=strip.num_branches,
        seam_ratio=seams.ratio if seams else None,
        seams=seams,
        seconds=time.perf_counter() - began,
        model_hash=on.inputs.model_hash(on.model),
        tiles=streamed.tiles if streamed else 0,
        resumed=streamed.resumed if streamed else 0,
        frames=frames,
    )


def _size(model: Model, scene: Scene) -> tuple[int, int]:
    """Height and width of a panorama in pixels."""
    if scene.size is not None:
        return scene.size
    height, width = model.image_size
    assert isinstance(scene.arrangement, Line)
    count = len(scene.arrangement.of)
    return (height, width * count) if scene.arrangement.axis == "x" else (height * count, width)


def _join_pixels(model: Model, strip: Strip, length: int) -> tuple[int, ...]:
    cell = model.image_size[0] // model.config.base[0]
    positions = (round(join * cell) for join in strip.joins)
    return tuple(position for position in positions if 0 < position < length + strip.is_ring)
