"""One image file to an upright picture of 8 bits and known channels: decoding, orientation, colour, alpha.

Pure: bytes in, a Pillow image out. What cannot be used raises :class:`BadImageError`, counted by reason.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

__all__ = ["MODE_OF_CHANNELS", "REASONS", "BadImageError", "Payload", "decode_image", "open_picture"]

Payload = bytes | np.ndarray
"""What a source gives for an image: the bytes of a file, or uint8 pixels [height, width(, channels)]."""

REASONS = {
    "empty": "the file has no bytes",
    "not an image": "the bytes are of no known image format",
    "unsupported": "an image, but of a kind that cannot be read here",
    "truncated": "the file ends early or its data are damaged",
    "decompression bomb": "more pixels than --max-pixels",
    "animated": "more than one frame, and --animated refuse was given",
    "too small": "the short side is under --min-size, no tile fits, or --no-enlarge was given",
    "too large": "the file has more bytes than are read",
    "too long": "the sides differ by more than --max-aspect",
    "duplicate": "the same picture came before",
    "near duplicate": "nearly the same picture came before",
    "no label": "the label file does not name it",
    "no face": "no face was found, or the landmark file does not name it",
    "unreadable": "the operating system could not read the file",
}
"""Reason -> what it means."""

_SIGNATURES = {b"ftypheic": "HEIC", b"ftypheix": "HEIC", b"ftypmif1": "HEIC", b"ftypavif": "AVIF", b"jP  ": "JPEG 2000"}
MODE_OF_CHANNELS: dict[int, Literal["L", "RGB", "RGBA"]] = {1: "L", 3: "RGB", 4: "RGBA"}


class BadImageError(Exception):
    """An image that cannot be used: ``reason`` is a key of :data:`REASONS`, ``detail`` says more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def open_picture(payload: Payload, *, max_pixels: int, refuse_animated: bool = False) -> Image.Image:
    """A Pillow image whose size is known and whose pixels are not decoded yet.

    Raises:
        BadImageError: the bytes are empty, of no known format, too large, or animated where that is refused.
    """
    if isinstance(payload, np.ndarray):
        return Image.fromarray(payload)
    if not payload:
        raise BadImageError("empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning: max_pixels decides
            image = Image.open(io.BytesIO(payload))
    except UnidentifiedImageError:
        raise _unidentified(payload) from None
    except Image.DecompressionBombError as error:
        raise BadImageError("decompression bomb", str(error)) from None
    except Exception as error:  # a damaged header: Pillow's plugins raise what they like
        raise BadImageError("truncated", f"{type(error).__name__}: {error}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError("decompression bomb", f"{width}x{height} is over {max_pixels} pixels")
    if refuse_animated and getattr(image, "is_animated", False):
        raise BadImageError("animated", f"{getattr(image, 'n_frames', '?')} frames")
    return image


def decode_image(
    image: Image.Image,
    *,
    channels: int,
    background: tuple[int, int, int] = (0, 0, 0),
    shrink: Callable[[tuple[int, int]], float] | None = None,
) -> Image.Image:
    """The upright picture in mode ``L``, ``RGB`` or ``RGBA``, of the first frame: sRGB, alpha kept or composited.

    ``shrink`` gets the (width, height) of an upright JPEG and says down to what fraction its decoder may scale it
    (by 1/2, 1/4 or 1/8, in the frequency domain); ``None`` decodes every pixel.

    Raises:
        BadImageError: the data are damaged or of an unsupported kind.
    """
    mode = MODE_OF_CHANNELS[channels]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation = image.getexif().get(0x0112, 1)
            if shrink is not None and image.format == "JPEG":
                upright = image.size if orientation < 5 else image.size[::-1]
                fraction = shrink(upright)
                image.draft(None, (max(int(image.width * fraction), 1), max(int(image.height * fraction), 1)))
            image.load()
            if orientation != 1:
                image = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, AttributeError, KeyError) as error:
        raise _undecodable(error) from None
    return _to_mode(_to_srgb(_to_8_bits(image)), mode, background)


def _unidentified(payload: bytes) -> BadImageError:
    for signature, name in _SIGNATURES.items():
        if signature in payload[:32]:
            return BadImageError("unsupported", f"{name} is not built into this Pillow")
    if payload[:3] == b"\xff\xd8\xff" or payload[:8] == b"\x89PNG\r\n\x1a\n":
        if jpeg_precision(payload) not in (None, 8):
            return BadImageError("unsupported", f"JPEG with {jpeg_precision(payload)} bits per sample; 8 are supported")
        return BadImageError("truncated", "the header is damaged")
    return BadImageError("not an image", f"starts with {payload[:8]!r}")


def jpeg_precision(payload: bytes) -> int | None:
    """Bits per sample of a JPEG file, read from its frame header; ``None`` when there is none."""
    position = 2
    while position + 5 <= len(payload) and payload[position] == 0xFF:
        marker = payload[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return payload[position + 4]
        position += 2 + int.from_bytes(payload[position + 2 : position + 4], "big")
    return None


def _undecodable(error: Exception) -> BadImageError:
    text = f"{type(error).__name__}: {error}"
    unsupported = any(
        word in str(error).lower() for word in ("unsupported", "not supported", "not available", "unknown")
    )
    return BadImageError("unsupported" if unsupported else "truncated", text)


def _to_8_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise BadImageError("unsupported", f"whole numbers outside 0..65535 (mode {image.mode})")
        eight = ((values * 255 + 32767) // 65535).astype(np.uint8)
        result = Image.fromarray(eight)
        result.info = {k: v for k, v in image.info.items() if k == "icc_profile"}
        return result
    if image.mode == "F":
        raise BadImageError(
            "unsupported", "floating-point pixels have no fixed range; convert them to 8 or 16 bits first"
        )
    return image


def _to_srgb(image: Image.Image) -> Image.Image:
    """The picture with its embedded colour profile applied; unchanged without one, or where the profile is unusable."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if image.mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image
        if image.mode == "RGBA":
            colour = _convert_profile(image.convert("RGB"), profile)
            colour.putalpha(image.getchannel("A"))
            return colour
        return _convert_profile(image, profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _convert_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    result = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert result is not None
    return result


def _to_mode(image: Image.Image, mode: Literal["L", "RGB", "RGBA"], background: tuple[int, int, int]) -> Image.Image:
    if image.mode == mode:
        return image
    if mode == "RGBA":
        return image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, (*background, 255)), picture)
    return (
        image.convert("RGB")
        if mode == "RGB"
        else image.convert("RGB").convert("L")
        if image.mode != "1"
        else image.convert("L")
    )
