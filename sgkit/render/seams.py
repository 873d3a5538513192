"""Whether a picture shows where its parts meet: steps between neighbouring pixels there, and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgkit.model import Axis
from sgkit.render.pictures import Pixels

BLOCK = 256
"""Rows that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Seams:
    """How much an image changes from pixel to pixel at its joins, and elsewhere, in 8-bit levels along an axis."""

    at_joins: float
    elsewhere: float
    worst: float
    """The largest change at one join."""

    @property
    def ratio(self) -> float:
        """1: joins look like the rest; clearly above 1: they can be seen."""
        return self.at_joins / max(self.elsewhere, 1e-12)


class Steps:
    """The mean step between each column or row of an image and the next one, collected from blocks of whole rows."""

    def __init__(self, height: int, width: int) -> None:
        self.x: NDArray[np.float64] = np.zeros(width)
        """[i]: from column i to column i + 1; the last one around to column 0."""
        self.y: NDArray[np.float64] = np.zeros(height)
        """[i]: from row i to row i + 1; the last one around to row 0."""
        self._first: NDArray[np.int16] | None = None
        self._last: NDArray[np.int16] | None = None
        self._row = 0

    def add(self, rows: Pixels) -> None:
        """Take the next rows, uint8 [n, W, C]."""
        height = len(self.y)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].astype(np.int16)
            self.x += np.abs(np.roll(block, -1, axis=1) - block).mean(axis=2).sum(axis=0) / height
            if self._last is None:
                self._first = block[0]
            else:
                self.y[self._row - 1] = np.abs(block[0] - self._last).mean()
            self.y[self._row : self._row + len(block) - 1] = np.abs(block[1:] - block[:-1]).mean(axis=(1, 2))
            self._last = block[-1]
            self._row += len(block)
        if self._row == height and self._first is not None and self._last is not None:
            self.y[-1] = np.abs(self._first - self._last).mean()

    def seams(self, positions: Sequence[int], *, axis: Axis = "x", is_ring: bool = False) -> Seams | None:
        """Steps at the joins and elsewhere.

        Args:
            positions: joins, as the index of the first pixel after each; on a ring 0 or the full length is the closure.
            axis: along what the joins follow each other.
            is_ring: also take the step from the last pixel to the first.

        Returns:
            ``None`` where there are no joins, or nothing but joins.
        """
        change = self.x if axis == "x" else self.y
        is_join = np.zeros(len(change), dtype=bool)
        is_join[[(position - 1) % len(change) for position in positions]] = True
        is_there = np.ones_like(is_join)
        is_there[-1] = is_ring
        joined, rest = change[is_join & is_there], change[~is_join & is_there]
        if not len(joined) or not len(rest):
            return None
        return Seams(at_joins=float(joined.mean()), elsewhere=float(rest.mean()), worst=float(joined.max()))


def steps_of(pixels: Pixels) -> Steps:
    """The steps of an image uint8 [H, W, C]."""
    steps = Steps(*pixels.shape[:2])
    steps.add(pixels)
    return steps
