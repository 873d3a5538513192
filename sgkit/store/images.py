"""One image file to an upright picture of 8 bits and known channels: decoding, orientation, colour, alpha.

Pure: bytes in, a Pillow image out. What cannot be used raises :class:`BadImageError`, counted by reason.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from sgkit.runtime.sniff import IMAGES, KINDS, START, sniff_bytes
from sgkit.store.bad_images import NEEDS_HEIF, BadImageError
from sgkit.store.deep import FULL_BITS, is_deep, second_bytes, to_8_bits

__all__ = ["MODE_OF_CHANNELS", "BadImageError", "Payload", "decode_image", "open_picture"]

Payload = bytes | np.ndarray
"""What a source gives for an image: the bytes of a file, or uint8 pixels [height, width(, channels)]."""

_SIGNATURES = {"avif": "AVIF", "jp2": "JPEG 2000"}
MODE_OF_CHANNELS: dict[int, Literal["L", "RGB", "RGBA"]] = {1: "L", 3: "RGB", 4: "RGBA"}


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
            image = _open(payload)
    except UnidentifiedImageError:
        raise _unidentified(payload) from None
    except Image.DecompressionBombError as error:
        raise BadImageError("decompression bomb", str(error)) from None
    except BadImageError:
        raise
    except Exception as error:  # a damaged header: Pillow's plugins raise what they like
        raise BadImageError("truncated", f"{type(error).__name__}: {error}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError("decompression bomb", f"{width}x{height} is over {max_pixels} pixels")
    if refuse_animated and getattr(image, "is_animated", False):
        raise BadImageError("animated", f"{getattr(image, 'n_frames', '?')} frames")
    return image


def _open(payload: bytes) -> Image.Image:
    """The image, by Pillow's own plugins, or by pillow-heif's where the file is a HEIC image and that is installed."""
    try:
        return Image.open(io.BytesIO(payload))
    except UnidentifiedImageError:
        if sniff_bytes(payload[:START]) != "heic":
            raise
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ModuleNotFoundError:
            raise BadImageError(NEEDS_HEIF, "pip install 'stylegan-sgkit[heic]'") from None
        return Image.open(io.BytesIO(payload))


def decode_image(
    image: Image.Image,
    *,
    channels: int,
    background: tuple[int, int, int] = (0, 0, 0),
    shrink: Callable[[tuple[int, int]], float] | None = None,
    bits: int = FULL_BITS,
) -> Image.Image:
    """The upright picture in mode ``L``, ``RGB`` or ``RGBA``, of the first frame: sRGB, alpha kept or composited.

    ``shrink`` gets the (width, height) of an upright JPEG and says down to what fraction its decoder may scale it
    (by 1/2, 1/4 or 1/8, in the frequency domain); ``None`` decodes every pixel. Of images with more than 8 bits a
    channel, ``2**bits - 1`` is white.

    Raises:
        BadImageError: the data are damaged or of an unsupported kind.
    """
    mode = MODE_OF_CHANNELS[channels]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            deep, second = is_deep(image), second_bytes(image)  # first: to look for EXIF decodes a PNG
            orientation = image.getexif().get(0x0112, 1)
            if shrink is not None and image.format == "JPEG":
                upright = image.size if orientation < 5 else image.size[::-1]
                fraction = shrink(upright)
                image.draft(None, (max(int(image.width * fraction), 1), max(int(image.height * fraction), 1)))
            image.load()
            if orientation != 1:
                image = ImageOps.exif_transpose(image)
                second = None if second is None else ImageOps.exif_transpose(second)
            if deep:
                image = to_8_bits(image, second, bits=bits)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, AttributeError, KeyError) as error:
        raise _undecodable(error) from None
    return _to_mode(_to_srgb(_without_fractions(image)), mode, background)


def _unidentified(payload: bytes) -> BadImageError:
    kind = sniff_bytes(payload[:START])
    if kind in ("jpeg", "png"):
        if jpeg_precision(payload) not in (None, 8):
            return BadImageError("unsupported", f"JPEG with {jpeg_precision(payload)} bits per sample; 8 are supported")
        return BadImageError("truncated", "the header is damaged")
    if kind in _SIGNATURES:
        return BadImageError("unsupported", f"{_SIGNATURES[kind]} that this Pillow cannot read, or a damaged header")
    if kind in IMAGES:
        return BadImageError("truncated", "the header is damaged")
    return BadImageError("not an image", KINDS[kind])


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


def _without_fractions(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise BadImageError(
            "unsupported", "floating-point pixels have no fixed range; convert them to 8 or 16 bits first"
        )
    return image


def _to_srgb(image: Image.Image) -> Image.Image:
    """The picture with its embedded colour profile applied; unchanged without one, or where the profile is unusable."""
    data = image.info.get("icc_profile")
    if not data:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if image.mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image
        colour, alpha = _colour_and_alpha(image)
        result = _convert_profile(colour, profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    if alpha is not None:
        result.putalpha(alpha)
    return result


def _colour_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The channels that a profile is for: of palettes their colours, of what has alpha those without it."""
    if image.mode in ("P", "PA", "LA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        grey = image.mode in ("L", "LA", "La")
        if image.mode in ("RGBA", "PA", "LA", "La", "RGBa") or "transparency" in image.info:
            whole = image.convert("RGBA")
            return whole.convert("L" if grey else "RGB"), whole.getchannel("A")
        return image.convert("RGB"), None
    return (image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")), None


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
