"""Panoramas of any size: from scenes to files that are written tile by tile, and to videos of a moving view."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sgkit.config.base import Config
from sgkit.errors import UsageError
from sgkit.render.arrange import grid_of, plane_of
from sgkit.render.files import embedded, scene_text, sidecar, write_sheet
from sgkit.render.grid import Grid
from sgkit.render.inputs import Inputs
from sgkit.render.pan import Pan, straight
from sgkit.render.pictures import Pixels, to_pixels
from sgkit.render.planes import Plane as Drawn
from sgkit.render.scene import Line, Scene, Sheet
from sgkit.render.stream.run import OnNote, StreamResult, ignore_note, stream
from sgkit.render.stream.views import Views, pan_frames
from sgkit.render.video import FRAMES, write_animation, write_folder
from sgkit.runtime.distributed import DistributedContext
from sgkit.runtime.files import atomic_directory, atomic_path, check_new
from sgkit.runtime.limits import size_of
from sgkit.runtime.outputs import check_animation, is_frame_folder
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress

LARGE = 32_000_000
"""Pixels from which on an image is not put together in memory."""
MOST_PIXELS = 4_000_000_000
"""Of an image, unless more are allowed: a slip of the keyboard is easily a terabyte."""


class PanSettings(Config):
    """How a view moves over a panorama."""

    path: Literal["x", "y"] | tuple[tuple[int, int], ...] = "x"
    """Along the width or the height; or the pixels (left, top) that its upper left corner passes."""
    view: tuple[int, int] | None = None
    """Width and height of the view; ``None``: 16:9, up to 720 pixels high."""
    speed: float = 4.0
    """Pixels for each frame."""
    fps: float = 30.0
    """Frames for each second."""


class Tiles:
    """The image of a scene with a grid or a line, as pixels."""

    def __init__(self, plane: Drawn) -> None:
        self.drawn, self.height, self.width, self.channels = plane, plane.height, plane.width, plane.channels

    def window(self, top: int, left: int, height: int, width: int) -> Pixels:
        """Pixels uint8 [height, width, channels] of a part."""
        pixels: Pixels = to_pixels(self.drawn.window(top, left, height, width))[0]
        return pixels


def is_large(path: Path, sheet: Sheet, inputs: Inputs) -> bool:
    """Whether ``sheet`` is written to ``path`` tile by tile: because of the format, or of its size."""
    if path.suffix.lower() in (".tif", ".tiff", ".dzi") or path.name.endswith("_dzi"):
        return True
    scene = sheet.scenes[0]
    if sheet.pan is not None or len(sheet.scenes) > 1 or not isinstance(scene, Scene):
        return False
    if not isinstance(scene.arrangement, Grid):  # a line is drawn whole, as it always was
        return False
    plane = plane_of(scene, inputs)
    return plane.height * plane.width > LARGE


def stream_scene(
    sheet: Sheet,
    inputs: Inputs,
    path: str | Path,
    *,
    tile: int | None = None,
    max_pixels: int = MOST_PIXELS,
    context: DistributedContext | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
    on_note: OnNote = ignore_note,
) -> StreamResult:
    """Draw the one scene of ``sheet``, a grid or a line, into ``path`` tile by tile.

    Args:
        sheet: what to draw.
        inputs: the models and latents that it names.
        path: .png, .tif, .dzi, or a name that ends in _dzi.
        tile: side of a tile in pixels; by default the one that the scene records.
        max_pixels: refuse a larger image.
        context: the processes that share the tiles.
        overwrite: replace what is at ``path``.
        on_progress: told megapixels.
        on_note: told the estimate, and what is continued.

    Raises:
        UsageError: another arrangement, more pixels than ``max_pixels``, or settings do not fit the model.
        InputError, ResourceError, SceneError: as :func:`sgkit.render.stream.stream` and :func:`plane_of`.
    """
    scene, plane = _opened(sheet, inputs, tile)
    pixels = plane.height * plane.width
    if pixels > max_pixels:
        raise UsageError(
            f"An image of {plane.width:,}x{plane.height:,} has {pixels / 1e6:,.0f} megapixels "
            f"({size_of(pixels * plane.channels)} uncompressed); the limit is {max_pixels / 1e6:,.0f}. "
            f"If you mean it: --max-pixels {pixels}"
        )
    return stream(
        Tiles(plane),
        path,
        Sheet(scenes=(scene,)),
        tile=plane.tile,
        context=context,
        overwrite=overwrite,
        on_progress=on_progress,
        on_note=on_note,
    )


def pan_scene(
    sheet: Sheet,
    inputs: Inputs,
    path: Path,
    *,
    tile: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Write the video of ``sheet.pan``, a view that moves over the one scene; the image itself is never whole.

    Raises:
        UsageError: the view leaves the image, or the format does not fit.
    """
    fps, pan = sheet.fps or 30.0, sheet.pan
    assert pan is not None
    check_animation(path, fps=fps)
    check_new(path, overwrite=overwrite)
    scene, plane = _opened(sheet, inputs, tile)
    wraps = ("x" in scene.periodic, "y" in scene.periodic)
    pan.check(width=plane.width, height=plane.height, wraps=wraps)
    sheet = sheet.changed(scenes=(scene,))
    views = Views(Tiles(plane), tile=plane.tile, wraps=wraps)

    def frames() -> Iterator[Pixels]:
        for done, frame in enumerate(pan_frames(views, pan, sheet.frames), start=1):
            yield frame
            on_progress(Progress(done=done, total=sheet.frames, unit="frames"))

    if is_frame_folder(path):
        with atomic_directory(path, overwrite=overwrite, own=FRAMES) as folder:
            texts = itertools.chain([scene_text(sheet)], itertools.repeat({}))
            write_folder(zip(frames(), texts, strict=False), folder)
        return
    with atomic_path(path) as temporary:
        write_animation(frames(), temporary, count=sheet.frames, fps=fps, text=sheet.to_json())
    if embedded(path) is None:
        write_sheet(sheet, sidecar(path))


