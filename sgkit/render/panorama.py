"""Panoramas from seeds and latent files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.latents.sources import DrawSettings, Origin, Source, origin_latents, origin_styles, read_origins
from sgkit.latents.spaces import join
from sgkit.model import Axis, Model
from sgkit.render.pictures import Pixels, to_pixels, write_png
from sgkit.render.strips import Strip
from sgkit.render.weaving import Seams, layout, measure_seams, weave_styles
from sgkit.runtime.files import atomic_path, check_new
from sgkit.runtime.precision import autocast


class WeaveSettings(Config):
    """How styles stand on the strip."""

    pixels: int | None = None
    """Length of the strip; ``None``: the model's side for each style."""
    overlap: float = 0.5
    """Width of the ramp around a join, as a fraction of a style's part: 0 (hard joins) to 1."""
    is_ring: bool = False
    """Let the far edge meet the near one: 360 degrees."""
    axis: Axis = "x"
    """``x``: from left to right; ``y``: from top to bottom."""
    smoothing: float = 0.0
    """Neighbouring z are averaged with a Gaussian of this many places; 0: each stays its own. For seeds and z only."""
    noise_seed: int = 0
    """Seed of the noise of ``random``."""


@dataclass(frozen=True, kw_only=True)
class Panorama:
    """A woven picture."""

    image: Pixels
    """uint8 [H, W, C]."""
    names: tuple[str, ...]
    """What each style came from, in order."""
    joins: tuple[int, ...]
    """Where parts join: the index of the first pixel after each join, along the strip."""
    seams: Seams | None
    """Steps between pixels at the joins and elsewhere; ``None`` for a single style."""
    num_branches: int
    """How many times the work of a plain picture of that size was done."""


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
    model: Model,
    sources: Iterable[Source],
    settings: DrawSettings | None = None,
    weaving: WeaveSettings | None = None,
) -> Panorama:
    """One picture in which the styles of all ``sources`` stand side by side, woven in a single walk.

    Raises:
        UsageError: label, truncation, latents, length or overlap do not fit.
        InputError: a latent file cannot be read.
    """
    settings, weaving = settings or DrawSettings(), weaving or WeaveSettings()
    origins = list(read_origins(sources, model, settings))
    strip = layout(
        model,
        len(origins),
        pixels=weaving.pixels,
        overlap=weaving.overlap,
        is_ring=weaving.is_ring,
        axis=weaving.axis,
    )
    with torch.inference_mode():
        styles = origin_styles(model, _smoothed(model, origins, settings, weaving), settings)
        with autocast(settings.precision, model.device):
            image = weave_styles(
                model,
                styles,
                pixels=weaving.pixels,
                overlap=weaving.overlap,
                is_ring=weaving.is_ring,
                axis=weaving.axis,
                noise=settings.noise,
                noise_seed=weaving.noise_seed,
            )
        joins = _join_pixels(model, strip, image.shape[3 if weaving.axis == "x" else 2])
        seams = measure_seams(image[0], joins, axis=weaving.axis, is_ring=weaving.is_ring)
    return Panorama(
        image=to_pixels(image)[0],
        names=tuple(origin.name for origin in origins),
        joins=joins,
        seams=seams,
        num_branches=strip.num_branches,
    )


def panorama_file(
    model: Model,
    sources: Iterable[Source],
    path: str | Path,
    settings: DrawSettings | None = None,
    weaving: WeaveSettings | None = None,
    *,
    overwrite: bool = False,
) -> PanoramaResult:
    """Write a panorama as PNG; how it was made is in it as text.

    Raises:
        UsageError: as :func:`panorama`, or ``path`` does not end in ``.png``.
        InputError: a latent file cannot be read, or ``path`` exists or cannot be written.
    """
    path, settings, weaving = Path(path), settings or DrawSettings(), weaving or WeaveSettings()
    if path.suffix.lower() != ".png":
        raise UsageError(f"Panoramas are written as PNG; {path.name!r} does not end in .png.")
    check_new(path, overwrite=overwrite)
    began, model_hash = time.perf_counter(), model.content_hash()
    woven = panorama(model, sources, settings, weaving)
    text = {
        "Software": "sgkit",
        "sources": json.dumps(woven.names),
        "truncation_psi": json.dumps(settings.truncation_psi),
        "noise": settings.noise,
        "overlap": json.dumps(weaving.overlap),
        "wrap": json.dumps(weaving.is_ring),
        "model": model_hash,
    }
    with atomic_path(path) as aside:
        write_png(woven.image, aside, text=text)
    height, width = woven.image.shape[:2]
    return PanoramaResult(
        file=path,
        width=width,
        height=height,
        styles=woven.names,
        joins=woven.joins,
        num_branches=woven.num_branches,
        seam_ratio=woven.seams.ratio if woven.seams else None,
        seams=woven.seams,
        seconds=time.perf_counter() - began,
        model_hash=model_hash,
    )


def _join_pixels(model: Model, strip: Strip, length: int) -> tuple[int, ...]:
    cell = model.image_size[0] // model.config.base[0]
    positions = (round(join * cell) for join in strip.joins)
    return tuple(position for position in positions if 0 < position < length + strip.is_ring)


def _smoothed(
    model: Model, origins: Sequence[Origin], settings: DrawSettings, weaving: WeaveSettings
) -> Sequence[Origin]:
    """The origins with neighbouring z averaged and brought back to unit variance."""
    if weaving.smoothing == 0:
        return origins
    if weaving.smoothing < 0 or any(origin.space != "z" for origin in origins):
        raise UsageError("--smooth averages neighbouring z, so it needs a width above 0, and seeds or latents of z.")
    latents = join([origin_latents(model, origin, settings) for origin in origins])
    z = _gaussian(len(origins), weaving.smoothing, weaving.is_ring).to(latents.only) @ latents.only
    z = z * z.square().mean(dim=1, keepdim=True).rsqrt()
    return list(read_origins([replace(latents, values={"z": z}, names=tuple(origin.name for origin in origins))]))


def _gaussian(count: int, sigma: float, is_ring: bool) -> Tensor:
    """Weights [count, count] of every place for every place; each row sums to 1."""
    places = torch.arange(count, dtype=torch.float64)
    distance = (places[:, None] - places[None, :]).abs()
    if is_ring:
        distance = torch.minimum(distance, count - distance)
    weights = (-0.5 * (distance / sigma).square()).exp()
    return weights / weights.sum(dim=1, keepdim=True)
