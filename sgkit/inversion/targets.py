"""The pictures to project: read from files, folders, archives and stores, and brought to the model's size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgkit.config.shapes import PICTURE, parse_shape
from sgkit.errors import InputError
from sgkit.model import Canvas, Model
from sgkit.render.files import png_bytes
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels, pixels_of
from sgkit.render.shapes import MaskPicture, mask_of
from sgkit.runtime.limits import read_file
from sgkit.runtime.path_checks import one_or_many
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.crops import crop_boxes, cut, parse_crop
from sgkit.store.images.decoding import Payload, decode_image, open_picture
from sgkit.store.images.depth import FULL_BITS, is_deep
from sgkit.store.images.encoding import pixel_hash
from sgkit.store.names import is_image_name
from sgkit.store.sources import Item, Reader, open_source
from sgkit.store.sources.bit_depth import find_range
from sgkit.store.sources.folders import FilesSource

MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused as decompression bombs; Pillow's own limit, twice."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A picture to project."""

    name: str
    """Unique, and fit for the name of a folder."""
    source: str
    """The file, or archive and name, that it was read from."""
    pixels: Pixels
    """uint8 [H, W, C], as the model's pictures."""
    adapted: str | None
    """What was done to make it fit, in words; ``None``: nothing."""

    @property
    def pixel_hash(self) -> str:
        """Hash of the pixels."""
        return pixel_hash(self.pixels.transpose(2, 0, 1))


Picture = str | Path | Image.Image | Pixels
"""An image file, or a folder, archive or store of images; a Pillow image; or pixels, uint8 [H, W, C]."""


def read_targets(paths: Picture | Iterable[Picture], model: Model, *, filter_name: str = "lanczos") -> Iterator[Target]:
    """The pictures that ``paths`` name, in order: image files, or folders, archives and stores of images; or in memory.

    A picture of another shape than the model's is cropped in the middle and resampled.

    Raises:
        InputError: there is no such file, or a picture cannot be read; the message names it.
    """
    taken: set[str] = set()
    for source, name, payload, bits in _payloads(paths, model.image_size):
        try:
            pixels, adapted = _fitted(payload, model, filter_name, bits)
        except BadImageError as error:
            raise InputError(
                f"{source} cannot be used: {' '.join(str(part) for part in error.args if part)}."
            ) from None
        yield Target(name=_unique(name, taken), source=source, pixels=pixels, adapted=adapted)


@dataclass(frozen=True, kw_only=True)
class SeenMask:
    """Where pictures are compared."""

    weights: Tensor
    """[H, W], 0 to 1."""
    name: str
    """What it is, by content: the text of a shape, or the hash of an image file."""


def seen_mask(text: str, inputs: Inputs, model: Model) -> SeenMask:
    """The mask that ``text`` names: a shape such as ``box:0,0,0.5,1``, or an image that is white where it is.

    Raises:
        SceneError: the file is not there, or is not a mask.
        UsageError: the text is not a shape.
    """
    parsed = parse_shape(text)
    shape = inputs.mask_picture(parsed) if parsed.kind == PICTURE else text
    weights = mask_of(shape, inputs.mask)(Canvas.of_size(model.image_size))
    name = str(shape.to_dict() | {"picture": ""}) if isinstance(shape, MaskPicture) else text
    return SeenMask(weights=weights.expand(model.image_size), name=name)


def target_images(targets: Iterable[Target], model: Model) -> Tensor:
    """Images [N, C, H, W], -1 to 1, on the model's device."""
    pixels = torch.from_numpy(np.stack([target.pixels for target in targets])).to(model.device)
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def _payloads(paths: Picture | Iterable[Picture], size: tuple[int, int]) -> Iterator[tuple[str, str, Payload, int]]:
    """(source, name, content, bits of 16-bit images): those of one source have one range, as have all single files."""
    given = [one if isinstance(one, bytes) else Path(one) for one in _listed(paths)]
    files = [str(path) for path in given if isinstance(path, Path) and path.is_file() and is_image_name(path.name)]
    bits_of_files = find_range([FilesSource(files)]).bits if files else FULL_BITS
    for index, path in enumerate(given):
        if isinstance(path, bytes):
            yield f"image {index}", f"image{index}", path, FULL_BITS
            continue
        if str(path) in files:
            yield str(path), path.stem, read_file(path, kind="image"), bits_of_files
            continue
        source = open_source(str(path), size=size)
        if source.streamed:
            items: Iterator[Item] = source.stream(0)
        else:
            items = (source[index] for index in range(len(source)))
        reader, bits = source.reader(), find_range([source]).bits
        for item in items:
            yield f"{path}: {item.name}", re.sub(r"\.\w+$", "", item.name), _payload(path, item, reader), bits


def _listed(given: Any) -> list[Any]:
    """Paths, and pictures in memory as PNG files.

    Raises:
        UsageError: something is neither.
    """
    if isinstance(given, np.ndarray) and given.ndim == 4:
        given = list(given)
    found = [given] if isinstance(given, (Image.Image, np.ndarray)) else list(one_or_many(given))
    return [one if isinstance(one, (str, Path)) else png_bytes(pixels_of(one)[0]) for one in found]


def _payload(path: Path, item: Item, reader: Reader) -> Payload:
    try:
        return item.payload if item.payload is not None else reader.read(item)
    except OSError as error:
        raise InputError(f"{item.name} in {path} cannot be read: {error}.") from None


def _fitted(payload: Payload, model: Model, filter_name: str, bits: int) -> tuple[Pixels, str | None]:
    opened = open_picture(payload, max_pixels=MAX_PIXELS)
    scaled = is_deep(opened) and bits < FULL_BITS
    upright = decode_image(opened, channels=model.config.image_channels, bits=bits)
    height, width = model.image_size
    adapted = None
    if upright.size != (width, height):
        (box,) = crop_boxes(parse_crop("center"), upright.size, (height, width))
        kept = (round(box[2] - box[0]), round(box[3] - box[1]))
        crop = f"cropped in the middle to {kept[0]}x{kept[1]} and " if kept != upright.size else ""
        adapted = f"{upright.width}x{upright.height}, {crop}resized to the model's {width}x{height}"
        upright = cut(upright, box, (height, width), filter_name=filter_name)
    if scaled:
        adapted = f"{adapted + '; ' if adapted else ''}read as {bits}-bit data"
    pixels = np.array(upright)
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels), adapted


def _unique(name: str, taken: set[str]) -> str:
    base = re.sub(r"[^\w.-]", "_", name).lstrip(".") or "image"
    unique, count = base, 1
    while unique in taken:
        count += 1
        unique = f"{base}-{count}"
    taken.add(unique)
    return unique