def pan_sheet(scene: Scene, inputs: Inputs, settings: PanSettings) -> Sheet:
    """A view that moves over the panorama ``scene``, as data.

    Raises:
        UsageError: the view does not fit, or the speed is not above 0 and at most its way.
    """
    plane = plane_of(scene, inputs)
    wraps = ("x" in scene.periodic, "y" in scene.periodic)
    if isinstance(settings.path, str):
        pan = straight(settings.path, width=plane.width, height=plane.height, view=settings.view, wraps=wraps)
    else:
        width, height = settings.view or (min(plane.width, 1280), min(plane.height, 720))
        pan = Pan(path=settings.path, width=width, height=height)
        pan.check(width=plane.width, height=plane.height, wraps=wraps)
    if not 0 < settings.speed <= pan.distance:
        raise UsageError(
            f"The speed is {settings.speed:g} pixels per frame; it must be above 0 and at most {pan.distance:g}, the "
            "way that the view moves."
        )
    frames = max(round(pan.distance / settings.speed), 2 if pan.loop else 1) + (not pan.loop)
    return Sheet(scenes=(scene,), pan=pan, frames=frames, fps=settings.fps)


def _opened(sheet: Sheet, inputs: Inputs, tile: int | None) -> tuple[Scene, Drawn]:
    """The scene with how it is drawn, and its plane."""
    scene = sheet.scenes[0]
    if len(sheet.scenes) > 1 or not isinstance(scene, Scene) or not isinstance(scene.arrangement, (Grid, Line)):
        raise UsageError(
            "Only panoramas are drawn tile by tile, and this is not one. Use --out with .png for a still image."
        )
    plane = plane_of(scene, inputs, tile=tile)
    grid = grid_of(scene.arrangement).changed(tile=plane.tile)
    return scene.changed(arrangement=grid, precision=plane.precision), plane
