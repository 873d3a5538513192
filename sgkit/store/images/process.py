"""One item of a source to the records of its images: decode, crop, resize, encode. Runs in worker processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from sgkit.config.base import Config, Count, Text, Weight
from sgkit.errors import ConfigError, did_you_mean
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import check_image_size, image_sizes, size_text
from sgkit.store.images.crops import FILTERS, Crop, crop_boxes, cut, output_size, parse_crop, shrink_fraction
from sgkit.store.images.decoding import Payload, decode_image, has_frames, is_flattened, open_picture
from sgkit.store.images.depth import FULL_BITS, SMALLEST_BITS
from sgkit.store.images.duplicates import perceptual_hash
from sgkit.store.images.encoding import check_encoding, encode, pixel_hash, planes, pyramid
from sgkit.store.images.faces import Landmarker, cut_face, face_side

ENLARGED, FIRST_FRAME, FLATTENED = "enlarged", "first of several frames", "laid on the background"
CHANGES = {
    ENLARGED: "have fewer pixels than their size and were enlarged. To skip them, use --no-enlarge",
    FIRST_FRAME: "are the first frame or page of several. To skip them, use --animated refuse",
    FLATTENED: "were transparent and have a background now. To choose its colour, use --background; to keep "
    "transparency, --channels 4",
}
"""What is done to images that users should know, and what they can do about it."""
DECODE_MARGIN = 3.0
"""Scaled JPEG decoding leaves at least this many pixels for each one that is kept."""


_Byte = Annotated[int, Field(ge=0, le=255)]


class ImageOptions(Config):
    """How source images become stored images. Everything here changes pixels and is written to the header."""

    size: tuple[int, int]
    """Height and width in pixels."""
    channels: int = 3
    """1 grey, 3 RGB, 4 RGBA."""
    crop: str = "center"
    filter: str = "lanczos"
    encoding: Literal["png", "webp", "jpeg", "raw"] = "png"
    pyramid: bool = False
    """Keep every half of the size, too, down to 4."""
    background: tuple[_Byte, _Byte, _Byte] = (0, 0, 0)
    """RGB under transparent pixels when alpha is not kept."""
    exact_decoding: bool = False
    """Decode large JPEGs in full, instead of at a fraction that leaves three pixels for each one kept."""
    max_pixels: Annotated[int, Field(ge=1, le=1 << 40)] = 178_956_970
    """Images with more pixels are skipped as decompression bombs."""
    min_size: Count = 0
    """Images with a shorter short side are skipped."""
    max_aspect: Weight = 0.0
    """Images whose sides differ by more than this factor are skipped; 0: any."""
    bits: Annotated[int, Field(ge=0, le=FULL_BITS)] = 0
    """White of images with 16 bits a channel is ``2**bits - 1``; 0: as the largest values of all of them suggest."""
    enlarge: bool = True
    """Enlarge images with fewer pixels than the size; otherwise they are skipped."""
    animated: Literal["first", "refuse"] = "first"
    landmarks: Text = "dlib"
    """Where ``face`` crops find eyes and mouths: ``dlib``, or a CSV or JSON file."""
    seed: Count = 0
    """Of random crops and splits."""
    dedupe: Literal["none", "exact", "near"] = "none"
    """Leave out images that repeat an earlier one, pixel by pixel or nearly."""

    def __post_init__(self) -> None:
        check_image_size(self.size)
        self.require(self.channels in (1, 3, 4), "channels", "1 (grey), 3 (RGB) or 4 (RGBA)")
        bits, aspect = self.bits, self.max_aspect
        self.require(bits == 0 or bits >= SMALLEST_BITS, "bits", "8 to 16, or 0 to find it from the images")
        self.require(aspect == 0 or aspect >= 1, "max_aspect", "1 or more, or 0 to allow any")
        if self.filter not in FILTERS:
            raise ConfigError(f"Unknown filter {self.filter!r}. {did_you_mean(self.filter, FILTERS)}")
        check_encoding(self.encoding, self.channels)
        if self.parsed_crop.kind == "face" and self.size[0] != self.size[1]:
            raise ConfigError(f"Crop face makes squares; size {size_text(self.size)} (WxH) is none.")
        check_image_size(self.image_size)

    @property
    def parsed_crop(self) -> Crop:
        """The crop."""
        return parse_crop(self.crop)

    @property
    def image_size(self) -> tuple[int, int]:
        """Size (height, width) of the images in the store."""
        return output_size(self.parsed_crop, self.size)


@dataclass(frozen=True)
class ProcessedImage:
    """An image ready to be stored."""

    suffix: str
    """Tells several images from one source image apart: ``""``, or ``#0``, ``#1`` ..."""
    images: dict[str, bytes]
    """``WxH`` -> record."""
    pixel_hash: str
    perceptual_hash: int | None = None
    changes: dict[str, str] = field(default_factory=dict)
    """Key of :data:`CHANGES` -> more about it, such as ``40x40 to 64x64``."""


