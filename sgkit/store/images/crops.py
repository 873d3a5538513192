"""Which parts of a source image are stored, and how they are resampled to the size asked for.

A crop is written ``center``, ``wide``, ``none``, ``random:N``, ``tiles`` or ``tiles:PIXELS``, ``celeba``,
``face`` or ``face:N`` (the N largest).
Boxes are (left, top, right, bottom) in pixels of the upright image and may be fractional.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from sgkit.errors import ConfigError, did_you_mean
from sgkit.store.bad_images import BadImageError

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
CROPS = ("center", "wide", "none", "random:N", "tiles", "tiles:PIXELS", "celeba", "face", "face:N")

Box = tuple[float, float, float, float]

CELEBA_CENTER = (89, 121)
"""Centre (x, y) of the faces in the aligned CelebA images of 178x218, as the ProGAN paper cuts them..."""
CELEBA_HALF = 64
"""...and half the side of the square around it."""


@dataclass(frozen=True)
class Crop:
    """A parsed crop."""

    kind: str
    number: int = 0
    """Crops per image for ``random``, faces for ``face`` (0: one); side of a tile for ``tiles`` (0: the size)."""


@lru_cache
def parse_crop(text: str) -> Crop:
    """The crop that ``text`` names."""
    match = re.fullmatch(r"([a-z]+)(?::(\d+))?", text.strip().lower())
    kind, number = (match[1], int(match[2] or 0)) if match else ("", 0)
    if kind not in {name.partition(":")[0] for name in CROPS}:
        raise ConfigError(f"Unknown crop {text!r}. {did_you_mean(text, CROPS)}")
    if kind == "random" and number < 1:
        raise ConfigError(f"Crop {text!r} needs the number of crops per image, such as random:4.")
    if (number and kind not in ("random", "tiles", "face")) or (match and match[2] == "0"):
        raise ConfigError(f"Crop {text!r} takes no such number. Allowed: {', '.join(CROPS)}.")
    return Crop(kind, number)


def output_size(crop: Crop, size: tuple[int, int]) -> tuple[int, int]:
    """Size (height, width) of the images: ``size``, but a square for ``wide``, which pads above and below."""
    if crop.kind != "wide":
        return size
    if size[1] <= size[0]:
        raise ConfigError(f"Crop wide needs a size wider than high, such as 512x384; {size[1]}x{size[0]} (WxH) is not.")
    return (size[1], size[1])


def crop_boxes(
    crop: Crop, picture: tuple[int, int], size: tuple[int, int], *, key: str = "", seed: int = 0
) -> list[Box]:
    """The boxes of a source image of (width, height) pixels that become images of (height, width) ``size``.

    Random boxes depend on ``seed`` and ``key`` (the image's name) only.

    Raises:
        BadImageError: no tile fits, or the image does not contain CelebA's box.
    """
    width, height = picture
    if crop.kind == "none":
        return [(0.0, 0.0, float(width), float(height))]
    if crop.kind in ("center", "wide"):
        return [_center_box(picture, size)]
    if crop.kind == "celeba":
        return [_celeba_box(picture)]
    if crop.kind == "tiles":
        return _tile_boxes(picture, size, crop.number)
    return _random_boxes(picture, size, crop.number, key, seed)


def _center_box(picture: tuple[int, int], size: tuple[int, int]) -> Box:
    width, height = picture
    scale = min(width / size[1], height / size[0])
    crop_width, crop_height = min(size[1] * scale, width), min(size[0] * scale, height)
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    if crop_width == int(crop_width) and crop_height == int(crop_height):
        left, top = left // 1, top // 1  # whole pixels stay whole: no half-pixel blur
    return (left, top, left + crop_width, top + crop_height)


def _celeba_box(picture: tuple[int, int]) -> Box:
    (x, y), half = CELEBA_CENTER, CELEBA_HALF
    if picture[0] < x + half or picture[1] < y + half:
        raise BadImageError(
            "too small", f"CelebA's crop needs images of 178x218, this one is {picture[0]}x{picture[1]}"
        )
    return (x - half, y - half, x + half, y + half)


def _tile_boxes(picture: tuple[int, int], size: tuple[int, int], side: int) -> list[Box]:
    tile_width, tile_height = size[1], size[0]
    if side:
        scale = side / max(size)
        tile_width, tile_height = max(round(size[1] * scale), 1), max(round(size[0] * scale), 1)
    columns, rows = picture[0] // tile_width, picture[1] // tile_height
    if columns * rows == 0:
        raise BadImageError("too small", f"{picture[0]}x{picture[1]} holds no tile of {tile_width}x{tile_height}")
    left, top = (picture[0] - columns * tile_width) // 2, (picture[1] - rows * tile_height) // 2
    return [
        (
            float(left + column * tile_width),
            float(top + row * tile_height),
            float(left + (column + 1) * tile_width),
            float(top + (row + 1) * tile_height),
        )
        for row in range(rows)
        for column in range(columns)
    ]


def _random_boxes(picture: tuple[int, int], size: tuple[int, int], number: int, key: str, seed: int) -> list[Box]:
    """Places anywhere; scales from the largest that fits down to half of it, but never magnified more than need be."""
    digest = hashlib.blake2b(f"{seed}\n{key}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    draw = np.random.RandomState(np.frombuffer(digest, np.uint32)).random_sample
    largest = min(picture[0] / size[1], picture[1] / size[0])
    smallest = min(largest, max(1.0, largest / 2))
    boxes: list[Box] = []
    for _ in range(number):
        scale = smallest + (largest - smallest) * draw()
        crop_width, crop_height = size[1] * scale, size[0] * scale
        left, top = max(picture[0] - crop_width, 0) * draw(), max(picture[1] - crop_height, 0) * draw()
        boxes.append((left, top, min(left + crop_width, picture[0]), min(top + crop_height, picture[1])))
    return boxes


def shrink_fraction(boxes: list[Box], size: tuple[int, int], *, margin: float) -> float:
    """Fraction of its sides to which an image may be scaled, leaving ``margin`` pixels for each one of ``size``."""
    steps = min(min((b[2] - b[0]) / size[1], (b[3] - b[1]) / size[0]) for b in boxes)
    return min(margin / steps, 1.0) if steps > 0 and math.isfinite(steps) else 1.0


def cut(image: Image.Image, box: Box, size: tuple[int, int], *, filter_name: str) -> Image.Image:
    """The box of the image, antialiased to (height, width) ``size``; alpha weighs the colours."""
    width, height = image.size
    inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height))
    return image.resize((size[1], size[0]), FILTERS[filter_name], box=inside)
