"""The record of a view that moves over a large image, and where it is at each frame."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

from pydantic import Field

from sgkit.errors import UsageError
from sgkit.render.records import Record

_Position = Annotated[int, Field(ge=0, le=1 << 32)]
_Length = Annotated[int, Field(ge=1, le=1 << 14)]


class Pan(Record):
    """A view of ``width`` x ``height`` pixels that moves along straight lines at a steady speed."""

    path: Annotated[tuple[tuple[_Position, _Position], ...], Field(min_length=2, max_length=10_000)]
    """Corners of its way: pixels (left, top) of the view's upper left corner."""
    width: _Length
    height: _Length
    loop: bool = False
    """The last corner shows what the first one shows, on an image whose ends join, and is left out."""

    @property
    def distance(self) -> float:
        """Pixels from the first corner to the last."""
        return sum(math.dist(one, other) for one, other in itertools.pairwise(self.path))

    def position(self, frame: int, frames: int) -> tuple[int, int]:
        """Left and top of the view at a frame; whole pixels, so that nothing flickers."""
        left = self.distance * frame / (frames if self.loop else frames - 1)
        for one, other in itertools.pairwise(self.path):
            length = math.dist(one, other)
            if left <= length and length > 0:
                share = left / length
                return round(one[0] + share * (other[0] - one[0])), round(one[1] + share * (other[1] - one[1]))
            left -= length
        return self.path[-1]

    def check(self, *, width: int, height: int, wraps: tuple[bool, bool] = (False, False)) -> None:
        """Check that the view stays within an image; ``wraps``: (x, y), whether its ends join.

        Raises:
            UsageError: it does not, or does not move.
        """
        if self.width > width or self.height > height:
            raise UsageError(
                f"The view of {self.width}x{self.height} is larger than the image of {width}x{height}. "
                "Use a smaller --view."
            )
        right = width if wraps[0] else width - self.width
        bottom = height if wraps[1] else height - self.height
        outside = next(((x, y) for x, y in self.path if x > right or y > bottom), None)
        if outside is not None:
            raise UsageError(
                f"The view of {self.width}x{self.height} at {outside[0]},{outside[1]} leaves the image of "
                f"{width}x{height}. Its upper left corner may be at 0,0 to {right},{bottom}."
            )
        if self.distance < 1:
            raise UsageError(
                f"The view of {self.width}x{self.height} cannot move: the image has {width}x{height} pixels. "
                "Use a smaller --view, or a path of at least two different points."
            )


def straight(axis: str, *, width: int, height: int, view: tuple[int, int] | None, wraps: tuple[bool, bool]) -> Pan:
    """The view that moves over a whole image along ``x`` or ``y``, in the middle of the other side.

    Args:
        axis: where it moves.
        width: of the image.
        height: of the image.
        view: width and height; by default 16:9 (moving along y: 9:16), up to 720 pixels on the short side.
        wraps: (x, y), whether ends join; then it moves once around.

    Raises:
        UsageError: the view is larger than the image, or cannot move.
    """
    if view is None:
        short = min(720, height if axis == "x" else width)
        long = min(short * 16 // 9, max((width if axis == "x" else height) * 3 // 4, 1))
        view = (long, short) if axis == "x" else (short, long)
    loop = wraps[0] if axis == "x" else wraps[1]
    left, top = (width - view[0]) // 2, (height - view[1]) // 2
    if axis == "x":
        path = ((0, max(top, 0)), (width if loop else max(width - view[0], 0), max(top, 0)))
    else:
        path = ((max(left, 0), 0), (max(left, 0), height if loop else max(height - view[1], 0)))
    pan = Pan(path=path, width=view[0], height=view[1], loop=loop)
    pan.check(width=width, height=height, wraps=wraps)
    return pan
