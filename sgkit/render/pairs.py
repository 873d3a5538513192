"""The panorama of "StyleGAN of All Trades" (Chong, Lee and Forsyth 2021), for comparison: pairs, cut and pasted.

Every two neighbours are drawn on a separate canvas, twice as long as an image; each is cut at the middles of its two
images, and the pieces are put side by side. In two dimensions four neighbours make a piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.render.planes import Plane
from sgkit.render.strips import Strip


class Pair(NamedTuple):
    """Two neighbours along an axis, or the one where there is only one."""

    strip: Strip
    first: int
    """Place of the first of them."""
    start: int
    """First pixel of the picture that shows this pair."""
    stop: int


class PairsPlane(Plane):
    """A plane whose pieces are drawn without regard to what is beyond their own two (or four) images."""

    def _drawn(self, top: int, left: int, height: int, width: int) -> Tensor:
        rows = []
        for down in pairs_of(self.rows, self.cell, top, top + height):
            pieces = []
            for across in pairs_of(self.columns, self.cell, left, left + width):
                part = self.pair(down, across)
                y, x = (one.strip.start * self.cell for one in (down, across))
                window = (down.start - y, across.start - x, down.stop - down.start, across.stop - across.start)
                pieces.append(part.window(*window))
            rows.append(torch.cat(pieces, dim=3))
        return torch.cat(rows, dim=2)

    def pair(self, down: Pair, across: Pair) -> Plane:
        """The separate canvas on which two (or four) images are drawn."""
        part = Plane(
            self.model,
            self.styles,
            rows=down.strip,
            columns=across.strip,
            noise=self.noise,
            precision=self.precision,
        )
        part.anchor = lambda row, column: self.anchor(
            (down.first + row) % self.rows.count, (across.first + column) % self.columns.count
        )
        return part


def pairs_of(strip: Strip, cell: int, start: int, stop: int) -> Iterator[Pair]:
    """The pairs that show the pixels from ``start`` to ``stop`` along a strip.

    Raises:
        UsageError: the parts of the strip are not whole cells.
    """
    if strip.length % strip.count:
        raise UsageError(
            f"In pairs, each image needs a whole number of cells; {strip.length} cells of {cell} pixels are shared by "
            f"{strip.count} images. Use a {'width' if strip.axis == 'x' else 'height'} of "
            f"{max(strip.length // strip.count, 1) * strip.count * cell} pixels, or --mode plane."
        )
    part = strip.length // strip.count
    if strip.count == 1 and not strip.is_ring:
        yield Pair(strip, 0, start, stop)
        return
    places = range(-1, strip.count) if strip.is_ring else range(strip.count - 1)
    for place in places:
        pair = replace(strip, length=2 * part, count=2, is_ring=False, start=place * part)
        middles = [(2 * place + 1) * part * cell // 2, (2 * place + 3) * part * cell // 2]
        first = start if not strip.is_ring and place == 0 else max(middles[0], start)
        last = stop if not strip.is_ring and place == strip.count - 2 else min(middles[1], stop)
        if first < last:
            yield Pair(pair, place, first, last)
