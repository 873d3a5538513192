"""A lock on a file, held by one process at a time. It ends with the process, however that ends: a file left by a crash
locks nothing.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OURS: set[tuple[int, int]] = set()
"""Device and inode of the files that this process has locked: locks of the system do not shut out their own process."""
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class LockedError(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder
        """Who holds it, such as ``process 4711 on host 'gpu3'``."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, which is removed at the end. Processes forked from this one do not hold it.

    On a file system that knows no locks the block runs without one.

    Raises:
        LockedError: another process holds the lock, or this one does already.
        OSError: the file cannot be made.
    """
    descriptor = _open_locked(path)
    status = os.fstat(descriptor)
    key = (status.st_dev, status.st_ino)
    _OURS.add(key)
    try:
        _write_holder(descriptor)
        yield
    finally:
        if os.name != "nt":  # Windows removes no file that is open
            path.unlink(missing_ok=True)
        _OURS.discard(key)
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """A descriptor of ``path``, locked. Repeated where the holder before removed the file between the two steps."""
    while True:
        _refuse_ours(path)  # before opening: closing a second descriptor would end the lock
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
            if os.name == "nt" or _is_still(path, descriptor):
                return descriptor
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if error.errno in _HELD:
                raise LockedError(holder) from None
            raise
        os.close(descriptor)


def _refuse_ours(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if (status.st_dev, status.st_ino) in _OURS:
        raise LockedError("this process")


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return
    import fcntl

    try:
        # Not flock: that would be inherited by the processes that decode images, and outlive a killed training.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _write_holder(descriptor: int) -> None:
    text = f"process {os.getpid()} on host {socket.gethostname()!r}"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0) if hasattr(os, "pwrite") else os.write(descriptor, text.encode())


def _holder(descriptor: int) -> str:
    try:
        text = os.read(descriptor, 200).decode("utf-8", "replace")
    except OSError:  # Windows: the locked byte
        text = ""
    return text if text.startswith("process ") and text.isprintable() else "another process"
