"""What a source of images is: a list of items that is cheap to make, and a reader that fetches one item's bytes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sgkit.store.header import LabelSchema
from sgkit.store.images import Payload

__all__ = ["IMAGE_SUFFIXES", "Item", "Label", "Reader", "Source", "is_image_name"]

_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .webp .tif .tiff .bmp .gif .avif .heic .heif .ppm .pgm .pnm .jp2"
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())
"""Files of folders and archives that are looked at; all others are no images and are not counted."""

Label = int | tuple[float, ...] | None
"""A class index, the numbers of a multi-label or float label, or none."""


def is_image_name(name: str) -> bool:
    """Whether a file of this name is looked at: a known suffix, and not hidden."""
    base = name.rsplit("/", 1)[-1]
    return not base.startswith(".") and "." in base and "." + base.rsplit(".", 1)[1].lower() in IMAGE_SUFFIXES


@dataclass(frozen=True)
class Item:
    """One candidate of a source."""

    name: str
    """Unique within the source, with forward slashes; ends up in the store and in reports."""
    locator: Any = None
    """What the source's reader needs to fetch it."""
    label: Label = None
    """The label that the data themselves carry."""
    payload: Payload | None = None
    """The image itself, from sources that can only be read in order."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further facts to keep with the image."""


class Reader(Protocol):
    """Fetches items. Small and picklable: every worker process gets a copy and opens its own files."""

    path: str
    """The file or folder that everything comes from: when it is gone, the whole source has failed."""

    def read(self, item: Item) -> Payload:
        """The bytes of the item's file, or its pixels.

        Raises:
            OSError: it cannot be read.
        """
        ...


class Source(ABC):
    """A pile of images, in a fixed order."""

    kind: str = ""
    labels: LabelSchema = LabelSchema()
    """Labels that the data themselves carry, as :attr:`Item.label`."""
    streamed: bool = False
    """Items come in order only, with their payload."""

    def __init__(self, given: str) -> None:
        self.given = given

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    @abstractmethod
    def __getitem__(self, index: int) -> Item:
        """An item without its payload; decodes nothing."""

    @abstractmethod
    def reader(self) -> Reader:
        """The reader of the items."""

    def stream(self, start: int) -> Iterator[Item]:
        """The items from ``start`` on, with payloads; only for ``streamed`` sources."""
        raise NotImplementedError

    def folders(self) -> Sequence[str]:
        """The first folder of each item's name below their common folder: classes, for ``--labels folders``."""
        split = [self[i].name.split("/") for i in range(len(self))]
        depth = _common_depth(split)
        return [parts[depth] if len(parts) > depth + 1 else "" for parts in split]

    def fingerprint(self) -> str:
        """Hash of the names and own labels of the items, in order: tells whether the source is still the same."""
        digest = hashlib.sha256()
        for index in range(len(self)):
            item = self[index]
            digest.update(f"{item.name}\0{item.label}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _common_depth(split: list[list[str]]) -> int:
    """Number of leading folders that all items share."""
    if not split:
        return 0
    shortest = min(len(parts) - 1 for parts in split)
    depth = 0
    while depth < shortest and all(parts[depth] == split[0][depth] for parts in split):
        depth += 1
    return depth
