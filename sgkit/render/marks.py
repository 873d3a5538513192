"""Points drawn over images: where a handle is, and where it is dragged to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from PIL import ImageDraw
from pydantic import Field

from sgkit.render.pictures import Pixels, to_picture
from sgkit.render.records import Record

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Point = tuple[Coordinate, Coordinate]
HANDLE, TARGET, WAY = (230, 40, 40), (40, 90, 240), (255, 255, 255)
"""Colours: red, blue, white."""
SHARE = 64
"""A dot's radius is this part of the shorter side."""


class Mark(Record):
    """A handle in one place of a sheet, in pixels of its image: (0, 0) is the centre of the first."""

    place: Annotated[int, Field(ge=0, lt=1 << 20)] = 0
    """Which of the sheet's places."""
    handle: Point
    target: Point
    """Joined to the handle by a line."""


def marked(pixels: Pixels, marks: Sequence[Mark], *, scale: int = 1) -> Pixels:
    """``pixels`` uint8 [H, W, C], already enlarged by ``scale``, with ``marks`` drawn over them; colours, no alpha."""
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    if not marks:
        return pixels
    image = to_picture(pixels).convert("RGB")
    draw = ImageDraw.Draw(image)
    radius = max(min(image.size) / SHARE, 1.5)

    def place(point: Point) -> tuple[float, float]:
        x, y = point
        return (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5

    for mark in marks:
        draw.line([place(mark.handle), place(mark.target)], fill=WAY, width=max(round(radius / 2), 1))
    for colour, points in ((TARGET, [mark.target for mark in marks]), (HANDLE, [mark.handle for mark in marks])):
        for x, y in map(place, points):
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    return np.asarray(image)
