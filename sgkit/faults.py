"""Explains failures of the operating system, the memory and the devices in words.

Errors of torch, safetensors and LMDB are recognised by name and text, so none of them is imported.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    """A failure of the machine, in words."""

    text: str
    """What went wrong, and the file, if known."""
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
_MORE_TEXTS = {
    errno.ENOSPC: "MDB_MAP_FULL|There is not enough space on the disk",
    errno.EAGAIN: "can't start new thread|pthread_create failed",
}
_HIDDEN = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EFBIG", "EIO", "EAGAIN")
"""Errors whose numbers libraries hide, so that only their texts are known."""
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
    """What failed on the machine; ``None`` if ``error`` is not such a failure.

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
        for number in (getattr(errno, name) for name in _HIDDEN):
            texts = rf"{os.strerror(number)}|os error {number}\b|{_MORE_TEXTS.get(number, '$^')}"
            if re.search(texts, text):
                words, hint = _SYSTEM[number]
                return Fault(f"{words}.", hint)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: in Python, numpy, torch on any device, oneDNN or the system."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and bool(_MEMORY.search(str(error)))


def _wanted(error: BaseException) -> str:
    """How much memory was requested, if the error says so."""
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
