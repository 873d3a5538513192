"""One image file to an upright image of 8 bits and known channels: decoding, orientation, colour, alpha.

Pure: bytes in, a Pillow image out. What cannot be used raises :class:`BadImageError`, counted by reason. Only the
formats in :data:`FORMATS` are decoded: none of their decoders starts a program. Memory is bounded: in addition to the
file's own bytes, no more than :data:`BYTES_PER_PIXEL` for each pixel that ``max_pixels`` allows.
"""

from __future__ import annotations

import importlib
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from sgkit.runtime.detect import START, detect_bytes
from sgkit.runtime.file_kinds import IMAGES, PHRASES
from sgkit.runtime.limits import size_of
from sgkit.store.bad_images import NEEDS_HEIF, BadImageError
from sgkit.store.images.depth import FULL_BITS, bands, is_deep, second_bytes, to_8_bits
from sgkit.store.images.truncation import missing_rows

Payload = bytes | np.ndarray
"""What a source gives for an image: the bytes of a file, or uint8 pixels [height, width(, channels)]."""

FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF", "ICO"),
    "TGA",  # the last one: it has no signature, so that it is tried on what is nothing else
)
"""Pillow's names of the formats that are read. Others stay closed: EPS, for one, would start Ghostscript."""

BYTES_PER_PIXEL = 8
"""Most bytes held for each pixel, from decoding to the final mode: an RGB pixel takes 4 in Pillow, before and after."""
_DECODER_BYTES = {"WEBP": 17, "AVIF": 17, "HEIF": 17, "JPEG2000": 21}
_PROGRESSIVE_BYTES, _DEEP_BYTES = 11, 12
"""Bytes per pixel that a decoder takes, where it is more than that; measured with Pillow 13."""
_PIXELS_PER_BYTE = {"PNG": 8 * 1032, "GIF": 2731, "JPEG": 512, "MPO": 512}
"""Format -> most pixels that one byte can encode: deflate repeats up to 258 bytes with 2 bits; LZW in GIF has words of
up to 4095 pixels and codes of 12 bits; JPEG takes a bit or more for each block of 8x8."""
_CLOSED = {
    b"8BPS": "Photoshop",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"icns": "ICNS",
    b"DDS ": "DDS",
    b"SIMPLE  =": "FITS",
}
"""First bytes -> name of a format that is not read."""
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
        with _pillow_limit(None):  # the size is compared below, before anything is decoded
            image = _open(payload)
            animated = refuse_animated and getattr(image, "is_animated", False)
    except UnidentifiedImageError:
        raise _unidentified(payload) from None
    except BadImageError:
        raise
    except Exception as error:  # a damaged header: Pillow's plugins raise what they like
        raise _undecodable(error) from None
    _check_size(image, len(payload), max_pixels)
    if image.mode == "F":
        detail = "floating-point pixels have no fixed range; convert them to 8 or 16 bits first"
        raise BadImageError("unsupported", detail)
    if animated:
        raise BadImageError("animated", "it has several frames")
    image.info[_ORIGIN] = payload, max_pixels
    return image


def _open(payload: bytes) -> Image.Image:
    """The image, by Pillow's own plugins, or by pillow-heif's where the file is a HEIC image and that is installed."""
    try:
        return Image.open(io.BytesIO(payload), formats=_formats())
    except UnidentifiedImageError:
        if detect_bytes(payload[:START]) != "heic":
            raise
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ModuleNotFoundError:
            raise BadImageError(NEEDS_HEIF, "pip install 'stylegan-sgkit[heic]'") from None
        return Image.open(io.BytesIO(payload), formats=_formats())


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # Pillow may be built without some


_ORIGIN = "sgkit origin"
"""Key of an opened image's ``info``: the bytes it comes from, and the limit it was opened with."""


@contextmanager
def _pillow_limit(max_pixels: int | None) -> Iterator[None]:
    """Pillow's own limit at ``max_pixels``, in this block only: what exceeds it is an error; no warning is shown.

    Pillow applies it to what a file holds inside: icons, tiles and frames. Both the limit and the filters of warnings
    are global, so that one thread at a time decodes.
    """
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = kept


_decoding = threading.RLock()


