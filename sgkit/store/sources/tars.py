"""Tar files, opened so that no header in them takes the memory: what tarfile reads at once is bounded."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sgkit.runtime import limits

__all__ = ["DAMAGED_ARCHIVE", "open_tar"]

DAMAGED_ARCHIVE = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error, lzma.LZMAError)
"""What reading a damaged archive raises."""
MOST_AT_ONCE = 1 << 24
"""Bytes of an extended header, which tarfile reads whole; a few hundred are usual, and files are read in pieces."""
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


@contextmanager
def open_tar(path: str | Path) -> Iterator[tarfile.TarFile]:
    """A tar file, compressed or not, for reading its members in order.

    Raises:
        OSError: it is not a regular file. Anything else of :data:`DAMAGED_ARCHIVE`: it is no tar file, or damaged.
    """
    with limits.open_regular(path) as file:
        opener = _OPENERS.get(file.read(2))
        file.seek(0)
        unpacked = file if opener is None else cast(Any, opener)(file)
        with tarfile.open(fileobj=cast(Any, _Bounded(unpacked)), mode="r:") as archive:
            yield archive


class _Bounded:
    """A file that refuses to read much at once."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_AT_ONCE:
            raise tarfile.ReadError(f"a header in it claims {size} bytes; {MOST_AT_ONCE} are allowed")
        return cast(bytes, self._file.read(size))
