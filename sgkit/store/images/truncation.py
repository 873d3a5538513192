"""PNG files whose compressed data end early, found where Pillow leaves the missing rows black without a word."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from PIL import Image

_CHUNK = 1 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel of PNG's colour types."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column, first row, step of columns, step of rows."""


def missing_rows(image: Image.Image, payload: bytes) -> str:
    """What is missing of an image that was decoded from ``payload``; empty when it is complete, or not a PNG file.

    The data are unpacked once more only where the last two rows are black.
    """
    width, height = image.size
    if image.format != "PNG" or any(image.crop((0, max(height - 2, 0), width, height)).tobytes()):
        return ""
    held, expected = _inflated_bytes(payload)
    return f"the compressed data end after {held:,} of {expected:,} bytes" if held < expected else ""


def _inflated_bytes(data: bytes) -> tuple[int, int]:
    """Bytes of pixels that a PNG file holds, up to the number that it should hold; and that number."""
    expected = made = 0
    inflate = zlib.decompressobj()
    for kind, body in _chunks(data):
        if kind == b"IHDR":
            expected = _expected_bytes(body)
        elif kind == b"IDAT":
            rest = body
            while rest and made < expected:
                made += len(inflate.decompress(rest, _CHUNK))
                rest = inflate.unconsumed_tail
    return made, expected


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data) and (kind := data[place + 4 : place + 8]) != b"IEND":  # anything may follow it
        length = int.from_bytes(data[place : place + 4], "big")
        yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length


def _expected_bytes(header: bytes) -> int:
    """Bytes of all rows of a PNG file, each with its filter byte."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * _CHANNELS[header[9]]
    total = 0
    for left, top, across, down in _PASSES if header[12] else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return total
