"""Pixels [C, H, W] to the bytes of a record and back, and the pyramid of smaller sizes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from sgkit.errors import ConfigError, StoreError, did_you_mean
from sgkit.runtime.outputs import PNG_SETTINGS
from sgkit.store.header import ENCODINGS
from sgkit.store.images.decoding import MODE_OF_CHANNELS

JPEG_QUALITY = 95

Pixels = np.ndarray
"""uint8 [channels, height, width]."""


def check_encoding(encoding: str, channels: int) -> None:
    """Refuse an encoding that does not exist, or cannot hold that many channels."""
    if encoding not in ENCODINGS:
        raise ConfigError(f"Unknown encoding {encoding!r}. {did_you_mean(encoding, ENCODINGS)}")
    if encoding == "jpeg" and channels == 4:
        raise ConfigError("JPEG has no alpha channel. Use --encoding png, webp or raw, or --channels 3.")


def interleaved(pixels: Pixels) -> np.ndarray:
    """[H, W, C], or [H, W] of one channel, as files and Pillow hold pixels."""
    return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def planes(pixels: np.ndarray) -> Pixels:
    """[C, H, W]: a view of [H, W, C] or [H, W]."""
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def encode(pixels: Pixels, encoding: str) -> bytes:
    """The record of an image: lossless, but for ``jpeg``: quality 95, no chroma subsampling."""
    if encoding == "raw":
        return np.ascontiguousarray(pixels).tobytes()
    image = Image.fromarray(interleaved(pixels))
    buffer = io.BytesIO()
    if encoding == "png":
        image.save(buffer, "PNG", **PNG_SETTINGS)
    elif encoding == "webp":
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


_FORMATS = {"png": "PNG", "webp": "WEBP", "jpeg": "JPEG"}


def decode(record: bytes | memoryview, encoding: str, *, channels: int, size: tuple[int, int]) -> Pixels:
    """The pixels of a record: a view of ``record`` for ``raw``, a separate array otherwise.

    Raises:
        StoreError: the record is damaged.
    """
    shape = (channels, *size)
    if encoding == "raw":
        if len(record) != channels * size[0] * size[1]:
            raise StoreError(f"A raw record has {len(record)} bytes; {channels}x{size[0]}x{size[1]} were expected.")
        return np.frombuffer(record, np.uint8).reshape(shape)
    try:
        with Image.open(io.BytesIO(record), formats=[_FORMATS[encoding]]) as image:
            if image.size != size[::-1]:  # before anything is decoded: a damaged record may claim any size
                found = f"{image.size[0]}x{image.size[1]}"
                raise StoreError(f"A record holds an image of {found}; {size[1]}x{size[0]} was expected (WxH).")
            # WebP keeps grey as three equal channels, and drops an alpha channel that is opaque everywhere.
            mode = MODE_OF_CHANNELS[channels]
            pixels = np.asarray(image if image.mode == mode or encoding != "webp" else image.convert(mode))
    except StoreError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many types for damaged data
        raise StoreError(f"A {encoding} record cannot be decoded: {error}") from error
    pixels = planes(pixels)
    if pixels.shape != shape:
        raise StoreError(f"A record holds an image of shape {pixels.shape}; {shape} was expected.")
    return pixels


def pyramid(pixels: Pixels, sizes: tuple[tuple[int, int], ...]) -> Iterator[Pixels]:
    """The image at every size: each pixel the mean of 2x2 of the size above, rounded once (as ProGAN does)."""
    yield pixels
    level = pixels.astype(np.float32)
    for _ in sizes[1:]:
        level = halved(level)
        yield np.rint(level).astype(np.uint8)


def halved(level: np.ndarray) -> np.ndarray:
    """Means of 2x2 of float32 [..., H, W] of even sides; exact for eight halvings of what began as bytes."""
    rows = level[..., ::2, :] + level[..., 1::2, :]
    return np.asarray((rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25))


def pixel_hash(pixels: Pixels) -> str:
    """Hash of the shape and values of an image."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