def process(
    name: str, payload: Payload, options: ImageOptions, landmarker: Landmarker | None = None
) -> list[ProcessedImage]:
    """The images made from a source image: one, or several for tiles, random crops and faces.

    Faces need a ``landmarker``.

    Raises:
        BadImageError: it cannot be used.
    """
    picture = open_picture(payload, max_pixels=options.max_pixels, refuse_animated=options.animated == "refuse")
    _check_shape(picture.size, options)
    several = has_frames(picture)
    crop, size = options.parsed_crop, options.size

    def boxes(upright: tuple[int, int]) -> list[tuple[float, float, float, float]]:
        return crop_boxes(crop, upright, size, key=name, seed=options.seed)

    def shrink(upright: tuple[int, int]) -> float:
        return shrink_fraction(boxes(upright), size, margin=DECODE_MARGIN)

    upright = decode_image(
        picture,
        channels=options.channels,
        background=options.background,
        shrink=None if options.exact_decoding or landmarker else shrink,
        bits=options.bits or FULL_BITS,
    )
    if landmarker is not None:
        cuts = _cut_faces(name, upright, options, landmarker)
    else:
        cuts = [
            (cut(upright, box, size, filter_name=options.filter), _enlarged((box[2] - box[0], box[3] - box[1]), size))
            for box in boxes(upright.size)
        ]
    found = ((FIRST_FRAME, several), (FLATTENED, is_flattened(upright)))
    changes = {name: "" for name, holds in found if holds}
    kept = cuts if options.enlarge else [found for found in cuts if not found[1]]
    if not kept:
        raise BadImageError("too small", f"would be enlarged from {cuts[0][1]}")
    return [
        _finish(image, f"#{i}" if len(kept) > 1 else "", options, {**changes, **({ENLARGED: size} if size else {})})
        for i, (image, size) in enumerate(kept)
    ]


def _enlarged(part: tuple[float, float], size: tuple[int, int]) -> str:
    """What is said of a part of (width, height) pixels that becomes an image of (height, width) ``size``."""
    width, height = round(part[0]), round(part[1])
    return f"{width}x{height} to {size_text(size)}" if width < size[1] or height < size[0] else ""


def _cut_faces(
    name: str, picture: Image.Image, options: ImageOptions, landmarker: Landmarker
) -> list[tuple[Image.Image, str]]:
    faces = landmarker.find(name, picture)[: max(options.parsed_crop.number, 1)]
    if not faces:
        raise BadImageError("no face")
    return [
        (
            cut_face(picture, face, options.size[0], resample=FILTERS[options.filter]),
            _enlarged((face_side(face), face_side(face)), options.size),
        )
        for face in faces
    ]


def _check_shape(size: tuple[int, int], options: ImageOptions) -> None:
    width, height = size
    if min(size) < options.min_size:
        raise BadImageError("too small", f"{width}x{height} is under {options.min_size} on its short side")
    if options.max_aspect and max(size) > options.max_aspect * min(size):
        raise BadImageError("too long", f"{width}x{height} is over {options.max_aspect:g}:1")


def pixels_of(name: str, payload: Payload, options: ImageOptions, *, resize: bool) -> np.ndarray:
    """An image as uint8 [C, H, W]: cropped in the middle and resampled, or as large as it is.

    Raises:
        BadImageError: it cannot be used.
    """
    picture = open_picture(payload, max_pixels=options.max_pixels)
    upright = decode_image(picture, channels=options.channels, bits=options.bits or FULL_BITS)
    if resize:
        (box,) = crop_boxes(parse_crop("center"), upright.size, options.size, key=name)
        upright = cut(upright, box, options.size, filter_name=options.filter)
    return np.ascontiguousarray(planes(np.asarray(upright)))


def _finish(image: Image.Image, suffix: str, options: ImageOptions, changes: dict[str, str]) -> ProcessedImage:
    pixels = planes(np.array(image))
    if options.image_size != options.size:  # wide: bars above and below
        above = (options.image_size[0] - options.size[0]) // 2
        below = options.image_size[0] - options.size[0] - above
        pixels = np.pad(pixels, ((0, 0), (above, below), (0, 0)))
    sizes = image_sizes(options.image_size, pyramid=options.pyramid)
    levels = zip(sizes, pyramid(pixels, sizes), strict=True)
    records = {size_text(size): encode(level, options.encoding) for size, level in levels}
    perceptual = perceptual_hash(pixels) if options.dedupe == "near" else None
    return ProcessedImage(suffix, records, pixel_hash(pixels), perceptual, changes)
