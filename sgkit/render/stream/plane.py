"""An image that is never in memory as a whole, and how it is cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sgkit.errors import UsageError
from sgkit.render.pictures import Pixels

TILE_STEP = 16
"""Sides of tiles are multiples of this: TIFF asks for it."""


class Plane(Protocol):
    """An image of which any window can be drawn."""

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""

    @property
    def width(self) -> int:
        """Pixels from left to right."""

    @property
    def channels(self) -> int:
        """1 (grey), 3 (RGB) or 4 (RGBA)."""

    def window(self, top: int, left: int, height: int, width: int) -> Pixels:
        """Pixels of a part that is inside the image, uint8 [height, width, channels]."""


@dataclass(frozen=True)
class PlaneOf:
    """The plane of an image that is in memory."""

    pixels: Pixels

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """1, 3 or 4."""
        return int(self.pixels.shape[2])

    def window(self, top: int, left: int, height: int, width: int) -> Pixels:
        """A view of the pixels."""
        return self.pixels[top : top + height, left : left + width]


class Box(NamedTuple):
    """A tile: its number, its place in the grid of tiles, and its pixels."""

    number: int
    row: int
    column: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """An image cut into square tiles, row by row; those at the right and bottom edges may be smaller."""

    height: int
    width: int
    channels: int
    tile: int
    """Side of a tile in pixels."""

    def __post_init__(self) -> None:
        if self.tile < TILE_STEP or self.tile % TILE_STEP:
            below = max(self.tile // TILE_STEP, 1) * TILE_STEP
            raise UsageError(
                f"The side of a tile is {self.tile} pixels; it must be a multiple of {TILE_STEP}. "
                f"Nearest: {below} or {below + TILE_STEP}."
            )

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return math.ceil(self.width / self.tile)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return math.ceil(self.height / self.tile)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.columns * self.rows

    @property
    def num_bytes(self) -> int:
        """Size of all pixels, uncompressed."""
        return self.height * self.width * self.channels

    @property
    def megapixels(self) -> float:
        """Pixels in millions."""
        return self.height * self.width / 1e6

    def box(self, number: int) -> Box:
        """The tile with this number."""
        row, column = divmod(number, self.columns)
        top, left = row * self.tile, column * self.tile
        return Box(number, row, column, top, left, min(self.tile, self.height - top), min(self.tile, self.width - left))

    def row_of(self, row: int) -> Iterator[Box]:
        """The tiles of one row, from left to right."""
        return (self.box(number) for number in range(row * self.columns, (row + 1) * self.columns))

    def row_height(self, row: int) -> int:
        """Pixels of a row of tiles from top to bottom."""
        return min(self.tile, self.height - row * self.tile)
