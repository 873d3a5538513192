"""What the operating system, the memory and the devices say when they fail, in words: the one place for it.

Nothing is imported to find out: the errors of torch, safetensors and LMDB are known by their names and texts.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    """A failure of the machine in words."""

    text: str
    """What went wrong, with the file where one is known."""
    hint: str | None
    """What to do."""


_SMALLER = "Use a smaller --batch or image size, close other programs, or use a machine or device with more memory."
_SPACE = "Free some space, or choose another disk."
_ACCESS = "Check the owner and the permissions with: ls -ld"

_SYSTEM: dict[int, tuple[str, str | None]] = {
    errno.ENOSPC: ("The disk is full", _SPACE),
    errno.EDQUOT: ("Your disk quota is used up", _SPACE),
    errno.EFBIG: ("The file is larger than the file system or 'ulimit -f' allows", "Choose another disk."),
    errno.EROFS: ("The file system is read-only", "Choose a folder on another disk."),
    errno.EACCES: ("Permission denied", _ACCESS),
    errno.EPERM: ("The operating system does not allow this", _ACCESS),
    errno.ENOENT: ("No such file or folder", "Check the spelling."),
    errno.EEXIST: ("The file or folder exists already", "Choose another name."),
    errno.EISDIR: ("A file was expected, but this is a folder", None),
    errno.ENOTDIR: ("A part of this path is a file, not a folder", "Check the spelling."),
    errno.ENOTEMPTY: ("The folder is not empty", "Choose another name."),
    errno.ENAMETOOLONG: ("The name is too long", "Most file systems allow 255 bytes for a name, and 4096 for a path."),
    errno.ELOOP: ("Symbolic links lead in a circle", "Check where the links point with: ls -l"),
    errno.EMFILE: ("Too many open files in this process", "Raise the limit with: ulimit -n 4096"),
    errno.ENFILE: ("Too many open files on this machine", "Close other programs, and try again."),
    errno.EAGAIN: (
        "No more processes or threads can be started",
        "Raise 'ulimit -u', or use fewer workers.",
    ),
    errno.EIO: ("The disk or network drive failed to read or write", "Check the disk and its free space."),
    errno.EBUSY: ("The file or device is in use", "Close the program that uses it, and try again."),
    errno.ESTALE: ("The network drive no longer has this file", "Check the connection, and try again."),
    errno.ENXIO: ("The device of this file does not exist", None),
}
_BY_TEXT = (
    (errno.ENOSPC, r"No space left on device|os error 28|MDB_MAP_FULL|There is not enough space on the disk"),
    (errno.EDQUOT, r"Disk quota exceeded|os error 122"),
    (errno.EROFS, r"Read-only file system|os error 30"),
    (errno.EACCES, r"Permission denied|os error 13"),
    (errno.EMFILE, r"Too many open files|os error 24"),
    (errno.EFBIG, r"File too large|os error 27"),
    (errno.EIO, r"Input/output error"),
    (errno.EAGAIN, r"can't start new thread|pthread_create failed|Resource temporarily unavailable"),
)
"""How libraries that hide the error's number word it."""
_LIBRARY_ERRORS = ("SafetensorError", "RuntimeError", "DiskError", "MapFullError", "lmdb.Error")
_MEMORY = re.compile(
    r"out of memory|can't allocate memory|Cannot allocate memory|could not create a (memory|primitive)|bad_?alloc"
    r"|could not (initialize|execute) a primitive|not enough memory|Unable to allocate|out_of_memory|ALLOC_FAILED"
    r"|failed to map segment|Array allocation failed",
    re.IGNORECASE,
)
_MISSING_DEVICE = re.compile(
    r"not compiled with (CUDA|XPU|MPS) enabled|Found no NVIDIA driver|No CUDA GPUs are available|invalid device ordinal"
    r"|no CUDA-capable device|not linked with support for (mps|cuda|\w+) devices|MPS backend is supported on"
    r"|PyTorch is not (linked|compiled) with|Expected one of cpu, cuda|Invalid device string|Could not run .* backend",
)


def explain(error: BaseException) -> Fault | None:
    """What failed on the machine, if ``error`` is such a failure; ``None`` if it is not.

    A library that runs out of memory while it is imported raises its own import error, so the causes of those count.
    """
    for one in _chain(error) if isinstance(error, (ImportError, SystemError)) else (error,):
        if is_out_of_memory(one):
            return Fault(f"Out of memory{_wanted(one)}.", _SMALLER)
    if isinstance(error, OSError):
        return _system_fault(error)
    text = str(error)
    if isinstance(error, (AssertionError, RuntimeError)) and _MISSING_DEVICE.search(text):
        return Fault(
            f"This machine or this build of PyTorch does not have the device: {text.splitlines()[0]}",
            "Use --device auto (in Python: device=\"cpu\"). 'sgkit doctor' lists the devices.",
        )
    name = f"{type(error).__module__}.{type(error).__name__}"
    if name.endswith(_LIBRARY_ERRORS):
        for number, pattern in _BY_TEXT:
            if re.search(pattern, text):
                words, hint = _SYSTEM[number]
                return Fault(f"{words}.", hint)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out: of Python, numpy, torch on any device, oneDNN, or the system."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and bool(_MEMORY.search(str(error)))


def _wanted(error: BaseException) -> str:
    """How much was asked for, where the error says it."""
    found = re.search(r"allocate (\d[\d.]*) ?(bytes|[KMGTPE]i?B)", str(error))
    if not found:
        return ""
    amount = f"{int(found[1]) / 2**30:.2f} GiB" if found[2] == "bytes" and found[1].isdecimal() else found[0][9:]
    return f": {amount} more were needed"


def _system_fault(error: OSError) -> Fault:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes, Path))]
    where = f": {' -> '.join(names)}" if names else ""
    words, hint = _SYSTEM.get(error.errno or 0, (error.strerror or str(error) or type(error).__name__, None))
    if hint is _ACCESS and names:
        hint = f"{_ACCESS} {_existing(names[0])}"
    if error.errno == errno.ENAMETOOLONG and names:
        where = f" ({max(len(os.fsencode(part)) for part in Path(names[0]).parts or ('',))} bytes){where}"
    return Fault(f"{words}{where}", hint)


def _existing(name: str) -> str:
    """``name``, or the nearest folder above it that exists: what refuses access is often the parent."""
    path = Path(name)
    try:
        return str(next((one for one in (path, *path.parents) if one.exists()), path))
    except OSError:
        return str(path)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
