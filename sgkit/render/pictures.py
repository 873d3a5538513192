"""What a network gives as pictures: 8-bit pixels, grids of them, PNG files with text inside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin
from torch import Tensor

from sgkit.errors import UsageError
from sgkit.runtime.files import atomic_path
from sgkit.runtime.outputs import PNG_SETTINGS, STILLS

Pixels = npt.NDArray[np.uint8]
"""uint8 [height, width, channels] of one picture, or [N, height, width, channels]; 1 channel is grey, 4 are RGBA."""


def to_pixels(images: Tensor) -> Pixels:
    """uint8 [N, H, W, C], rounded, for ``images`` [N, C, H, W] whose range is -1 to 1; what is outside is clipped."""
    scaled = (images.detach().float() * 127.5 + 127.5).round().clamp(0, 255)
    return scaled.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_picture(pixels: Pixels) -> Image.Image:
    """A Pillow image of mode ``L``, ``RGB`` or ``RGBA`` for ``pixels`` [H, W, C]."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def opaque(pixels: Pixels, *, background: int = 255) -> Pixels:
    """``pixels`` [H, W, C] with alpha laid over a grey of brightness ``background``; unchanged without alpha."""
    if pixels.shape[2] != 4:
        return pixels
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    return np.rint(pixels[:, :, :3] * alpha + background * (1 - alpha)).astype(np.uint8)


def grid_shape(count: int, shape: tuple[int, int] | None = None) -> tuple[int, int]:
    """(columns, rows) of a grid for ``count`` pictures: ``shape``, or the squarest that is not narrower than tall.

    Raises:
        UsageError: ``shape`` is too small.
    """
    columns, rows = shape or (0, 0)
    if shape is None:
        columns = math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
    if columns * rows < count:
        raise UsageError(f"A grid of {columns}x{rows} has room for {columns * rows} images, but {count} were given.")
    return columns, rows


def arrange(
    pictures: Iterable[Pixels | None], shape: tuple[int, int], *, gap: int = 0, background: int = 255
) -> Pixels:
    """One picture [H, W, C]: a grid of (columns, rows), filled row by row; ``None`` and missing ones stay empty.

    Args:
        pictures: of one size, each [h, w, C]; taken one at a time.
        gap: pixels between neighbours.
        background: brightness of what is empty; transparent where pictures have alpha.
    """
    columns, rows = shape
    canvas: Pixels | None = None
    for index, pixels in enumerate(pictures):
        if pixels is None:
            continue
        height, width, channels = pixels.shape
        if canvas is None:
            size = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
            canvas = np.full(size, background, np.uint8)
            if channels == 4:
                canvas[:, :, 3] = 0
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = pixels
    assert canvas is not None, "a grid needs a picture"
    return canvas


FORMATS = {suffix: {"jpg": "JPEG"}.get(suffix[1:], suffix[1:].upper()) for suffix in STILLS}
"""Extension of an image file -> Pillow's name of its format."""
ImageFormat = Literal["png", "jpg", "webp"]
QUALITY = {"JPEG": 95, "WEBP": 90}
WEBP_METHOD = 2
"""Effort of WebP's encoder, 0 to 6: half the time of 4, Pillow's own, and 1 to 3% more bytes."""
MOST_COMMENT = 65_000
"""Bytes of text that a JPEG's comment holds; the format has room for 65,533."""


def check_picture(path: Path) -> None:
    """Refuse a file that is not of one of :data:`FORMATS`.

    Raises:
        UsageError: its extension is another one.
    """
    if path.suffix.lower() not in FORMATS:
        better = path.with_suffix(".png").name if path.name else "image.png"
        raise UsageError(
            f"Unsupported extension {path.suffix or '(none)'} of {path.name}. Use {', '.join(FORMATS)}: {better}."
        )


def write_still(pixels: Pixels, path: Path, *, kind: str, text: str = "") -> None:
    """Write ``pixels`` [H, W, C] as JPEG (alpha over white) or WebP with ``text`` inside: as comment, as XMP."""
    if kind == "JPEG":
        options: dict[str, Any] = {"comment": text.encode(), "subsampling": 0} if text else {"subsampling": 0}
    else:
        options = {"method": WEBP_METHOD} | ({"xmp": text.encode()} if text else {})
    to_picture(opaque(pixels) if kind == "JPEG" else pixels).save(path, kind, quality=QUALITY[kind], **options)


def write_png(pixels: Pixels, path: Path, *, text: Mapping[str, str] | None = None) -> None:
    """Write ``pixels`` [H, W, C] as PNG with ``text`` in it: keywords and values that image viewers show."""
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value.replace("\0", r"\x00").encode("utf-8", "backslashreplace").decode())
    to_picture(pixels).save(path, "PNG", pnginfo=info, **PNG_SETTINGS)


def write_pixels(pixels: Pixels, path: Path) -> Path:
    """Write ``pixels`` [H, W, C] as .png, .jpg or .webp, whole or not at all; an older file is replaced.

    Raises:
        UsageError: the extension is another one.
    """
    check_picture(path)
    kind = FORMATS[path.suffix.lower()]
    with atomic_path(path) as temporary:
        if kind == "PNG":
            write_png(pixels, temporary)
        else:
            write_still(pixels, temporary, kind=kind)
    return path


def pixels_of(images: Any) -> Pixels:
    """uint8 [N, H, W, C] of a tensor, of pixels, or of a Pillow image.

    Raises:
        UsageError: it is something else, of another shape, or not finite.
    """
    given: object = images
    if isinstance(given, Image.Image):
        given = np.asarray(given if given.mode in ("L", "RGB", "RGBA") else given.convert("RGB"))
        given = given[:, :, None] if given.ndim == 2 else given
    if isinstance(given, Tensor) and given.is_floating_point() and given.ndim in (3, 4):
        if not bool(given.isfinite().all()):
            raise UsageError("The image holds NaN or infinity, so it cannot be saved.")
        given = to_pixels(given[None] if given.ndim == 3 else given)
    elif isinstance(given, Tensor):
        given = given.cpu().numpy()
    if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.ndim not in (3, 4) or not given.size:
        shape = f"{getattr(given, 'dtype', '')} {list(getattr(given, 'shape', []))}".strip()
        raise UsageError(
            f"Not an image: {type(images).__name__} {shape}. Give a tensor [C, H, W] or [N, C, H, W] from -1 to 1, "
            "uint8 pixels [H, W, C] or [N, H, W, C], or a Pillow image."
        )
    pixels = given[None] if given.ndim == 3 else given
    if pixels.shape[-1] not in (1, 3, 4):
        raise UsageError(f"An image of {pixels.shape[-1]} channels cannot be saved; images have 1, 3 or 4.")
    return pixels
