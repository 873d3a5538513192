"""What a source of images is: a list of items that is cheap to make, and a reader that fetches one item's bytes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from sgkit.store.header import LabelSchema
from sgkit.store.images.decoding import Payload
from sgkit.store.labels.files import LabelFile

Label = int | tuple[float, ...] | None
"""A class index, the numbers of a multi-label or float label, or none."""


@dataclass(frozen=True)
class Unused:
    """A file of a source that is not looked at, and why."""

    name: str
    reason: str
    """``system file``, ``hidden``, ``label file``, ``camera raw``, ``not an image``, ``not used`` or ``unreadable``."""
    detail: str = ""


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


@runtime_checkable
class QuickReader(Reader, Protocol):
    """A reader that can fetch the beginning of a file alone."""

    def start(self, item: Item) -> bytes:
        """The first bytes of the item's file.

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

    class_names: tuple[str, ...] = ()
    """Names of the classes that the numbers of :meth:`label_file` stand for."""

    def __init__(self, given: str) -> None:
        self.given = given
        self.unused: list[Unused] = []
        """Files that are not images; those that seem to be count as items, even where they turn out to be damaged."""
        self.notes: list[str] = []
        """What a user should know about how the source was read."""

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """Labels that the data carry as rows of names and values; ``None`` where :attr:`Item.label` says them.

        Of tables with many columns, only ``columns`` are read, or else the one that is named as labels are.

        Raises:
            InputError: they cannot be read.
        """
        return None

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
