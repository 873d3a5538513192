"""Windows of a large image put together from its tiles, of which the last few are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from sgkit.render.pan import Pan
from sgkit.render.pictures import Pixels
from sgkit.render.stream.plane import Plane, Tiling


class Views:
    """Windows of a plane, cut from the tiles in which a file of it is drawn, so that both have the same pixels.

    Args:
        plane: the image.
        tile: side of a tile.
        wraps: (x, y), whether windows continue at the other end.
    """

    def __init__(self, plane: Plane, *, tile: int, wraps: tuple[bool, bool] = (False, False)) -> None:
        self._plane, self._wraps = plane, wraps
        self._tiling = Tiling(height=plane.height, width=plane.width, channels=plane.channels, tile=tile)
        self._kept: OrderedDict[int, Pixels] = OrderedDict()

    def window(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Pixels uint8 [height, width, channels]; tiles are drawn where they are not kept."""
        found = np.empty((height, width, self._tiling.channels), np.uint8)
        xs = list(self._spans(left, width, self._tiling.width, self._wraps[0]))
        ys = list(self._spans(top, height, self._tiling.height, self._wraps[1]))
        for row, y, from_y, rows in ys:
            for column, x, from_x, columns in xs:
                tile = self._tile(row * self._tiling.columns + column)
                found[y : y + rows, x : x + columns] = tile[from_y : from_y + rows, from_x : from_x + columns]
        while len(self._kept) > 2 * len(xs) * len(ys) + 2:
            self._kept.popitem(last=False)
        return found

    def _spans(self, start: int, length: int, side: int, wraps: bool) -> Iterator[tuple[int, int, int, int]]:
        """The tiles along one axis: number, where it begins in the window, where in the tile, how many pixels."""
        tile, done = self._tiling.tile, 0
        while done < length:
            place = (start + done) % side if wraps else start + done
            number, inside = divmod(place, tile)
            count = min(min(tile, side - number * tile) - inside, length - done)
            yield number, done, inside, count
            done += count

    def _tile(self, number: int) -> Pixels:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        box = self._tiling.box(number)
        self._kept[number] = self._plane.window(box.top, box.left, box.height, box.width)
        return self._kept[number]


def pan_frames(views: Views, pan: Pan, frames: int) -> Iterator[Pixels]:
    """What the moving view shows, frame by frame."""
    for frame in range(frames):
        left, top = pan.position(frame, frames)
        yield views.window(left, top, pan.width, pan.height)
