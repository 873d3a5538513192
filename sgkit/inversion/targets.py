"""The pictures to project: read from files, folders, archives and stores, and brought to the model's size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgkit.config.project import CropName
from sgkit.config.shapes import PICTURE, parse_shape
from sgkit.errors import InputError, UsageError
from sgkit.model import Canvas, Model
from sgkit.render.files import png_bytes
from sgkit.render.inputs import Inputs
from sgkit.render.pictures import Pixels, pixels_of
from sgkit.render.shapes import MaskPicture, mask_of
from sgkit.runtime.detect import detect
from sgkit.runtime.limits import read_file
from sgkit.runtime.path_checks import one_or_many
from sgkit.store.bad_images import BadImageError
from sgkit.store.images.crops import FILTERS, crop_boxes, cut, parse_crop
from sgkit.store.images.decoding import Payload, decode_image, open_picture
from sgkit.store.images.depth import FULL_BITS, is_deep
from sgkit.store.images.encoding import pixel_hash
from sgkit.store.images.faces import Landmarker, cut_face, make_landmarker
from sgkit.store.names import is_image_name
from sgkit.store.sources import Item, Source, open_source
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


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A picture that was named and is not read yet."""

    name: str
    """Unique, and fit for the name of a folder."""
    source: str
    """The file, or archive and name, that it is read from."""
    sequence: int
    """Which of the given paths it is of: single files are one together. Frames of a video follow each other in one."""
    item: str
    """Its name in its source, by which landmarks know it."""
    read: Callable[[], Payload]
    bits: int
    """Of 16-bit images: those of one source have one range, as have all single files."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How pictures are brought to the model's size."""

    crop: CropName = "center"
    """As those of :func:`sgkit.store.images.crops.parse_crop`."""
    landmarks: str = "dlib"
    """Where ``face`` finds eyes and mouths: ``dlib``, or a table of landmarks."""
    filter_name: str = "lanczos"

    @cached_property
    def landmarker(self) -> Landmarker | None:
        """What finds faces; ``None``: they are not looked for.

        Raises:
            MissingDependencyError: dlib is not installed.
        """
        return make_landmarker(self.landmarks) if self.crop == "face" else None

    def check(self, size: tuple[int, int]) -> None:
        """Refuse what does not fit a model of this size, before pictures are read.

        Raises:
            UsageError: faces are cut out square, and the model's pictures are not.
        """
        if self.crop == "face" and size[0] != size[1]:
            raise UsageError(
                f"crop is face, which makes squares; the model makes {size[1]}x{size[0]} images. Use --crop center."
            )
        _ = self.landmarker


def read_targets(
    paths: Picture | Iterable[Picture], model: Model, *, fitting: Fitting | None = None
) -> Iterator[Target]:
    """The pictures that ``paths`` name, in order: image files, or folders, archives and stores of images; or in memory.

    A picture of another shape than the model's is cropped in the middle and resampled, or as ``fitting`` says.

    Raises:
        InputError: the file is missing, or a picture cannot be read; the message names it.
    """
    for listed in list_targets(paths, model.image_size):
        yield read_target(listed, model, fitting or Fitting())


def read_target(listed: Listed, model: Model, fitting: Fitting) -> Target:
    """The picture, fitted to the model.

    Raises:
        InputError: it cannot be read or used; the message names it.
    """
    try:
        pixels, adapted = _fitted(listed, model, fitting)
    except BadImageError as error:
        detail = f" ({error.detail})" if error.detail else ""
        raise InputError(f"{listed.source} cannot be used: {error.reason}{detail}.") from None
    except OSError as error:
        raise InputError(f"{listed.source} cannot be read: {error.strerror or error}.") from None
    return Target(name=listed.name, source=listed.source, pixels=pixels, adapted=adapted)


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


