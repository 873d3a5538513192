"""Options of images that are drawn tile by tile, and of videos of a view that moves over them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sgkit.cli.given import Given
from sgkit.cli.options import Size, parse_size
from sgkit.errors import UsageError
from sgkit.runtime.outputs import check_animation, check_streamed

if TYPE_CHECKING:
    from sgkit.render.stream.scenes import PanSettings

LARGEST_TILE = 1 << 14
MOST_PIXELS = 4_000_000_000
"""Of an image, unless more are allowed: a slip of the keyboard is easily a terabyte."""


class PanPath(tuple[tuple[int, int], ...]):
    """Points (left, top) of a path; empty: along ``axis``."""

    axis: Literal["x", "y"] | None = None


def parse_pan(text: str | PanPath) -> PanPath:
    """A path from ``x``, ``y``, or points such as ``0,0 900,200``.

    Raises:
        typer.BadParameter: the text is neither.
    """
    if isinstance(text, PanPath):
        return text
    words = text.split()
    if words in (["x"], ["y"]):
        path = PanPath()
        path.axis = "x" if words == ["x"] else "y"
        return path
    if len(words) < 2 or not all(re.fullmatch(r"\d{1,9},\d{1,9}", word) for word in words):
        raise typer.BadParameter(
            f"Not a path: {text!r}. Use x, y, or at least two points LEFT,TOP in quotes, for example '0,0 900,200'."
        )
    return PanPath((int(left), int(top)) for left, top in (word.split(",") for word in words))


TileOption = Annotated[
    int | None,
    typer.Option(
        "--tile",
        min=16,
        max=LARGEST_TILE,
        metavar="PIXELS",
        help="Draw in square tiles with this side, a multiple of 16: memory depends on the tile, not on the image. "
        "Images above 32 megapixels always are.",
        show_default="512 where tiles are used",
    ),
]
MaxPixelsOption = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Refuse a larger image (protection against a slip in its size).",
        show_default="4,000,000,000",
    ),
]
PanOption = Annotated[
    PanPath | None,
    typer.Option(
        "--pan",
        parser=parse_pan,
        metavar="x|y|POINTS",
        help="Write a video of a view that moves along x or y, or through points LEFT,TOP, for example '0,0 900,200'.",
        show_default=False,
    ),
]
ViewOption = Annotated[
    Size | None,
    typer.Option(
        "--view",
        parser=parse_size,
        metavar="WIDTHxHEIGHT",
        help="With --pan: size of the view.",
        show_default="16:9, up to 720 pixels high",
    ),
]
SpeedOption = Annotated[
    float, typer.Option("--speed", metavar="PIXELS", help="With --pan: how far the view moves in each frame.")
]
FpsOption = Annotated[float, typer.Option("--fps", metavar="N", help="With --pan: frames per second.")]


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a large image is drawn, or a view that moves over it."""

    tile: TileOption = None
    max_pixels: MaxPixelsOption = MOST_PIXELS
    pan: PanOption = None
    view: ViewOption = None
    speed: SpeedOption = 4.0
    fps: FpsOption = 30.0

    def check(self, out: Path, given: Given) -> None:
        """Refuse a name that stands for no kind of file, and options that have no effect, before anything is loaded.

        What may be streamed needs the cache of compiled convolutions to be bounded before the first of them.

        Raises:
            UsageError: an unknown extension, or an option without effect.
        """
        given.refuse("view", "speed", "fps", when=self.pan is None, because="it is about the video of --pan")
        if self.pan is None:
            from sgkit.runtime.allocator import bound_primitive_cache

            bound_primitive_cache()
            check_streamed(out, whole=True)
            return
        given.refuse("max_pixels", when=True, because="a video never holds the whole image")
        check_animation(out, fps=self.fps)
        if self.speed <= 0:
            raise UsageError(f"--speed is {self.speed:g}; it must be above 0, in pixels per frame.")

    def pan_settings(self) -> PanSettings | None:
        """The settings of the video of ``--pan``."""
        if self.pan is None:
            return None
        from sgkit.render.stream.scenes import PanSettings

        size = None if self.view is None else (self.view.width, self.view.height)
        return PanSettings(path=self.pan.axis or tuple(self.pan), view=size, speed=self.speed, fps=self.fps)
