"""Records of a grid of subjects that blend into each other, and the arithmetic of its places."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sgkit.render.records import Record, Text

MOST_PLACES = 1 << 20
"""Along an axis."""
MOST_CELLS = 1 << 16
"""Of a map."""
Count = Annotated[int, Field(ge=1, le=MOST_PLACES)]


class Endless(Record):
    """A seed for every place of a grid, computed from this number, the column and the row."""

    endless: Annotated[int, Field(ge=0, lt=2**32)]

    def seed(self, row: int, column: int) -> int:
        """The seed at a place: 32 bits of a hash, the same whatever the size of the grid."""
        value = _scrambled(self.endless + 1)
        for number in (column, row):
            value = _scrambled(value ^ (number & _MASK))
        return value >> 32


class GridMap(Record):
    """A small picture whose pixels choose the subject of the places under them."""

    columns: Count
    rows: Count
    of: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=MOST_CELLS)]
    """Row by row: which of the grid's subjects, 0 the first."""

    @model_validator(mode="after")
    def _is_full(self) -> GridMap:
        if len(self.of) != self.columns * self.rows:
            raise ValueError(
                f"a map of {self.columns}x{self.rows} needs {self.columns * self.rows} numbers; it has {len(self.of)}."
            )
        return self


class Grid(Record):
    """Subjects in rows and columns, each blending into its neighbours ("StyleGAN of All Trades", section 3.2)."""

    kind: Literal["grid"]
    of: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Row by row; or one subject for all places; or, with a map, those that it chooses from."""
    columns: Count = 1
    rows: Count = 1
    map: GridMap | None = None
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Width of the blend between neighbours, as a fraction of each one's part."""
    blend: Literal["smooth", "soat"] = "smooth"
    """``soat``: linear, and first features cut hard between neighbours, as the paper's own code does."""
    mode: Literal["plane", "pairs"] = "plane"
    """``pairs``: neighbours are drawn in pairs, each on its own canvas, cut at their middles and pasted."""
    smoothing: Annotated[float, Field(ge=0, le=64)] = 0.0
    """Neighbouring z are averaged with a Gaussian of this many places; 0 turns it off."""
    tile: Annotated[int | None, Field(ge=16, le=1 << 14)] = None
    """Side in pixels of the tiles in which it was drawn: the last digits depend on it."""

    @model_validator(mode="after")
    def _places_are_filled(self) -> Grid:
        places = self.columns * self.rows
        if self.map is None and len(self.of) not in (1, places):
            raise ValueError(
                f"a grid of {self.columns}x{self.rows} has {places} places; 'of' names {len(self.of)} subjects. "
                f"It must name {places}, or one for all places."
            )
        if self.map is not None and max(self.map.of) >= len(self.of):
            raise ValueError(f"the map chooses subject {max(self.map.of)}; 'of' names {len(self.of)}, from 0 on.")
        return self

    def name(self, row: int, column: int) -> str:
        """The subject at a place."""
        if self.map is not None:
            across = (2 * column + 1) * self.map.columns // (2 * self.columns)
            down = (2 * row + 1) * self.map.rows // (2 * self.rows)
            return self.of[self.map.of[down * self.map.columns + across]]
        return self.of[0] if len(self.of) == 1 else self.of[row * self.columns + column]


_MASK = (1 << 64) - 1


def _scrambled(value: int) -> int:
    """A bijective scrambling of 64-bit integers (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
