"""Images with 9 to 16 bits a channel: all bits are read, and scaled to 8 by the range that the data use.

Cameras and scanners of 10, 12 or 14 bits write files of 16 bits whose largest value is 1023, 4095 or 16383. Scaled by
65535, such images are nearly black; scaled by their own largest value, images of one set would differ in brightness. So
the range is found once for a whole set, see :mod:`sgkit.store.sources.bit_depth`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from sgkit.store.bad_images import BadImageError

FULL_BITS = 16
SMALLEST_BITS = 8
_OTHER_BYTE = {"16B": "16L", "16L": "16B", "16N": "16B"}
"""Pillow reads colours of 16 bits as their first byte; told the opposite order of bytes, it reads the second one.
libtiff swaps bytes to the order of the machine, so ``16N`` is ``16L``."""
_GREY_ALPHA = "LA;16B"
BAND_PIXELS = 1 << 20


def bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) that cover an image of (width, height) from top to bottom.

    What is computed from large images band by band takes little extra memory.
    """
    width, height = size
    rows = max(BAND_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        yield (0, top, width, min(top + rows, height))


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image has more than 8 bits a channel."""
    return image.mode == "I" or image.mode.startswith("I;16") or _raw_mode(image).partition(";")[2] in _OTHER_BYTE


def _raw_mode(image: Image.Image) -> str:
    """How the file's bytes are laid out, where Pillow says so."""
    tiles = getattr(image, "tile", None)
    if not tiles or len(tiles[0]) < 4:
        return ""
    args = tiles[0][3]
    return str(args[0] if isinstance(args, tuple) and args else args)


def second_bytes(image: Image.Image) -> Image.Image | None:
    """The same file, opened to give the second byte of each 16-bit colour; ``None`` for images of other kinds.

    Call it before the image is loaded. Of grey with alpha, all four bytes of a pixel come as one RGBA pixel.
    """
    raw = _raw_mode(image)
    if image.mode not in ("RGB", "RGBA") or raw.partition(";")[2] not in _OTHER_BYTE:
        return None
    file = getattr(image, "fp", None)
    if not isinstance(file, io.BytesIO):
        return None
    mode, _, order = raw.partition(";")
    wanted = "RGBA" if raw == _GREY_ALPHA else f"{mode};{_OTHER_BYTE[order]}"
    other: Any = Image.open(io.BytesIO(file.getvalue()), formats=[image.format or ""])
    other.tile = [
        tile._replace(args=(wanted, *tile.args[1:]) if isinstance(tile.args, tuple) else wanted) for tile in other.tile
    ]
    other.info["sgkit raw mode"] = raw
    return other  # type: ignore[no-any-return]


def _samples(image: Image.Image, second: Image.Image | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours, uint16 or int32 [H, W] or [H, W, 3], and alpha, uint16 [H, W], of a loaded image."""
    values = np.asarray(image)
    if second is None:
        return values, None
    low = np.asarray(second)
    if second.info.get("sgkit raw mode") == _GREY_ALPHA:
        pairs = low.astype(np.uint16)
        return pairs[..., 0] * 256 + pairs[..., 1], pairs[..., 2] * 256 + pairs[..., 3]
    whole = values.astype(np.uint16) * 256 + low
    return (whole[..., :3], whole[..., 3]) if whole.shape[2] == 4 else (whole, None)


def largest_value(image: Image.Image) -> int:
    """The largest value of a colour in an opened image; its pixels are decoded.

    Raises:
        OSError, ValueError, SyntaxError: it is damaged.
    """
    second = second_bytes(image)
    image.load()
    boxes = bands(image.size)
    return max((int(_samples(image.crop(box), second and second.crop(box))[0].max()) for box in boxes), default=0)


def to_8_bits(image: Image.Image, second: Image.Image | None, *, bits: int = FULL_BITS) -> Image.Image:
    """A loaded image with 8 bits a channel, rounded: ``2**bits - 1`` becomes 255. Alpha always has 16 bits.

    Raises:
        BadImageError: a value is larger, or negative.
    """
    colours, alpha = _samples(image, second)
    if colours.size and (int(colours.min()) < 0 or int(colours.max()) > 65535):
        raise BadImageError("unsupported", f"whole numbers outside 0..65535 (mode {image.mode})")
    if colours.size and int(colours.max()) >= 1 << bits:
        detail = f"holds {int(colours.max())}, but the set was read as {bits}-bit data; use --bits {FULL_BITS}"
        raise BadImageError("out of range", detail)
    eight = _scaled(colours, (1 << bits) - 1)
    if alpha is not None:
        last = _scaled(alpha, 65535)
        colour = eight if eight.ndim == 3 else np.stack([eight] * 3, axis=-1)
        eight = np.concatenate([colour, last[..., None]], axis=-1)
    result = Image.fromarray(eight)
    result.info = {key: value for key, value in image.info.items() if key == "icc_profile"}
    return result


def _scaled(values: np.ndarray, largest: int) -> np.ndarray:
    return ((values.astype(np.uint32) * 255 + largest // 2) // largest).astype(np.uint8)
