"""Pickles and archives written by hand, opcode by opcode, to ask the reader for what no honest file would."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from sgkit.unpickle.torch_files import LEGACY_START

STOP, NONE, MARK, EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE = b".", b"N", b"(", b"}", b"]", b")"
TUPLE, REDUCE, BUILD, NEWOBJ, SETITEM, APPEND, BINPERSID = b"t", b"R", b"b", b"\x81", b"s", b"a", b"Q"


def text(value: str) -> bytes:
    """A string."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    """A whole number of up to 64 bits."""
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def raw(value: bytes) -> bytes:
    """A byte string."""
    return b"B" + struct.pack("<I", len(value)) + value


def named(module: str, name: str) -> bytes:
    """A global."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def tuple_of(*items: bytes) -> bytes:
    """A tuple."""
    return MARK + b"".join(items) + TUPLE


def dict_of(**entries: bytes) -> bytes:
    """A table."""
    return EMPTY_DICT + b"".join(text(key) + value + SETITEM for key, value in entries.items())


def call(function: bytes, *arguments: bytes) -> bytes:
    """What a global gives when it is called."""
    return function + tuple_of(*arguments) + REDUCE


def put(index: int) -> bytes:
    """Remember the newest object."""
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    """The object remembered."""
    return b"j" + struct.pack("<I", index)


def pickled(body: bytes) -> bytes:
    """A whole pickle; no checkpoint is shorter than 16 bytes, so some are longer than need be."""
    return b"\x80\x02" + (NONE + b"0") * 7 + body + STOP


def array(shape: tuple[int, ...], data: bytes, *, code: str = "f4") -> bytes:
    """A NumPy array of that shape over these bytes."""
    dtype = call(named("numpy", "dtype"), text(code), number(0), number(1))
    dtype += tuple_of(number(3), text("<"), NONE, NONE, NONE, number(-1), number(-1), number(0)) + BUILD
    empty = call(
        named("numpy.core.multiarray", "_reconstruct"), named("numpy", "ndarray"), tuple_of(number(0)), raw(b"b")
    )
    return empty + tuple_of(number(1), tuple_of(*map(number, shape)), dtype, b"\x89", raw(data)) + BUILD


def tensor(
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *,
    count: int,
    offset: int = 0,
    key: str = "0",
    kind: str = "FloatStorage",
) -> bytes:
    """A torch tensor over a storage that claims ``count`` elements."""
    pid = tuple_of(text("storage"), named("torch", kind), text("0"), text("cpu"), number(count))
    parts = (number(offset), tuple_of(*map(number, size)), tuple_of(*map(number, stride)), b"\x89")
    hooks = call(named("collections", "OrderedDict"))
    return call(named("torch._utils", "_rebuild_tensor_v2"), pid + BINPERSID, *parts, hooks)


def legacy(body: bytes, storages: dict[str, bytes] | None = None, *, itemsize: int = 4) -> bytes:
    """A pre-zip torch file."""
    stored = storages or {}
    keys = EMPTY_LIST + b"".join(text(key) + APPEND for key in stored)
    head = LEGACY_START + pickled(number(1001)) + pickled(dict_of(little_endian=b"\x88"))
    tail = b"".join(struct.pack("<q", len(data) // itemsize) + data for data in stored.values())
    return head + pickled(body) + pickled(keys) + tail


def archive(path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip file."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name) if compression == zipfile.ZIP_STORED else name, data)
    return path
