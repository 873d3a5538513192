"""The range of values that the 16-bit images of a set use, found once for all of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sgkit.errors import InputError
from sgkit.runtime.detect import detect_bytes
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.decoding import Payload, open_picture
from sgkit.store.images.depth import FULL_BITS, SMALLEST_BITS, is_deep, largest_value
from sgkit.store.names import suffix_of
from sgkit.store.sources import Item, Source

SOURCES = ("folder", "zip", "tar", "files", "list", "table", "lsun")
"""Kinds of source whose images may have more than 8 bits."""
SHALLOW = ("jpeg", "webp", "gif", "bmp", "ico", "empty")
SHALLOW_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".ico"})
MOST_OPENED = 2048
"""Files of a source that are opened to see whether they have 16 bits."""
MOST_DECODED = 128
"""16-bit images that are decoded for their largest value."""
MAX_PIXELS = 178_956_970
T = TypeVar("T")


@dataclass(frozen=True)
class SampleRange:
    """The range of 16-bit images."""

    bits: int = FULL_BITS
    """Bits that the values of 16-bit images fit into."""
    largest: int = 0
    """The largest value that was seen."""

    @property
    def note(self) -> str:
        """What a user should know; empty where nothing is special."""
        if self.bits == FULL_BITS:
            return ""
        return (
            f"Values of 16-bit images go up to {self.largest:,}: they were read as {self.bits}-bit data, so that "
            f"{(1 << self.bits) - 1:,} is white in all of them. Use --bits 16 to make 65,535 white."
        )


def find_range(sources: Sequence[Source], *, max_pixels: int = MAX_PIXELS) -> SampleRange:
    """The range of the 16-bit images of ``sources`` together; that of 16 bits where there are none.

    Up to 2,048 files of each source, spread evenly over it, are looked at, and up to 128 of those with 16 bits are
    decoded. Images that hold larger values than these are refused when they are read.
    """
    largest = 0
    for source in sources:
        if source.kind not in SOURCES:
            continue
        for value in _largest_values(source, max_pixels):
            largest = max(largest, value)
            if largest >= 1 << (FULL_BITS - 1):
                return SampleRange(FULL_BITS, largest)
    return SampleRange(max(largest.bit_length(), SMALLEST_BITS), largest) if largest else SampleRange()


def _largest_values(source: Source, max_pixels: int) -> Iterator[int]:
    """The largest value of some 16-bit images of a source."""
    with contextlib.suppress(InputError):  # a source that fails does so again, and is told, when it is prepared
        for payload in _payloads(source):
            with contextlib.suppress(BadImageError, OSError, ValueError, SyntaxError):  # counted when it is prepared
                image = open_picture(payload, max_pixels=max_pixels)
                if is_deep(image):
                    yield largest_value(image)


def _payloads(source: Source) -> Iterator[Payload]:
    """Files that may have 16 bits, without those whose first bytes say that they do not."""
    if source.streamed:
        yield from (
            item.payload for item in itertools.islice(source.stream(0), MOST_DECODED) if item.payload is not None
        )
        return
    reader = source.reader()
    named = source.kind not in ("table", "lsun")
    numbers = [i for i in range(len(source)) if not named or suffix_of(source[i].name) not in SHALLOW_SUFFIXES]
    found: list[Item] = []
    for number in _spread(numbers, MOST_OPENED):
        item = source[number]
        with contextlib.suppress(OSError, InputError):
            if not _has_8_bits(reader.start(item)):
                found.append(item)
    for item in _spread(found, MOST_DECODED):
        with contextlib.suppress(OSError, InputError):
            yield reader.read(item)


def _has_8_bits(start: bytes) -> bool:
    """Whether the first bytes of a file say that it has no more than 8 bits a channel."""
    kind = detect_bytes(start) if start else ""
    return start[24:25] != b"\x10" if kind == "png" else kind in SHALLOW


def _spread(things: Sequence[T], most: int) -> list[T]:
    """Up to ``most`` of them, evenly spaced, the first and the last among them."""
    if len(things) <= most:
        return list(things)
    return [things[int(place)] for place in np.linspace(0, len(things) - 1, most)]
