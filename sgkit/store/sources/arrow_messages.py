"""The messages of an Arrow file or stream: where each begins, and how much it unpacks to, before Arrow reads it.

Each is a length, a flatbuffer that describes it, and a body. The flatbuffer is read here for three facts only: the
message's type, the length of its body, and whether the body is compressed.

Format: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

SCHEMA, DICTIONARY, RECORDS = 1, 2, 3
MOST_HEADER = 1 << 24
MOST_MESSAGES = 1 << 20
_MAGIC = b"ARROW1\0\0"
_CONTINUATION = 0xFFFFFFFF


class Message(NamedTuple):
    """One message of a file."""

    kind: int
    """:data:`SCHEMA`, :data:`DICTIONARY`, :data:`RECORDS`, or another."""
    place: int
    num_rows: int
    num_bytes: int
    """Bytes of the body, unpacked."""


def messages(file: BinaryIO) -> list[Message]:
    """All messages of a file in Arrow's file or stream format.

    Raises:
        ValueError: it is damaged, or cut short.
    """
    size = os.fstat(file.fileno()).st_size
    found: list[Message] = []
    place = len(_MAGIC) if file.read(len(_MAGIC)) == _MAGIC else 0
    while place + 8 <= size and len(found) < MOST_MESSAGES:
        file.seek(place)
        mark, length = struct.unpack("<II", file.read(8))
        start = place + 8
        if mark != _CONTINUATION:  # written before Arrow 0.15
            length, start = mark, place + 4
        if length == 0:
            break
        if length > MOST_HEADER or start + length > size:
            raise ValueError("a message's header leaves the file")
        file.seek(start)
        try:
            message, body = _message(file, file.read(length), place, start + length)
        except (struct.error, IndexError):
            raise ValueError("a message's header is damaged") from None
        place = start + length + body
        if body < 0 or place > size:
            raise ValueError(f"it ends at byte {size:,} of at least {place:,} (a copy that was cut short?)")
        found.append(message)
    if not found or found[0].kind != SCHEMA:
        raise ValueError("it does not begin with a schema, as Arrow files do")
    return found


def _message(file: BinaryIO, data: bytes, place: int, body_start: int) -> tuple[Message, int]:
    """The message that a flatbuffer describes, and the length of its body."""
    table = _at(data, "<I", 0)
    kind, body = _field(data, table, 1, "<B"), _field(data, table, 3, "<q")
    records = _table(data, table, 2)
    if kind == DICTIONARY and records is not None:
        records = _table(data, records, 1)
    if kind not in (DICTIONARY, RECORDS) or records is None:
        return Message(kind, place, 0, body), body
    rows = _field(data, records, 0, "<q")
    if rows < 0:
        raise ValueError("a message has a negative number of rows")
    compressed = _table(data, records, 3) is not None
    unpacked = _unpacked(file, data, records, body_start) if compressed else body
    return Message(kind, place, rows, unpacked), body


def _unpacked(file: BinaryIO, data: bytes, records: int, body_start: int) -> int:
    """Bytes that the buffers of a compressed body unpack to: each begins with its length, -1 where it is not packed."""
    vector = _table(data, records, 2)
    total = 0
    for index in range(_at(data, "<I", vector) if vector is not None else 0):
        offset, length = struct.unpack_from("<qq", data, (vector or 0) + 4 + 16 * index)
        if length >= 8 and offset >= 0:
            file.seek(body_start + offset)
            unpacked = struct.unpack("<q", file.read(8))[0]
            if unpacked < -1:
                raise ValueError("a buffer has a negative length")
            total += length if unpacked == -1 else unpacked
    return total


def _at(data: bytes, form: str, place: int) -> int:
    if place < 0:
        raise IndexError
    return int(struct.unpack_from(form, data, place)[0])


def _slot(data: bytes, table: int, number: int) -> int | None:
    """Where field ``number`` of a table begins; ``None`` where it is absent."""
    entries = table - _at(data, "<i", table)
    offset = _at(data, "<H", entries + 4 + 2 * number) if 4 + 2 * number < _at(data, "<H", entries) else 0
    return table + offset if offset else None


def _field(data: bytes, table: int, number: int, form: str) -> int:
    slot = _slot(data, table, number)
    return 0 if slot is None else _at(data, form, slot)


def _table(data: bytes, table: int, number: int) -> int | None:
    """Where the table or vector that a field refers to begins."""
    slot = _slot(data, table, number)
    return None if slot is None else slot + _at(data, "<I", slot)
