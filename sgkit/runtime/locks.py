"""A lock file that one process holds at a time. A lock ends with its process, however the process ends."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems answer that have no locks."""


class LockedError(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder
        """Who holds it, such as ``process 4711 on host 'gpu3'``."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, which is removed at the end. Processes forked from this one do not hold it.

    On a file system without locks the block runs without one.

    Raises:
        LockedError: another process holds the lock, or this one does already.
        OSError: the file cannot be created.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(_holder(path)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        with suppress(OSError):  # Windows writes no file that is locked
            path.write_text(_own_name(), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            path.unlink()  # before the release: who opened it meanwhile finds that it has no name, and starts over
        lock.release()


def _own_name() -> str:
    return f"process {os.getpid()} on host {socket.gethostname()!r}"


def _holder(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(200)
    except OSError:
        text = ""
    if text == _own_name():
        return "this process"
    return text if text.startswith("process ") and text.isprintable() else "another process"
