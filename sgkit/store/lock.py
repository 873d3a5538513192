"""A lock on a file, so that two processes do not write the same part. It ends with the process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgkit.errors import StoreError

__all__ = ["exclusive"]


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; it is removed at the end.

    Raises:
        StoreError: another process holds it.
    """
    with path.open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError:
            raise StoreError(
                f"Another process is writing {path.with_suffix('')}. Wait for it, or stop it and run this again."
            ) from None
        try:
            yield
        finally:
            if os.name != "nt":  # Windows removes no file that is open
                path.unlink(missing_ok=True)


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
