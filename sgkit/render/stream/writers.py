"""The kinds of files that an image is streamed into: what is common to them, PNG and BigTIFF.

A writer works in a temporary folder beside the file. Tiles come in any order and from any process; a finished row of
tiles is handed to :meth:`Writer.close_row` by the main process, from top to bottom.
"""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sgkit.render.files import KEY, scene_text
from sgkit.render.pictures import Pixels
from sgkit.render.scene import Sheet
from sgkit.render.stream import png
from sgkit.render.stream.journal import Journal
from sgkit.render.stream.plane import Box, Tiling

ROWS = 1 << 20
"""Bytes of rows that are filtered and compressed at a time."""

Wait = Callable[[], None]
"""Waits until every process is there."""


class Writer(ABC):
    """One kind of file in the making.

    Args:
        folder: the temporary folder.
        tiling: the image.
        sheet: what it shows.
    """

    def __init__(self, folder: Path, tiling: Tiling, sheet: Sheet) -> None:
        self.folder, self.tiling, self.sheet = folder, tiling, sheet

    @property
    @abstractmethod
    def made(self) -> Path:
        """The file or folder in the temporary folder that becomes the result."""

    @abstractmethod
    def prepare(self) -> None:
        """Create what tiles are written into; what is there stays. Called by the main process before all others."""

    @abstractmethod
    def put(self, box: Box, pixels: Pixels) -> int:
        """Write a tile; return the checksum of what was written."""

    @abstractmethod
    def stored(self, box: Box) -> int | None:
        """The checksum of a tile as it is on disk; ``None`` if it is not there."""

    def kept(self, journal: Journal) -> set[int]:
        """The tiles that are finished and need not be drawn, verified."""
        return {
            box.number
            for box in map(self.tiling.box, range(self.tiling.count))
            if (known := journal.done.get(part_of(box))) is not None and (self.stored(box),) == known
        }

    def close_row(self, row: int, journal: Journal) -> None:  # noqa: B027 (not every kind has something to do)
        """Do what needs all tiles of a row."""

    def finish(self, journal: Journal, rank: int, world_size: int, wait: Wait) -> None:  # noqa: B027
        """Do what needs all tiles; called by every process."""

    def bytes_for(self, share: float) -> int:
        """Largest size of the result on disk while it is made, if pixels compress to this share of their size."""
        return int(self.tiling.num_bytes * share)


def part_of(box: Box) -> str:
    """The name of a tile in the journal."""
    return f"tile {box.number}"


# -------------------------------------------------------------------------------------------------- PNG


