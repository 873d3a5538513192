"""Large pictures in bands of rows, so that what is computed from them takes little memory beside them."""

from __future__ import annotations

from collections.abc import Iterator

BAND_PIXELS = 1 << 20


def bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) that cover a picture of (width, height) from top to bottom."""
    width, height = size
    rows = max(BAND_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        yield (0, top, width, min(top + rows, height))
