"""Walks through latent space: curves through the latents of several pictures, drawn frame by frame."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.latents.sources import DrawSettings, Origin, Source, draw_styles, origin_latents, read_origins
from sgkit.latents.spaces import join, to_ws
from sgkit.model import Model, NoiseSource, SeededNoise, noise_source
from sgkit.render.pictures import Pixels, arrange, to_pixels
from sgkit.render.video import FRAMES, check_animation, is_frame_folder, write_animation
from sgkit.runtime.files import atomic_directory, atomic_path, check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

WalkSpace = Literal["z", "w"]
PathName = Literal["linear", "spherical"]
SmoothName = Literal["none", "cubic"]
Floats = npt.NDArray[np.float64]
_SPACES = {"z": ("z",), "w": ("z", "w", "w+")}  # of the latents that a walk can run through


class Curve(Config):
    """How a walk runs through its keyframes, which it passes at even times."""

    space: WalkSpace = "w"
    """``w`` also takes w+ latents, and moves layer by layer."""
    path: PathName = "linear"
    """``spherical`` keeps the distance from the centre: 0 in z, the average w in w (Shoemake 1985)."""
    smooth: SmoothName = "none"
    """``cubic``: a spline with steady speed at the keyframes instead of corners."""
    loop: bool = False
    """Return to the first keyframe, so that the last frame leads on to the first."""

    def times(self, indices: range, *, frames: int, keys: int) -> Floats:
        """[len(indices)]: the times of those of ``frames`` frames, where keyframe k is passed at time k."""
        pace = keys / frames if self.loop else (keys - 1) / (frames - 1)
        return np.asarray(indices, dtype=np.float64) * pace

    def points(self, keys: Floats, times: Floats) -> Floats:
        """[len(times), ...]: where the curve through ``keys`` [K, ..., dim] is; the centre is 0."""
        knots = np.concatenate([keys, keys[:1]]) if self.loop else keys
        if self.path == "linear":
            return self._along(knots, times)
        lengths = np.linalg.norm(knots, axis=-1, keepdims=True)
        directions = knots / np.maximum(lengths, 1e-12)
        directions = self._along(directions, times) if self.smooth == "cubic" else _slerp(directions, times)
        directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-12)
        return directions * _lerp(lengths, times)

    def _along(self, knots: Floats, times: Floats) -> Floats:
        if self.smooth == "none":
            return _lerp(knots, times)
        from scipy.interpolate import CubicSpline

        spline = CubicSpline(np.arange(len(knots)), knots, bc_type="periodic" if self.loop else "natural")
        return np.asarray(spline(times), dtype=np.float64)


def _neighbours(knots: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    """The knots before and after each time, and how far the time is between them, ready to be broadcast."""
    before = np.minimum(times.astype(int), len(knots) - 2)
    share = (times - before).reshape(-1, *[1] * (knots.ndim - 1))
    return knots[before], knots[before + 1], share


def _lerp(knots: Floats, times: Floats) -> Floats:
    one, two, share = _neighbours(knots, times)
    return one + (two - one) * share


def _slerp(directions: Floats, times: Floats) -> Floats:
    """Along great circles, at even speed; opposite directions have no one great circle and are joined straight."""
    one, two, share = _neighbours(directions, times)
    angle = np.arccos(np.clip((one * two).sum(axis=-1, keepdims=True), -1.0, 1.0))
    sine = np.sin(angle)
    curved = sine > 1e-6
    safe = np.where(curved, sine, 1.0)
    weights = [np.where(curved, np.sin(part * angle) / safe, part) for part in (1.0 - share, share)]
    return np.asarray(weights[0] * one + weights[1] * two)


@dataclass(frozen=True, kw_only=True)
class InterpolateResult:
    """What was written."""

    path: Path
    frames: int
    keyframes: tuple[str, ...]
    seconds: float


def interpolate(
    model: Model,
    sources: Iterable[Source],
    settings: DrawSettings | None = None,
    *,
    curve: Curve | None = None,
    frames: int = 120,
    grid: tuple[int, int] = (1, 1),
    gap: int = 0,
    batch: int = 8,
) -> Iterator[Pixels]:
    """Frames uint8 [H, W, C] of a walk through the pictures of ``sources``, drawn as they are asked for.

    Args:
        frames: of the whole walk.
        grid: (columns, rows) of walks side by side; the sources are shared out evenly, in order.
        gap: pixels between neighbours in the grid.

    Raises:
        UsageError: too few frames or keyframes, or settings or latents do not fit the model or the curve's space.
        InputError: a latent file cannot be read.
    """
    settings, curve = settings or DrawSettings(), curve or Curve()
    origins = list(read_origins(sources, model, settings))
    walks = grid[0] * grid[1]
    _check(len(origins), walks, frames, batch)
    with torch.inference_mode():
        keys, centre, label = _keyframes(model, origins, settings, curve)
    by_walk = np.stack(np.split(keys, walks), axis=1)  # [K, walks, ...]
    at_once = max(batch // walks, 1)
    # All frames share their noise, or the picture would flicker.
    noise = SeededNoise([origins[0].seed or 0]) if settings.noise == "random" else noise_source(settings.noise)

    def drawn() -> Iterator[Pixels]:
        for first in range(0, frames, at_once):
            indices = range(first, min(first + at_once, frames))
            times = curve.times(indices, frames=frames, keys=len(by_walk))
            points = curve.points(by_walk - centre, times) + centre
            latents = torch.from_numpy(points.reshape(-1, *points.shape[2:])).to(model.device, torch.float32)
            images = _draw(model, latents, label, settings, noise)
            for index in range(0, len(images), walks):
                yield arrange(images[index : index + walks], grid, gap=gap)

    return drawn()


def interpolate_file(
    model: Model,
    sources: Iterable[Source],
    path: str | Path,
    settings: DrawSettings | None = None,
    *,
    curve: Curve | None = None,
    frames: int = 120,
    fps: float = 30.0,
    grid: tuple[int, int] = (1, 1),
    gap: int = 0,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> InterpolateResult:
    """Write a walk to ``path``: by its suffix ``.gif``, ``.webp`` or ``.mp4``, else a new folder of PNG frames.

    Frames are drawn, encoded and written one after another, so a walk may be of any length. ``overwrite`` replaces an
    older film, or a folder that holds nothing but older frames. Other arguments and errors: :func:`interpolate` and
    :func:`sgkit.render.video.write_animation`.
    """
    began, path = time.perf_counter(), Path(path)
    check_animation(path, fps=fps)
    check_new(path, overwrite=overwrite)
    is_folder = is_frame_folder(path)
    sources = list(sources)
    pictures = interpolate(model, sources, settings, curve=curve, frames=frames, grid=grid, gap=gap, batch=batch)

    def watched() -> Iterator[Pixels]:
        for done, picture in enumerate(pictures, start=1):
            yield picture
            on_progress(Progress(done=done, total=frames, unit="frames"))

    target = atomic_directory(path, overwrite=overwrite, own=FRAMES) if is_folder else atomic_path(path)
    with target as aside:
        write_animation(watched(), aside, count=frames, fps=fps)
    names = tuple(origin.name for origin in read_origins(sources, model, settings))
    return InterpolateResult(path=path, frames=frames, keyframes=names, seconds=time.perf_counter() - began)


def _check(keys: int, walks: int, frames: int, batch: int) -> None:
    if walks < 1 or keys < 2 * walks:
        each = f", so a grid of {walks} needs {2 * walks}" if walks > 1 else ""
        raise UsageError(
            f"Interpolation needs at least 2 seeds or latents{each}; {keys} {'was' if keys == 1 else 'were'} given. "
            f"Give more, for example --seeds 0-{2 * max(walks, 1) - 1}."
        )
    if keys % walks:
        raise UsageError(
            f"{keys} seeds or latents cannot be divided evenly over a grid of {walks}. "
            f"Give {keys - keys % walks} or {keys - keys % walks + walks}."
        )
    if frames < 2 or batch < 1:
        raise UsageError(f"frames is {frames} and batch is {batch}; they must be at least 2 and 1.")


def _keyframes(
    model: Model, origins: Sequence[Origin], settings: DrawSettings, curve: Curve
) -> tuple[Floats, Floats | float, Tensor | None]:
    """Keyframes [K, z_dim] or [K, num_ws, w_dim], the centre of spherical paths, the label that goes with z."""
    wrong = [origin for origin in origins if origin.space not in _SPACES[curve.space]]
    if wrong:
        raise UsageError(
            f"{wrong[0].name} is a latent of the space {wrong[0].space}, so it cannot be interpolated in "
            f"{curve.space}. "
            + ("Use --space w." if wrong[0].space != "s" else "Give latents of the space z, w or w+.")
        )
    latents = [origin_latents(model, origin, settings) for origin in origins]
    if curve.space == "z":
        joined = join(latents)
        if joined.label is not None and not torch.equal(joined.label, joined.label[:1].expand_as(joined.label)):
            raise UsageError("The keyframes have different labels, which cannot be interpolated in z. Use --space w.")
        return joined.only.double().cpu().numpy(), 0.0, None if joined.label is None else joined.label[:1]
    psi, cutoff = settings.truncation_psi, settings.truncation_cutoff
    ws = torch.cat([to_ws(one, model, psi=psi, cutoff=cutoff) for one in latents])
    return ws.double().cpu().numpy(), model.generator.mapping.w_avg.double().cpu().numpy(), None


def _draw(model: Model, points: Tensor, label: Tensor | None, settings: DrawSettings, noise: NoiseSource) -> Pixels:
    """Pictures [N, H, W, C] for ``points`` [N, z_dim] or [N, num_ws, w_dim]."""
    with torch.inference_mode():
        if points.ndim == 2:
            points = model.map(
                points,
                None if label is None else label.to(model.device).expand(len(points), -1),
                truncation_psi=settings.truncation_psi,
                truncation_cutoff=settings.truncation_cutoff,
            )
        return to_pixels(draw_styles(model, model.styles(points), noise, settings.precision))