class PngWriter(Writer):
    """A PNG file. A row of tiles waits uncompressed on disk until it is complete; then it is appended, compressed."""

    @property
    def made(self) -> Path:
        """The PNG."""
        return self.folder / "image.png"

    def prepare(self) -> None:
        """Nothing: the file begins with its first row of tiles."""

    def kept(self, journal: Journal) -> set[int]:
        """The tiles of closed rows, and those that wait; the file is cut after its last verified row."""
        end, closed = self._verified(journal)
        if self.made.is_file():
            with self.made.open("r+b") as file:
                file.truncate(end)
        for row in range(self.tiling.rows):
            if row >= closed:
                journal.done.pop(_row(row), None)
        columns = self.tiling.columns
        waiting = {index for index in super().kept(journal) if index >= closed * columns}
        return waiting | set(range(closed * columns))

    def put(self, box: Box, pixels: Pixels) -> int:
        """Write a tile into its waiting row."""
        stride, data = self.tiling.width * self.tiling.channels, np.ascontiguousarray(pixels)
        with _open(self._waiting(box.row), os.O_RDWR | os.O_CREAT) as descriptor:
            for y, line in enumerate(data):
                _write_at(descriptor, line.data.cast("B"), y * stride + box.left * self.tiling.channels)
        return zlib.crc32(data.data)

    def stored(self, box: Box) -> int | None:
        """The checksum of a tile in its waiting row."""
        if not self._waiting(box.row).is_file():
            return None
        found = 0
        for line in self._read(box.row, box.height, box.left, box.width, step=1):
            found = zlib.crc32(line.data, found)
        return found

    def close_row(self, row: int, journal: Journal) -> None:
        """Compress a row of tiles, append it to the file, and remove it from where it waits."""
        if _row(row) in journal.done:
            self._waiting(row).unlink(missing_ok=True)  # left by a process that was killed between the two
            return
        tiling = self.tiling
        end, crc, adler = journal.done[_row(row - 1)] if row else (0, 0, 1)
        with self.made.open("r+b" if row else "wb") as file:
            file.seek(end)
            file.truncate()
            parts = [] if row else [png.head(tiling.height, tiling.width, tiling.channels, scene_text(self.sheet))]
            for part in parts:
                crc, end = zlib.crc32(part, crc), end + file.write(part)
            step = max(ROWS // (tiling.width * tiling.channels), 1)
            rows = self._read(row, tiling.row_height(row), 0, tiling.width, step=step)
            for part, adler in png.band(rows, adler):  # noqa: B007, B020 (the checksum continues)
                crc, end = zlib.crc32(part, crc), end + file.write(part)
            if row == tiling.rows - 1:
                end += file.write(part := png.tail(adler))
                crc = zlib.crc32(part, crc)
        journal.add(_row(row), end, crc, adler)
        self._waiting(row).unlink()

    def bytes_for(self, share: float) -> int:
        """The file, and a row of tiles that waits."""
        return super().bytes_for(share) + self.tiling.width * self.tiling.channels * self.tiling.row_height(0)

    def _verified(self, journal: Journal) -> tuple[int, int]:
        """How many bytes of the file, and how many rows of tiles, are as they were written."""
        end = closed = crc = 0
        if self.made.is_file():
            with self.made.open("rb") as file:
                while (known := journal.done.get(_row(closed))) is not None and len(known) == 3 and known[0] > end:
                    for part in _chunks(file, known[0] - end):
                        crc = zlib.crc32(part, crc)
                    if crc != known[1]:
                        break
                    end, closed = known[0], closed + 1
        return end, closed

    def _waiting(self, row: int) -> Path:
        return self.folder / f"row-{row:06d}.raw"

    def _read(self, row: int, height: int, left: int, width: int, *, step: int) -> Iterator[Pixels]:
        """Rows of pixels of a waiting row of tiles, ``step`` at a time; what is missing is 0."""
        channels = self.tiling.channels
        stride, length = self.tiling.width * channels, width * channels
        with self._waiting(row).open("rb", buffering=0) as file:
            for y in range(0, height, step):
                count = min(step, height - y)
                file.seek(y * stride + left * channels)
                data = file.read(count * length if count > 1 else length)
                yield np.frombuffer(data.ljust(count * length, b"\0"), np.uint8).reshape(count, width, channels)


def _row(row: int) -> str:
    return f"row {row}"


def _chunks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (part := file.read(min(ROWS, length))):
        length -= len(part)
        yield part


# ------------------------------------------------------------------------------------------------- TIFF


class TiffWriter(Writer):
    """A tiled BigTIFF without compression: every tile has its place from the beginning on."""

    def __init__(self, folder: Path, tiling: Tiling, sheet: Sheet) -> None:
        super().__init__(folder, tiling, sheet)
        self._offsets: tuple[int, ...] = ()

    @property
    def made(self) -> Path:
        """The TIFF."""
        return self.folder / "image.tif"

    def prepare(self) -> None:
        """Write the file with empty tiles, unless it is there."""
        import tifffile

        tiling, whole = self.tiling, self.folder / "empty.tif"
        if self.made.is_file():
            return
        with tifffile.TiffWriter(whole, bigtiff=True) as file:
            file.write(
                shape=(tiling.height, tiling.width, tiling.channels)[: 2 if tiling.channels == 1 else 3],
                dtype="uint8",
                tile=(tiling.tile, tiling.tile),
                photometric="minisblack" if tiling.channels == 1 else "rgb",
                extrasamples=["unassalpha"] if tiling.channels == 4 else None,
                description=scene_text(self.sheet).get(KEY, ""),
                software="sgkit",
                metadata=None,
            )
        whole.replace(self.made)

    def put(self, box: Box, pixels: Pixels) -> int:
        """Write a tile at its place; those at the edges are filled up with 0."""
        side = self.tiling.tile
        data = np.zeros((side, side, self.tiling.channels), np.uint8)
        data[: box.height, : box.width] = pixels
        with _open(self.made, os.O_RDWR) as descriptor:
            _write_at(descriptor, data.data.cast("B"), self._offset(box))
        return zlib.crc32(data.data)

    def stored(self, box: Box) -> int | None:
        """The checksum of a tile at its place."""
        if not self.made.is_file():
            return None
        size = self.tiling.tile**2 * self.tiling.channels
        with self.made.open("rb", buffering=0) as file:
            file.seek(self._offset(box))
            return zlib.crc32(file.read(size))

    def bytes_for(self, share: float) -> int:
        """All tiles, uncompressed."""
        return self.tiling.count * self.tiling.tile**2 * self.tiling.channels

    def _offset(self, box: Box) -> int:
        if not self._offsets:
            import tifffile

            with tifffile.TiffFile(self.made) as file:
                self._offsets = tuple(file.pages.first.dataoffsets)
        return self._offsets[box.number]


@contextmanager
def _open(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: memoryview, position: int) -> None:
    os.lseek(descriptor, position, os.SEEK_SET)  # Windows has no pwrite
    while data:
        data = data[os.write(descriptor, data) :]  # a full disk may take a part
