"""PNG (ISO/IEC 15948) written row by row: bands of rows are compressed one after the other and appended.

After each band the compressor is flushed and forgets what it has seen (``Z_FULL_FLUSH``), so that a file that was cut
off after a band continues to the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from sgkit.render.pictures import Pixels
from sgkit.runtime.outputs import PNG_SETTINGS

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
_ZLIB_HEADER = b"\x78\x9c"
_LAST_BLOCK = b"\x03\x00"
"""A deflate block with nothing in it, marked as the last."""


def head(height: int, width: int, channels: int, text: Mapping[str, str]) -> bytes:
    """The start of a file, up to the pixels; ``text`` in ASCII."""
    parts = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0))]
    parts += [chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("ascii")) for key, value in text.items()]
    return b"".join([*parts, chunk(b"IDAT", _ZLIB_HEADER)])


def band(rows: Iterable[Pixels], adler: int) -> Iterator[tuple[bytes, int]]:
    """One band as IDAT chunks, and the checksum of all pixels up to there.

    Args:
        rows: uint8 [n, width, channels], a few rows at a time, from top to bottom.
        adler: the checksum of what is above; 1 at the top.
    """
    level, strategy = PNG_SETTINGS["compress_level"], PNG_SETTINGS["compress_type"]
    packer, above = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy), None
    for some in rows:
        filtered = filter_rows(some, above)
        above, adler = some[-1].copy(), zlib.adler32(filtered, adler)
        packed = packer.compress(filtered)
        if packed:
            yield chunk(b"IDAT", packed), adler
    yield chunk(b"IDAT", packer.flush(zlib.Z_FULL_FLUSH)), adler


def tail(adler: int) -> bytes:
    """The end of a file whose pixels have this checksum."""
    return chunk(b"IDAT", _LAST_BLOCK + struct.pack(">I", adler)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def filter_rows(rows: Pixels, above: Pixels | None) -> bytes:
    """``rows`` [n, width, channels] after PNG's filters 1 (left), 2 (above) or 4 (Paeth), for each row the best.

    The best is the one with the smallest sum of absolute differences, as the specification advises (section 12.8).
    ``above``: the row before the first one; without it that one is filtered by 1, which does not read it.
    """
    count, width, channels = rows.shape
    current = rows.reshape(count, width * channels)
    up = np.empty_like(current)
    up[1:] = current[:-1]
    up[0] = 0 if above is None else above.reshape(-1)
    left, corner = np.zeros_like(current), np.zeros_like(current)
    left[:, channels:], corner[:, channels:] = current[:, :-channels], up[:, :-channels]
    tried = {1: current - left, 2: current - up, 4: current - _paeth(left, up, corner)}
    costs = np.stack([np.abs(one.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for one in tried.values()])
    best = costs.argmin(axis=0)
    if above is None:
        best[0] = 0
    out = np.empty((count, width * channels + 1), np.uint8)
    for place, (number, filtered) in enumerate(tried.items()):
        out[best == place, 0] = number
        out[best == place, 1:] = filtered[best == place]
    return out.tobytes()


def _paeth(left: Pixels, up: Pixels, corner: Pixels) -> Pixels:
    """The one of the three neighbours that is nearest to left + up - corner; on a draw in this order."""
    a, b, c = (one.astype(np.int16) for one in (left, up, corner))
    to_left, to_up = np.abs(b - c), np.abs(a - c)
    to_corner = np.abs(a + b - 2 * c)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
