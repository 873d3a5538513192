"""The sizes of a Parquet column's pages, read from their headers before anything is unpacked.

The sizes in a file's footer may be anything; memory is taken by what each page's own header says. A header is a struct
in Thrift's compact protocol, of which the few types that occur are read here.

Format: https://github.com/apache/parquet-format/blob/apache-parquet-format-2.10.0/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from typing import Any, BinaryIO, NamedTuple

USUAL_HEADER, MOST_HEADER = 1 << 12, 1 << 20
"""Bytes of a page's header: statistics in it may hold whole values, which writers cut to a few kilobytes."""
MOST_PAGES = 1 << 20
MOST_DEPTH = 8
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


class Pages(NamedTuple):
    """What a column's pages come to."""

    largest: int
    """Bytes of the largest page, unpacked."""
    num_values: int


def column_pages(file: BinaryIO, start: int, length: int) -> Pages:
    """The pages in ``length`` bytes of a file from ``start`` on.

    Raises:
        ValueError: a header is damaged.
        OSError: the file cannot be read.
    """
    place, end = start, start + length
    largest = num_values = count = 0
    while place < end:
        fields, header_length = _header_at(file, place, end)
        described: dict[int, Any] = next((fields[key] for key in (5, 8) if isinstance(fields.get(key), dict)), {})
        sizes: list[Any] = [fields.get(2), fields.get(3), described.get(1, 0)]
        count += 1
        if not all(isinstance(size, int) and size >= 0 for size in sizes) or count > MOST_PAGES:
            raise ValueError("the header of a page is damaged")
        unpacked, packed, values = sizes
        largest, num_values = max(largest, unpacked), num_values + values
        place += header_length + packed
    if place != end:
        raise ValueError("a page leaves its column")
    return Pages(largest, num_values)


def _header_at(file: BinaryIO, place: int, end: int) -> tuple[dict[int, Any], int]:
    """The fields of a page's header, and its length."""
    for most in (USUAL_HEADER, MOST_HEADER):
        file.seek(place)
        header = _Header(file.read(min(most, end - place)))
        try:
            return header.struct(), header.place
        except ValueError:
            if most == MOST_HEADER or end - place <= most:
                raise
    raise AssertionError("unreachable")


class _Header:
    """Reads a struct: field number -> whole number, or fields of a struct in it; other values are passed over."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > MOST_DEPTH:
            raise ValueError("a header is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while byte := self._byte():
            number = number + (byte >> 4) if byte >> 4 else self._integer()
            value = self._value(byte & 15, depth)
            if value is not None:
                fields[number] = value
        return fields

    def _value(self, kind: int, depth: int, *, in_list: bool = False) -> object:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _LISTS:
            byte = self._byte()
            count = byte >> 4 if byte >> 4 < 15 else self._varint()
            if count > len(self._data):
                raise ValueError("a list in a header is too long")
            for _ in range(count):
                self._value(byte & 15, depth + 1, in_list=True)
        elif kind in (_TRUE, _FALSE):  # a field's type holds its value; in lists each takes a byte
            self._skip(in_list)
        elif kind in (_BYTE, _DOUBLE, _BINARY):
            self._skip({_BYTE: 1, _DOUBLE: 8}.get(kind) or self._varint())
        else:
            raise ValueError("a header has a value of unknown type")
        return None

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.place - 1]

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self._data):
            raise ValueError("a header ends early")

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number in a header is too long")
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
