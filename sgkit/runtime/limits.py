"""Bounded reading: the one place that turns a stream or file from outside into bytes.

A member of an archive, a record of a database, a cell of a table or a file in a folder may claim any size, and a file
of a few kilobytes may unpack to any size. Everything here checks the declared size first and counts the bytes made
while reading, so that no small file takes the machine. One setting raises every bound: the environment variable
``SGKIT_MAX_FILE_SIZE``, for example ``4GiB``.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from sgkit.errors import InputError, UsageError

VARIABLE = "SGKIT_MAX_FILE_SIZE"
MIB = 1 << 20
CHUNK = MIB

Kind = Literal["image", "JSON", "table", "annotation", "configuration"]
KINDS: dict[Kind, int] = {
    "image": 512 * MIB,
    "JSON": 256 * MIB,
    "table": 256 * MIB,
    "annotation": 16 * MIB,
    "configuration": MIB,
}
"""Kind -> most bytes that one file, member, record or cell of it may have, unless ``SGKIT_MAX_FILE_SIZE`` is set."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_JSON_VALUE_BYTES, _JSON_CONTAINER_BYTES = 56, 64


class TooLargeError(InputError):
    """A file, member or record exceeds the size that is read."""


class NotAFileError(OSError):
    """A path names a device, pipe, socket or folder, or is outside the folder that it must be in."""


class Readable(Protocol):
    """Anything with ``read``."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        ...


def limit_of(kind: Kind) -> int:
    """Most bytes that one file, member or record of ``kind`` may have."""
    return size_setting(VARIABLE, KINDS[kind])


def size_setting(variable: str, default: int) -> int:
    """The number of bytes that an environment variable sets, for example ``4GiB``.

    Raises:
        UsageError: its text is not a size.
    """
    given = os.environ.get(variable, "").strip()
    if not given:
        return default
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?", given.lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match and len(match[1]) < 20 else 0
    if size < 1:
        raise UsageError(f"The environment variable {variable} is {given!r}. Use a size such as 4GiB or 800MiB.")
    return size


def size_of(count: int) -> str:
    """``count`` bytes in words, for example ``6.0 GiB``."""
    if count < 1 << 10:
        return f"{count} bytes"
    unit, divisor = next((u, d) for u, d in (("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10)) if count >= d)
    return f"{count / divisor:,.1f} {unit}"


def check_size(count: int, *, name: str, kind: Kind) -> int:
    """``count``, the number of bytes that ``name`` declares."""
    limit = limit_of(kind)
    if count < 0:
        raise TooLargeError(f"{name} declares a negative size ({count}). The file is damaged.")
    if count > limit:
        raise _too_large(name, size_of(count), kind, limit, count)
    return count


def _too_large(name: str, size: str, kind: Kind, limit: int, needed: int) -> TooLargeError:
    enough = f"{max(needed, 2 * limit) // MIB + 1}MiB"
    return TooLargeError(
        f"{name} has {size}; the limit for one {kind} file is {size_of(limit)}. If the file is genuine, raise the "
        f"limit with the environment variable {VARIABLE}, for example {VARIABLE}={enough}."
    )


def read_stream(stream: Readable, *, name: str, kind: Kind, declared: int | None = None) -> bytes:
    """Everything that ``stream`` holds, read in chunks; ``declared`` is the size that its container states."""
    if declared is not None:
        check_size(declared, name=name, kind=kind)
    limit, made = limit_of(kind), io.BytesIO()
    while chunk := stream.read(min(CHUNK, limit + 1 - made.tell())):
        made.write(chunk)
        if made.tell() > limit:
            raise _too_large(name, f"more than {size_of(limit)}", kind, limit, 2 * limit)
    return made.getvalue()


def open_regular(path: str | Path) -> BinaryIO:
    """A regular file, opened for reading; links are followed. Never waits for a pipe, and never opens a device."""
    _require_regular(Path(path).stat().st_mode, path)  # opening some devices has effects
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)  # it may have been replaced since
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


_FILE_TYPES: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def _require_regular(mode: int, path: str | Path) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _FILE_TYPES if test(mode)), "special file")
        raise NotAFileError(f"{Path(path).name} is a {kind}; only regular files are read")


def read_file(path: str | Path, *, kind: Kind, name: str = "") -> bytes:
    """The bytes of a regular file; ``name`` is what messages call it (default: the path)."""
    with open_regular(path) as file:
        size = check_size(os.fstat(file.fileno()).st_size, name=name or str(path), kind=kind)
        data = file.read(size + 1)  # at once: half the memory of reading in pieces
        if len(data) > size:  # it grows, or, as those of /proc, does not tell its size
            data += read_stream(file, name=name or str(path), kind=kind)
        return data


def resolve_inside(folder: str | Path, name: str) -> Path:
    """The file that a table or list inside ``folder`` calls ``name``, with links resolved."""
    root = Path(folder).resolve()
    try:
        path = (root / name).resolve()
    except (ValueError, RuntimeError) as error:  # a null byte, a loop of links
        raise NotAFileError(f"{name!r} is not a usable path: {error}") from None
    if not path.is_relative_to(root):
        raise NotAFileError(f"{name!r} is outside {folder}; a dataset may only name files in its own folder")
    return path


def check_memory(estimate: int, *, what: str, name: str, kind: Kind) -> None:
    """Check that what a file holds takes no more memory than twice the bound of its ``kind``."""
    limit = limit_of(kind)
    if estimate > 2 * limit:
        raise _too_large(name, what, kind, limit, estimate // 2)


def parse_json(data: bytes, *, name: str) -> Any:
    """The value of a JSON text, in UTF-8, UTF-16 or UTF-32, with or without byte-order mark."""
    containers = data.count(b"[") + data.count(b"{")
    values = data.count(b",") + data.count(b":")
    estimate = len(data) + _JSON_CONTAINER_BYTES * containers + _JSON_VALUE_BYTES * values
    check_memory(estimate, what=f"{containers + values:,} values", name=name, kind="JSON")
    try:
        return json.loads(data[3:] if data.startswith(b"\xef\xbb\xbf") else data)
    except RecursionError:
        raise InputError(f"{name} is nested too deeply to be read as JSON. The file is damaged or hostile.") from None
    except ValueError as error:
        raise InputError(f"{name} is not valid JSON: {error}. Repair it, or move it away.") from None
