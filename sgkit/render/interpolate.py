"""Interpolations: curves through the latents of several images, frame by frame."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.latents.sources import Origin, Source
from sgkit.model import Model
from sgkit.render.compile import Compiler
from sgkit.render.drawing import Drawing, DrawSettings, drawing, unlike
from sgkit.render.files import embedded, scene_text, sidecar, write_sheet
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels
from sgkit.render.scene import Curve, Scene, Sheet, Subject
from sgkit.render.sheets import Frame, frames_of
from sgkit.render.video import FRAMES, write_animation, write_folder
from sgkit.runtime.files import atomic_directory, atomic_path, check_new
from sgkit.runtime.outputs import check_animation, is_frame_folder
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress


class Interpolation(Config):
    """How an interpolation runs through its keyframes, which it passes at even times."""

    space: Literal["z", "w"] = "w"
    """``w`` also takes w+ latents, and moves layer by layer."""
    path: Literal["linear", "spherical"] = "linear"
    """``spherical`` keeps the distance from the centre: 0 in z, the average w in w (Shoemake 1985)."""
    smooth: Literal["none", "cubic"] = "none"
    """``cubic``: a spline with steady speed at the keyframes instead of corners."""
    loop: bool = False
    """Return to the first keyframe, so that the last frame leads on to the first."""


@dataclass(frozen=True, kw_only=True)
class InterpolateResult:
    """What was written."""

    path: Path
    frames: int
    keyframes: tuple[str, ...]
    seconds: float


def interpolate(
    model: Model | Inputs,
    sources: Iterable[Source],
    settings: DrawSettings | None = None,
    *,
    curve: Interpolation | None = None,
    frames: int = 120,
    grid: tuple[int, int] = (1, 1),
    gap: int = 0,
    batch: int = 8,
) -> Iterator[Pixels]:
    """Frames uint8 [H, W, C] of an interpolation through the images of ``sources``, drawn as they are asked for.

    Args:
        frames: of the whole interpolation.
        grid: (columns, rows) of interpolations side by side; the sources are shared out evenly, in order.
        gap: pixels between neighbours in the grid.

    Raises:
        UsageError: too few frames or keyframes, or settings or latents do not fit the model or the curve's space.
        InputError: a latent file cannot be read.
    """
    on = drawing(model, settings)
    sheet = interpolation_sheet(on, list(on.origins(sources)), curve, frames=frames, grid=grid, gap=gap, batch=batch)
    return (frame.pixels for frame in frames_of(sheet, on.inputs))


def interpolation_sheet(
    on: Drawing,
    origins: list[Origin],
    curve: Interpolation | None,
    *,
    frames: int,
    grid: tuple[int, int] = (1, 1),
    gap: int = 0,
    fps: float | None = None,
    batch: int = 8,
) -> Sheet:
    """The interpolation as data. Arguments and errors: :func:`interpolate`."""
    curve, walks = curve or Interpolation(), grid[0] * grid[1]
    _check(len(origins), walks, frames, batch)
    keys = len(origins) // walks
    names = unlike(origin.name for origin in origins)
    # All frames share their noise, or the picture would flicker.
    noise = on.noise(origins[0].seed)
    scenes: list[Scene] = []
    for walk in range(walks):
        part = slice(walk * keys, (walk + 1) * keys)
        # Keyframes are mapped one by one, so that they do not depend on each other.
        subjects = {name: on.subject(one, batch=1) for name, one in zip(names[part], origins[part], strict=True)}
        source = Curve(through=tuple(subjects), **vars(curve))
        first = next(iter(subjects.values()))
        subjects = {name: one.changed(place=None) for name, one in subjects.items()}
        moving = Subject(source=source, psi=first.psi, cutoff=first.cutoff, place=first.place)
        scenes.append(on.scene({**subjects, "frame": moving}, "frame").changed(noise=noise))
    Compiler(on.inputs).styled([(scene, "frame") for scene in scenes])  # refuses latents that do not fit, at once
    return Sheet(
        scenes=tuple(scenes),
        columns=grid[0],
        rows=grid[1],
        gap=gap,
        frames=frames,
        fps=fps,
        batch=max(batch // walks, 1) * walks,
    )


def interpolate_file(
    model: Model | Inputs,
    sources: Iterable[Source],
    path: str | Path,
    settings: DrawSettings | None = None,
    *,
    curve: Interpolation | None = None,
    frames: int = 120,
    fps: float = 30.0,
    grid: tuple[int, int] = (1, 1),
    gap: int = 0,
    batch: int = 8,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> InterpolateResult:
    """Write an interpolation to ``path``: by its suffix ``.gif``, ``.webp`` or ``.mp4``, else a folder of PNG frames.

    Frames are drawn, encoded and written one after another. ``overwrite`` replaces an older film, or a folder that
    holds nothing but older frames. Other arguments and errors: :func:`interpolate` and
    :func:`sgkit.render.video.write_animation`.
    """
    began, path, on = time.perf_counter(), Path(path), drawing(model, settings)
    check_animation(path, fps=fps)
    check_new(path, overwrite=overwrite)
    origins = list(on.origins(sources))
    sheet = interpolation_sheet(
        on, origins, curve, frames=frames, grid=grid, gap=gap, fps=None if is_frame_folder(path) else fps, batch=batch
    )
    write_frames(sheet, on.inputs, path, fps=fps, overwrite=overwrite, on_progress=on_progress)
    curves = [scene.subjects["frame"].source for scene in sheet.filled]
    names = tuple(name for source in curves if isinstance(source, Curve) for name in source.through)
    return InterpolateResult(path=path, frames=frames, keyframes=names, seconds=time.perf_counter() - began)


def write_frames(
    sheet: Sheet,
    inputs: Inputs,
    path: Path,
    *,
    fps: float,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Draw the frames of ``sheet`` into a film, or a folder of PNG files that carry their own scenes."""

    def frames() -> Iterator[Frame]:
        for done, frame in enumerate(frames_of(sheet, inputs), start=1):
            yield frame
            on_progress(Progress(done=done, total=sheet.frames, unit="frames"))

    if is_frame_folder(path):
        with atomic_directory(path, overwrite=overwrite, own=FRAMES) as folder:
            write_folder(((frame.pixels, scene_text(frame.sheet)) for frame in frames()), folder)
        return
    text = sheet.to_json()
    with atomic_path(path) as temporary:
        write_animation((frame.pixels for frame in frames()), temporary, count=sheet.frames, fps=fps, text=text)
    if embedded(path) is None:  # a long WebP has no room for it
        write_sheet(sheet, sidecar(path))


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
