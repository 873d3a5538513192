"""A deep-zoom folder: a pyramid of PNG tiles in the layout of Deep Zoom Images (DZI), with a page that shows it.

The lowest level is made of the tiles that are drawn; each level above is made from the one below, four tiles into one,
so that building it takes no more memory than a few tiles.
"""

from __future__ import annotations

import math
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sgkit.packaged import ASSETS
from sgkit.render.files import FOLDER_SCENE, png_bytes, write_sheet
from sgkit.render.pictures import Pixels
from sgkit.render.scene import Sheet
from sgkit.render.stream.journal import Journal
from sgkit.render.stream.plane import Box, Tiling
from sgkit.render.stream.writers import Wait, Writer

LARGEST = 512
"""Side of the pyramid's tiles, unless those that are drawn do not divide by it."""
VIEWER, LICENCE = "openseadragon.min.js", "openseadragon-LICENSE.txt"
OWN = r"index\.html|scene\.json|openseadragon.*|image\.dzi|image_files(/\d+(/\d+_\d+\.png)?)?"
"""Names in a folder that this writer made."""

_XML = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="png" Overlap="0" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


class DeepZoomWriter(Writer):
    """A deep-zoom folder."""

    def __init__(self, folder: Path, tiling: Tiling, sheet: Sheet) -> None:
        super().__init__(folder, tiling, sheet)
        side = tiling.tile
        self._side = next(one for one in range(min(LARGEST, side), 0, -1) if side % one == 0)
        self._top = math.ceil(math.log2(max(tiling.height, tiling.width, 1)))

    @property
    def made(self) -> Path:
        """The folder."""
        return self.folder / "image"

    def prepare(self) -> None:
        """Make the folders of all levels."""
        for level in range(self._top + 1):
            self._level(level).mkdir(parents=True, exist_ok=True)

    def put(self, box: Box, pixels: Pixels) -> int:
        """Write a drawn tile as tiles of the lowest level."""
        crc = 0
        for path, top, left in self._parts(box):
            data = png_bytes(np.ascontiguousarray(pixels[top : top + self._side, left : left + self._side]))
            path.write_bytes(data)
            crc = zlib.crc32(data, crc)
        return crc

    def stored(self, box: Box) -> int | None:
        """The checksum of a drawn tile's files."""
        crc = 0
        for path, _, _ in self._parts(box):
            if not path.is_file():
                return None
            crc = zlib.crc32(path.read_bytes(), crc)
        return crc

    def finish(self, journal: Journal, rank: int, world_size: int, wait: Wait) -> None:
        """Build the levels above the lowest, and the page."""
        for level in range(self._top - 1, -1, -1):
            wait()  # the level below is complete
            columns, rows = self._grid(level)
            for index in range(rank, columns * rows, world_size):
                self._shrink(level, index % columns, index // columns, journal)
        wait()
        if rank == 0:
            tiling = self.tiling
            size = {"tile": self._side, "width": tiling.width, "height": tiling.height}
            (self.made / "image.dzi").write_text(_XML.format(**size), encoding="utf-8")
            write_sheet(self.sheet, self.made / FOLDER_SCENE)
            shutil.copyfile(ASSETS / "openseadragon" / VIEWER, self.made / VIEWER)
            shutil.copyfile(ASSETS / "openseadragon" / "LICENSE.txt", self.made / LICENCE)
            from sgkit.reports.deepzoom import render_deep_zoom  # templates load slowly, and few commands need them

            page = render_deep_zoom(width=tiling.width, height=tiling.height, tile=self._side, levels=self._top + 1)
            (self.made / "index.html").write_text(page, encoding="utf-8")

    def bytes_for(self, share: float) -> int:
        """The lowest level, a third more for the others, and the page."""
        return super().bytes_for(share) * 4 // 3 + (ASSETS / "openseadragon" / VIEWER).stat().st_size

    def _level(self, level: int) -> Path:
        return self.made / "image_files" / str(level)

    def _tile(self, level: int, column: int, row: int) -> Path:
        return self._level(level) / f"{column}_{row}.png"

    def _grid(self, level: int) -> tuple[int, int]:
        """Columns and rows of tiles."""
        scale = 1 << (self._top - level)
        return tuple(math.ceil(math.ceil(n / scale) / self._side) for n in (self.tiling.width, self.tiling.height))  # type: ignore[return-value]

    def _parts(self, box: Box) -> Iterator[tuple[Path, int, int]]:
        """The files of a drawn tile, and where each begins in it."""
        for top in range(0, box.height, self._side):
            for left in range(0, box.width, self._side):
                column, row = (box.left + left) // self._side, (box.top + top) // self._side
                yield self._tile(self._top, column, row), top, left

    def _shrink(self, level: int, column: int, row: int, journal: Journal) -> None:
        """Make one tile from the four below it."""
        path, part = self._tile(level, column, row), f"level {level} {column} {row}"
        if journal.done.get(part) == (_crc_of(path),):
            return
        columns, rows = self._grid(level + 1)
        below = [
            [self._tile(level + 1, x, y) for x in (2 * column, 2 * column + 1) if x < columns]
            for y in (2 * row, 2 * row + 1)
            if y < rows
        ]
        whole = np.concatenate([np.concatenate([_read(one) for one in line], axis=1) for line in below])
        data = png_bytes(halved(whole))
        path.write_bytes(data)
        journal.add(part, zlib.crc32(data))


def halved(pixels: Pixels) -> Pixels:
    """Means of 2x2 pixels, rounded; an odd last row or column counts twice."""
    height, width, _ = pixels.shape
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge").astype(np.uint16)
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _crc_of(path: Path) -> int | None:
    return zlib.crc32(path.read_bytes()) if path.is_file() else None
