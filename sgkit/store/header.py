"""The header of an image store: one versioned JSON file, written last, that says all about the images.

A store is one folder: ``header.json``, one or more LMDB files with the records, and ``report.jsonl`` with the
files that were skipped. A folder without ``header.json`` is unfinished.
"""

from __future__ import annotations

import json
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from sgkit.config.base import Config, Count, Text
from sgkit.config.messages import LARGEST
from sgkit.errors import ConfigError, InputError, StoreError
from sgkit.runtime.limits import parse_json, read_file

FORMAT = "sgkit-store"
VERSION = 1
HEADER_NAME = "header.json"
PLAN_NAME = "plan.json"
"""What an unfinished store is being made from; removed when the header is written."""
REPORT_NAME = "report.jsonl"
ENCODINGS = ("png", "webp", "jpeg", "raw")
SMALLEST_LEVEL = 4
MAX_IMAGE_PIXELS = 1 << 28
"""Most pixels of a stored image: 16384x16384."""


def size_text(size: tuple[int, int]) -> str:
    """``WxH`` from (height, width)."""
    return f"{size[1]}x{size[0]}"


def image_sizes(size: tuple[int, int], *, pyramid: bool) -> tuple[tuple[int, int], ...]:
    """Sizes (height, width) of the records of one image: the size itself, then its halves down to 4 for a pyramid."""
    sizes = [size]
    while pyramid and min(sizes[-1]) >= 2 * SMALLEST_LEVEL and sizes[-1][0] % 2 == 0 and sizes[-1][1] % 2 == 0:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return tuple(sizes)


def check_image_size(size: tuple[int, int]) -> None:
    """Refuse a ``size`` (height, width) at which images cannot be stored."""
    if min(size) < 1:
        raise ConfigError(f"Size {size_text(size)} (WxH) must be at least 1x1.")
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise ConfigError(f"Size {size_text(size)} (WxH) has more than {MAX_IMAGE_PIXELS:,} pixels, the most allowed.")


class LabelSchema(Config):
    """What the labels of a store are."""

    kind: Literal["none", "class", "multi", "float"] = "none"
    """``class``: one of ``names``; ``multi``: any of them; ``float``: one number for each."""
    names: tuple[Text, ...] = ()

    @property
    def dim(self) -> int:
        """Length of the label vector that readers give; 0 without labels."""
        return len(self.names)


class SourceInfo(Config):
    """Where images came from."""

    given: Text
    """As it was named when the store was made."""
    kind: str
    num_items: Count
    fingerprint: str
    """Hash of the names (and own labels) of its items, in order."""
    num_images: Count = 0
    num_skipped: Count = 0


class PartInfo(Config):
    """One LMDB file of a store."""

    file: Text
    num_images: Count
    num_items: Count
    """Files looked at, skipped ones included."""
    num_bytes: Count
    """Bytes of all records, before LMDB's pages."""
    skipped: dict[str, Count] = field(default_factory=dict)
    """Reason -> number of files skipped."""
    per_source: tuple[tuple[Count, Count], ...] = ()
    """(images, files skipped) of each source."""
    changed: dict[str, Count] = field(default_factory=dict)
    """A key of :data:`sgkit.store.images.process.CHANGES` -> number of images it was done to."""

    def __post_init__(self) -> None:
        plain = self.file not in ("", ".", "..") and not set(self.file) & set("/\\\0:")
        self.require(plain, "file", "a file name without folders")


class Header(Config):
    """All there is to know about a finished store."""

    num_images: Annotated[int, Field(ge=1, le=LARGEST)]
    image_size: tuple[int, int]
    """Height and width in pixels."""
    image_channels: int
    encoding: Literal["png", "webp", "jpeg", "raw"]
    filter: str
    crop: str
    content_hash: str
    """SHA-256 over the hashes of all images and labels, in order."""
    pyramid: bool = False
    labels: LabelSchema = LabelSchema()
    sources: tuple[SourceInfo, ...] = ()
    parts: Annotated[tuple[PartInfo, ...], Field(min_length=1)]
    skipped: dict[str, Count] = field(default_factory=dict)
    unused: dict[str, Count] = field(default_factory=dict)
    """Reason -> number of files of the sources that are not images, and were not looked at."""
    changed: dict[str, Count] = field(default_factory=dict)
    """A key of :data:`sgkit.store.images.process.CHANGES` -> number of images it was done to."""
    repeated: Count = 0
    """Images with the same pixels as an earlier one."""
    label_counts: tuple[Count, ...] = ()
    """Images of each class, or with each of several labels, in the order of the names; empty without such labels."""
    notes: tuple[Text, ...] = ()
    """What a user should know about how sources and labels were read."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Every option that the store was made with."""
    sgkit: str = ""
    """Version of sgkit that wrote it."""

    def __post_init__(self) -> None:
        check_image_size(self.image_size)
        channels = (1, 3) if self.encoding == "jpeg" else (1, 3, 4)
        self.require(self.image_channels in channels, "image_channels", "1, 3 or (not as jpeg) 4")
        total = sum(part.num_images for part in self.parts)
        self.require(total == self.num_images, "num_images", f"the sum over all parts, {total}")
        labelled = self.labels.kind != "none"
        self.require(labelled == bool(self.labels.names), "labels.names", "given with labels only")

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Sizes (height, width) of the records of each image, largest first."""
        return image_sizes(self.image_size, pyramid=self.pyramid)

    @property
    def num_skipped(self) -> int:
        """Files that were skipped."""
        return sum(self.skipped.values())

    def to_json(self) -> str:
        """The text of ``header.json``."""
        return json.dumps({"format": FORMAT, "version": VERSION, **self.to_dict()}, indent=1) + "\n"


def read_header(path: str | Path) -> Header:
    """The header of the store at ``path``.

    Raises:
        StoreError: the store is missing or unfinished, its header is damaged, or a newer sgkit wrote it.
    """
    folder = Path(path)
    file = folder / HEADER_NAME
    if not file.is_file():
        raise StoreError(_why_no_header(folder))
    try:
        values = parse_json(read_file(file, kind="JSON"), name=str(file))
    except (InputError, OSError) as error:
        raise StoreError(f"The header of store {folder} cannot be read: {error} Prepare the store again.") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise StoreError(f"{file} is not the header of an sgkit store. Make a store with 'sgkit prepare'.")
    version = values.pop("version", None)
    if version != VERSION:
        raise StoreError(
            f"Store {folder} has format version {version}; this sgkit reads version {VERSION}. "
            "Update sgkit, or prepare the store again."
        )
    try:
        return Header.from_dict(values)
    except ConfigError as error:
        raise StoreError(
            f"The header of store {folder} is damaged: {error} Copy the store again, or prepare it again."
        ) from error


def _why_no_header(folder: Path) -> str:
    if not folder.exists():
        return f"There is no store at {folder}. Make one with 'sgkit prepare SOURCE --out {folder} --size SIZE'."
    make = f"Make one with 'sgkit prepare {folder} --out STORE --size SIZE'."
    if not folder.is_dir():
        return f"{folder} is a file; a store is a folder. {make}"
    plan = folder / PLAN_NAME
    if plan.is_file():
        return (
            f"Store {folder} is unfinished. Run the command that started it again; it continues where it stopped: "
            f"{_command_of(plan, folder)}"
        )
    return f"{folder} is not a store: it has no {HEADER_NAME}. {make}"


def _command_of(plan: Path, folder: Path) -> str:
    try:
        return str(parse_json(read_file(plan, kind="JSON"), name=str(plan))["command"])
    except (InputError, KeyError, TypeError, OSError):
        return f"sgkit prepare ... --out {folder}"