def list_targets(paths: Picture | Iterable[Picture], size: tuple[int, int]) -> list[Listed]:
    """The pictures that ``paths`` name, in order; none is read yet, so that ten thousand take little memory.

    Raises:
        InputError: the file is missing, or nothing in it is an image.
    """
    given = [one if isinstance(one, bytes) else Path(one) for one in _given(paths)]
    files = [str(path) for path in given if isinstance(path, Path) and path.is_file() and is_image_name(path.name)]
    bits_of_files = find_range([FilesSource(files)]).bits if files else FULL_BITS
    found: list[Listed] = []
    taken: set[str] = set()

    def add(name: str, source: str, sequence: int, item: str, read: Callable[[], Payload], bits: int) -> None:
        unique = _unique(name, taken)
        found.append(Listed(name=unique, source=source, sequence=sequence, item=item, read=read, bits=bits))

    for number, path in enumerate(given, start=1):
        if isinstance(path, bytes):
            add(f"image{number - 1}", f"image {number - 1}", 0, f"image{number - 1}", partial(bytes, path), FULL_BITS)
        elif str(path) in files:
            read = partial(read_file, path, kind="image")
            add(path.stem, str(path), 0, path.name, read, bits_of_files)
        else:
            source = open_source(str(path), size=size)
            bits, reading = find_range([source]).bits, _Reading(source)
            for index in range(len(source)):
                item = source[index].name
                name = re.sub(r"\.\w+$", "", item)
                add(name, f"{path}: {item}", number, item, partial(reading.payload, index), bits)
    return found


def check_sources(paths: Iterable[str | Path], folder: Path) -> None:
    """Refuse sources in which results would be taken for images.

    Raises:
        InputError: ``folder``, for the results, is in one of them; or one of them is a folder of results.
    """
    for path in map(Path, paths):
        if path.is_dir() and path.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise InputError(
                f"{folder} is in the folder of images {path}, so the next call would take results for images. Give "
                "--out a folder outside of it."
            )
        if path.is_dir() and detect(path).kind in ("projection", "projections"):
            raise InputError(
                f"Not a folder of photos: {path} holds results of 'sgkit project'. Give the images themselves, for "
                "example its target.png."
            )


class _Reading:
    """The items of a source by number; those of one that can only be read in order, best in rising order."""

    def __init__(self, source: Source) -> None:
        self._source, self._reader = source, source.reader()
        self._stream: Iterator[Item] = iter(())
        self._next: int | None = None

    def payload(self, index: int) -> Payload:
        if not self._source.streamed:
            item = self._source[index]
            return item.payload if item.payload is not None else self._reader.read(item)
        if self._next is None or index < self._next:
            self._stream, self._next = self._source.stream(index), index
        for item in self._stream:
            self._next += 1
            if self._next > index:
                return item.payload if item.payload is not None else self._reader.read(item)
        raise OSError("it is not in its source any more")


def _given(given: Any) -> list[Any]:
    """Paths, and pictures in memory as PNG files.

    Raises:
        UsageError: something is neither.
    """
    if isinstance(given, np.ndarray) and given.ndim == 4:
        given = list(given)
    found = [given] if isinstance(given, (Image.Image, np.ndarray)) else list(one_or_many(given))
    return [one if isinstance(one, (str, Path)) else png_bytes(pixels_of(one)[0]) for one in found]


def _fitted(listed: Listed, model: Model, fitting: Fitting) -> tuple[Pixels, str | None]:
    opened = open_picture(listed.read(), max_pixels=MAX_PIXELS)
    scaled = is_deep(opened) and listed.bits < FULL_BITS
    upright = decode_image(opened, channels=model.config.image_channels, bits=listed.bits)
    height, width = model.image_size
    adapted = None
    if fitting.landmarker is not None:
        faces = fitting.landmarker.find(listed.item, upright)
        if not faces:
            raise BadImageError("no face")
        adapted = f"{upright.width}x{upright.height}, its face turned upright and resized to {width}x{height}"
        upright = cut_face(upright, faces[0], width, resample=FILTERS[fitting.filter_name])
    elif upright.size != (width, height):
        (box,) = crop_boxes(parse_crop(fitting.crop), upright.size, (height, width))
        kept = (round(box[2] - box[0]), round(box[3] - box[1]))
        where = "in the middle " if fitting.crop == "center" else ""
        crop = f"cropped {where}to {kept[0]}x{kept[1]} and " if kept != upright.size else ""
        adapted = f"{upright.width}x{upright.height}, {crop}resized to the model's {width}x{height}"
        upright = cut(upright, box, (height, width), filter_name=fitting.filter_name)
    if scaled:
        adapted = f"{adapted + '; ' if adapted else ''}read as {listed.bits}-bit data"
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
