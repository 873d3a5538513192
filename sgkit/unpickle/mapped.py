"""Files as memory: mapped, so that what is not looked at is not read."""

from __future__ import annotations

import errno
import mmap
import os
from typing import IO, Any

import numpy as np

from sgkit.errors import CheckpointError

SMALLEST = 16
"""Bytes below which nothing is a checkpoint."""
MAX_HOLES = 10_000
"""A file with more holes counts as if it had none."""


def forget_pages(array: np.ndarray[Any, Any]) -> None:
    """Free the memory in which the file of ``array`` was read; it is read again when it is needed."""
    base: Any = array
    while getattr(base, "base", None) is not None:
        base = base.base
    source = base.obj if isinstance(base, memoryview) else None
    if isinstance(source, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)


def mapped_file(file: IO[bytes]) -> memoryview:
    """All bytes of an open file, read only and not copied."""
    size = os.fstat(file.fileno()).st_size
    if size < SMALLEST:
        raise CheckpointError(f"it has only {size} bytes, so it is cut short or not a checkpoint.")
    return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))


def written_bytes(file: IO[bytes]) -> int:
    """Size of an open file without its holes: a file that claims gigabytes may take no room on the disk."""
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    if not hasattr(os, "SEEK_HOLE"):
        return size
    written = end = 0
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        for _ in range(MAX_HOLES):
            start = os.lseek(descriptor, end, os.SEEK_DATA)  # an error where nothing follows but a hole
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            written += end - start
    except OSError as error:
        return written if error.errno == errno.ENXIO else size
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
    return size
