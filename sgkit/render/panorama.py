"""Panoramas from seeds and latent files."""

from __future__ import annotations

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
from sgkit.render.strips import Strip
from sgkit.render.weaving import Seams, measure_seams
from sgkit.runtime.files import check_new


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
    overwrite: bool = False,
) -> PanoramaResult:
    """Write a panorama as PNG.

    Raises:
        UsageError: as :func:`panorama`, or ``path`` does not end in ``.png``.
        InputError: a latent file cannot be read, or ``path`` exists or cannot be written.
    """
    began, path, on = time.perf_counter(), Path(path), drawing(model, settings)
    if path.suffix.lower() != ".png":
        raise UsageError(f"Panoramas are written as PNG; {path.name!r} does not end in .png.")
    check_new(path, overwrite=overwrite)
    found = panorama(on.inputs, sources, on.settings, line)
    write_picture(found.image, path, Sheet(scenes=(found.rendered.scene,)))
    height, width = found.image.shape[:2]
    return PanoramaResult(
        file=path,
        width=width,
        height=height,
        styles=found.names,
        joins=found.joins,
        num_branches=found.num_branches,
        seam_ratio=found.seams.ratio if found.seams else None,
        seams=found.seams,
        seconds=time.perf_counter() - began,
        model_hash=on.inputs.model_hash(on.model),
    )


def _join_pixels(model: Model, strip: Strip, length: int) -> tuple[int, ...]:
    cell = model.image_size[0] // model.config.base[0]
    positions = (round(join * cell) for join in strip.joins)
    return tuple(position for position in positions if 0 < position < length + strip.is_ring)
