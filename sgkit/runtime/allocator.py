"""Settings of the C library's allocator for tensors that come and go."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_LIMIT = 2**30


_CHOSEN_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@functools.cache
def keep_freed_memory() -> bool:
    """Whether glibc now keeps freed blocks of up to 1 GiB for the next tensor; ``False``: another C library.

    By default glibc asks the kernel for every block over 32 MiB and gives it back at once. Touching the fresh pages
    then costs more than the arithmetic on them: a third of the time of synthesis at 256 px, batch 4. The price is that
    a process stays as large as it once was. It holds for the whole process, from the first model on; one of glibc's own
    variables in the environment (``MALLOC_TRIM_THRESHOLD_=131072`` is its default) leaves the choice to the user.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    if any(variable in os.environ for variable in _CHOSEN_BY_USER):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _LIMIT)) and bool(mallopt(_M_TRIM_THRESHOLD, 2 * _LIMIT - 1))


def bound_primitive_cache(entries: int = 64) -> None:
    """Let oneDNN keep the code of this many convolutions instead of 1024, unless the environment says otherwise.

    Tiles of a large image have many shapes, and the code for each takes about 0.1 MiB. It has no effect in a process
    that has computed a convolution before, so commands that may stream call it first.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(entries))


def release_freed_memory() -> None:
    """Give freed blocks back to the operating system, so that what is between them does not pile up (glibc only)."""
    if sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
