"""Making an image or animation again from the scene that it carries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgkit.errors import SceneError
from sgkit.render.files import write_picture
from sgkit.render.inputs import Inputs
from sgkit.render.interpolate import write_frames
from sgkit.render.parsing import changed
from sgkit.render.pictures import check_picture
from sgkit.render.scene import MODEL, Alone, Line, ModelRef, Scene, Sheet
from sgkit.render.sheets import still_of
from sgkit.render.stream.run import OnNote, ignore_note
from sgkit.render.stream.scenes import MOST_PIXELS, is_large, pan_scene, stream_scene
from sgkit.runtime.files import check_new
from sgkit.runtime.outputs import check_animation
from sgkit.runtime.progress import OnProgress, ignore_progress


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """What was written."""

    file: Path
    scenes: int
    frames: int
    """0: a still image."""
    model_hash: str
    """Of the first model."""
    seconds: float


def models_of(sheet: Sheet) -> dict[str, ModelRef]:
    """The models that the scenes of ``sheet`` name, by the keys that they use.

    Raises:
        SceneError: two scenes give different models the same key.
    """
    found: dict[str, ModelRef] = {}
    for scene in sheet.filled:
        used = {subject.model for subject in scene.subjects.values()}
        for key in [*(key for key in scene.models if key in used), *sorted(used - scene.models.keys())]:
            ref = scene.models.get(key, ModelRef())
            if found.setdefault(key, ref) != ref:
                raise SceneError(
                    f"Two scenes of the file call different models {key!r}; sgkit replay needs one model for each key. "
                    "Rename one of them in the scene."
                )
    return found or {MODEL: ModelRef()}


def edited(sheet: Sheet, settings: Mapping[str, Any], *, size: tuple[int, int] | None = None) -> Sheet:
    """``sheet`` with other values in all of its scenes; ``size``: height and width.

    Raises:
        UsageError: the key is unknown, or a value does not fit.
    """
    if not settings and size is None:
        return sheet
    scenes = tuple(_edited(one, settings, size) if isinstance(one, Scene) else one for one in sheet.scenes)
    return sheet.changed(scenes=scenes)


def _edited(scene: Scene, settings: Mapping[str, Any], size: tuple[int, int] | None) -> Scene:
    if size is not None:
        line = scene.arrangement
        if isinstance(line, Alone):  # one subject on a larger canvas is a line of one
            line = Line(kind="line", of=(line.of,), axis="y" if size[0] > size[1] else "x")
        scene = scene.changed(size=size, arrangement=line)
    return changed(scene, settings) if settings else scene


def replay(
    sheet: Sheet,
    inputs: Inputs,
    path: Path,
    *,
    batch: int = 8,
    max_pixels: int = MOST_PIXELS,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
    on_note: OnNote = ignore_note,
) -> ReplayResult:
    """Draw ``sheet`` into ``path``: the same to the last bit on the same device.

    A large panorama is drawn tile by tile, up to ``max_pixels``; ``on_note`` is told how long that will take.

    Raises:
        UsageError: the file's extension does not fit what the sheet shows.
        SceneError: a model or latents are not there.
    """
    began = time.perf_counter()
    if sheet.pan is not None:
        pan_scene(sheet, inputs, path, overwrite=overwrite, on_progress=on_progress)
    elif sheet.frames:
        fps = sheet.fps or 30.0
        check_animation(path, fps=fps)
        check_new(path, overwrite=overwrite)
        write_frames(sheet, inputs, path, fps=fps, overwrite=overwrite, on_progress=on_progress)
    elif is_large(path, sheet, inputs):
        stream_scene(
            sheet,
            inputs,
            path,
            max_pixels=max_pixels,
            overwrite=overwrite,
            on_progress=on_progress,
            on_note=on_note,
        )
    else:
        check_picture(path)
        check_new(path, overwrite=overwrite)
        pixels, drawn = still_of(sheet, inputs, batch=batch, on_progress=on_progress)
        write_picture(pixels, path, drawn)
    return ReplayResult(
        file=path,
        scenes=len(sheet.filled),
        frames=sheet.frames,
        model_hash=inputs.model_hash(inputs.first),
        seconds=time.perf_counter() - began,
    )