def _check_size(image: Image.Image, num_bytes: int, max_pixels: int) -> None:
    """Refuse what takes more memory to decode than ``max_pixels`` allows, or claims more pixels than it can hold."""
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError("decompression bomb", f"{width}x{height} is over {max_pixels} pixels")
    if width * height > num_bytes * _PIXELS_PER_BYTE.get(image.format or "", 1 << 40):
        raise BadImageError("truncated", f"{num_bytes:,} bytes cannot hold {width}x{height} pixels")
    progressive = image.format in ("JPEG", "MPO") and "progressive" in image.info
    each = _PROGRESSIVE_BYTES if progressive else _DECODER_BYTES.get(image.format or "", BYTES_PER_PIXEL)
    if image.mode in ("RGB", "RGBA") and is_deep(image):  # read twice, once for each byte
        each = max(each, _DEEP_BYTES)
    if width * height * each > max_pixels * BYTES_PER_PIXEL:
        needed = -(-width * height * each // BYTES_PER_PIXEL)
        kind = f"{'progressive ' if progressive else ''}{image.format}"
        raise BadImageError(
            "decompression bomb",
            f"{width}x{height} pixels as {kind} take {size_of(width * height * each)} to decode; --max-pixels "
            f"{max_pixels} allows {size_of(max_pixels * BYTES_PER_PIXEL)}. Use --max-pixels {needed} if it is genuine",
        )


def decode_image(
    image: Image.Image,
    *,
    channels: int,
    background: tuple[int, int, int] = (0, 0, 0),
    shrink: Callable[[tuple[int, int]], float] | None = None,
    bits: int = FULL_BITS,
) -> Image.Image:
    """The upright image in mode ``L``, ``RGB`` or ``RGBA``, of the first frame: sRGB, alpha kept or composited.

    ``shrink`` gets the (width, height) of an upright JPEG and says down to what fraction its decoder may scale it
    (by 1/2, 1/4 or 1/8, in the frequency domain); ``None`` decodes every pixel. Of images with more than 8 bits a
    channel, ``2**bits - 1`` is white. ``image`` is used up: its memory is freed as soon as possible.

    Raises:
        BadImageError: the data are damaged or of an unsupported kind.
    """
    mode = MODE_OF_CHANNELS[channels]
    try:
        payload, max_pixels = image.info.pop(_ORIGIN, (b"", None))
        with _pillow_limit(max_pixels):
            second = second_bytes(image)  # first: to look for EXIF decodes a PNG
            deep = is_deep(image)
            orientation = image.getexif().get(0x0112, 1)
            if shrink is not None and image.format == "JPEG":
                upright = image.size if orientation < 5 else image.size[::-1]
                fraction = shrink(upright)
                image.draft(None, (max(int(image.width * fraction), 1), max(int(image.height * fraction), 1)))
            image.load()
            if missing := missing_rows(image, payload):
                raise BadImageError("truncated", missing)
            del payload

            flattened = False
            result = image
            if image.mode != mode or deep or image.info.get("icc_profile") or "transparency" in image.info:
                result = Image.new(mode, image.size)
                for box in bands(image.size):
                    band = image.crop(box)
                    flattened = flattened or (mode != "RGBA" and _is_transparent(band))
                    if deep:
                        band = to_8_bits(band, second and second.crop(box), bits=bits)
                    result.paste(_to_mode(_to_srgb(band), mode, background), box[:2])
                image.close()
            turned = result
            if orientation in _TURNS:
                turned = result.transpose(_TURNS[orientation])
                result.close()
            turned.info[_FLATTENED] = flattened
            return turned
    except BadImageError:
        raise
    except Image.DecompressionBombWarning as error:
        raise BadImageError("decompression bomb", str(error)) from None
    except Exception as error:  # Pillow's decoders raise errors of many types for damaged data
        raise _undecodable(error) from None


_FLATTENED = "sgkit flattened"
"""Key of a decoded image's ``info``: whether transparency was replaced by the background."""
_FRAMED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
"""Formats whose further frames are separate images; in others they are previews, masks or smaller sizes."""


def has_frames(image: Image.Image) -> bool:
    """Whether an opened image is the first of several frames or pages."""
    if image.format not in _FRAMED:
        return False
    try:
        with _pillow_limit(None):
            return bool(getattr(image, "is_animated", False))
    except Exception:  # damage further on in the file
        return True


def is_flattened(image: Image.Image) -> bool:
    """Whether a decoded image was transparent, and is not any more."""
    return bool(image.info.get(_FLATTENED))


def _is_transparent(image: Image.Image) -> bool:
    if not _has_alpha(image):
        return False
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return isinstance(low, (int, float)) and low < 255


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes it upright."""


def _unidentified(payload: bytes) -> BadImageError:
    closed = next((name for start, name in _CLOSED.items() if payload.startswith(start)), None)
    if closed:
        return BadImageError("unsupported", f"{closed} files are not read here; convert them to PNG or JPEG first")
    kind = detect_bytes(payload[:START])
    if kind == "jpeg" and jpeg_precision(payload) not in (None, 8):
        return BadImageError("unsupported", f"JPEG with {jpeg_precision(payload)} bits per sample; 8 are supported")
    if kind in _SIGNATURES:
        return BadImageError("unsupported", f"{_SIGNATURES[kind]} that this Pillow cannot read, or a damaged header")
    if kind in IMAGES:
        return BadImageError("truncated", "the header is damaged")
    return BadImageError("not an image", PHRASES[kind])


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
    if isinstance(error, MemoryError):
        return BadImageError("decompression bomb", "there is not enough memory to decode it")
    unsupported = re.search("unsupported|not supported|not available|unknown", str(error).lower())
    return BadImageError("unsupported" if unsupported else "truncated", f"{type(error).__name__}: {error}")


def _to_srgb(image: Image.Image) -> Image.Image:
    """The image with its embedded colour profile applied; unchanged without one, or where the profile is unusable."""
    data = image.info.get("icc_profile")
    if not data:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if image.mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image
        colour, alpha = _colour_and_alpha(image)
        result = ImageCms.profileToProfile(colour, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert result is not None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    if alpha is not None:
        result.putalpha(alpha)
    return result


def _colour_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The channels that a profile is for: of palettes their colours, of what has alpha those without it."""
    if _has_alpha(image):
        whole = image.convert("RGBA")
        return whole.convert("L" if image.mode in ("L", "LA", "La") else "RGB"), whole.getchannel("A")
    return (image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")), None


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _to_mode(image: Image.Image, mode: Literal["L", "RGB", "RGBA"], background: tuple[int, int, int]) -> Image.Image:
    if image.mode == mode:
        return image
    if mode == "RGBA":
        return image.convert("RGBA")
    if _has_alpha(image):
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, (*background, 255)), picture)
    return image.convert(mode) if mode == "RGB" or image.mode == "1" else image.convert("RGB").convert("L")
