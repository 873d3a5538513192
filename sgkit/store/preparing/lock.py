"""A lock on the part of a store that is being written, so that two processes do not write the same one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgkit.errors import StoreError
from sgkit.runtime import locks


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; it is removed at the end.

    Raises:
        StoreError: another process holds it.
    """
    try:
        with locks.exclusive(path):
            yield
    except locks.LockedError as error:
        raise StoreError(
            f"Another process is writing {path.with_suffix('')} ({error.holder}). Wait for it, or stop it and run "
            "this again."
        ) from None
