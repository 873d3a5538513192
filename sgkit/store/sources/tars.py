"""Tar files, opened so that nothing in them takes the machine: reads are bounded, and bombs are refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sgkit.errors import InputError
from sgkit.runtime import limits

DAMAGED_ARCHIVE = (
    *(tarfile.TarError, EOFError, OSError, ValueError, OverflowError, IndexError, KeyError, RecursionError),
    *(zlib.error, lzma.LZMAError),
)
"""What reading a damaged archive raises."""
MOST_AT_ONCE = 1 << 24
"""Bytes of an extended header, which tarfile reads whole; a few hundred are usual, and files are read in pieces."""
MOST_EMPTY_READS = 8
"""Reads at the end of a file, where some loops of tarfile would wait for more without end."""
BOMB_BYTES, BOMB_RATIO = 1 << 27, 100
"""An archive that has unpacked to this many bytes must not be this many times smaller: images are 1 to 20 times."""
FEW_MEMBERS = 10_000
"""Archives of no more members may be as dense as they like."""
LEAST_PACKED, LEAST_HELD = 20, 32
"""Fewest bytes of the archive, and of content, for each member on average: tiny images of one color take 23 in tar.gz,
and no image file has fewer than 35."""
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_ZSTD = b"\x28\xb5"


@contextmanager
def open_tar(path: str | Path) -> Iterator[tarfile.TarFile]:
    """A tar file, compressed or not, for reading its members in order.

    Raises:
        InputError: it is compressed in a way that is not read.
        OSError: it is not a regular file. Anything else of :data:`DAMAGED_ARCHIVE`: it is no tar file, or damaged.
    """
    with limits.open_regular(path) as file:
        start = file.read(2)
        if start == _ZSTD:
            raise InputError(f"{path} is compressed with zstd, which is not read. Unpack it first: zstd -d {path}")
        opener = _OPENERS.get(start)
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        bounded: Any = _Bounded(file) if opener is None else _Unpacked(file, cast(Any, opener)(file), str(path))
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            bounded.name, bounded.size = str(path), size
            yield archive


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that are not folders, in order; the archive does not remember them.

    Raises:
        TooLargeError: there are far more than images could be in a file of its size.
    """
    file = cast(_Bounded, archive.fileobj)
    size, held, count = file.size, 0, 0
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        count, held = count + 1, held + max(member.size, 0)
        if count > FEW_MEMBERS and (size < LEAST_PACKED * count or held < LEAST_HELD * count):
            raise limits.TooLargeError(
                f"{file.name} has more than {count - 1:,} members in {limits.size_of(size)}; images take "
                f"{LEAST_PACKED} bytes each or more in an archive, and {LEAST_HELD} unpacked. If it is genuine, unpack "
                "it yourself and give the folder."
            )
        if not member.isdir():
            yield member


class _Bounded:
    """A file that refuses to read much at once, and to be read at its end again and again."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._empty = 0
        self.size, self.name = 0, ""
        """Bytes of the archive as it is stored, and its path."""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_AT_ONCE:
            raise tarfile.ReadError(f"a header in it claims {size} bytes; {MOST_AT_ONCE} are allowed")
        data = cast(bytes, self._file.read(size))
        self._empty = 0 if data or not size else self._empty + 1
        if self._empty > MOST_EMPTY_READS:
            raise tarfile.ReadError("it ends in the middle of a header")
        return data


class _Unpacked(_Bounded):
    """The content of a compressed file, from beginning to end; refuses to unpack a decompression bomb."""

    def __init__(self, packed: Any, unpacked: Any, name: str) -> None:
        super().__init__(unpacked)
        self._packed = packed
        self.name = name
        self._position = 0
        self.seek, self.tell = self._skip_to, lambda: self._position

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        self._position += len(data)
        if self._position > BOMB_BYTES and self._position > BOMB_RATIO * max(self._packed.tell(), 1):
            raise limits.TooLargeError(
                f"{self.name} unpacks to more than {BOMB_RATIO} times its size, as decompression bombs do. If it is "
                "genuine, unpack it yourself and give the folder."
            )
        return data

    def _skip_to(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("a header in it leads backwards")
        while self._position < position and self.read(min(limits.CHUNK, position - self._position)):
            pass
        return self._position
