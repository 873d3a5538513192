"""A source of images: a list of items that is cheap to make, and a reader that fetches one item's bytes."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeVar, cast

from sgkit.store.header import LabelSchema
from sgkit.store.images.decoding import Payload
from sgkit.store.labels.files import DATASET_JSON, LabelFile, read_dataset_json

Label = int | tuple[float, ...] | None
"""A class index, the numbers of a multi-label or float label, or none."""
T = TypeVar("T")


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
    """Unique within the source, with forward slashes; appears in the store and in reports."""
    locator: Any = None
    """What the source's reader needs to fetch it."""
    label: Label = None
    """The label that is part of the data."""
    payload: Payload | None = None
    """The image itself, from sources that can only be read in order."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further facts to keep with the image."""


class Reader(ABC):
    """Fetches items. Small and picklable: every worker process gets a copy and opens the file itself."""

    def __init__(self, path: str) -> None:
        self.path = path
        """The file or folder that everything comes from: when it is gone, the whole source has failed."""
        self._opened: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def opened(self, open_file: Callable[[str], T]) -> T:
        """What ``open_file`` makes of the path; called once in each process, forked ones included."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), open_file(self.path)
        return cast(T, self._opened[1])

    @abstractmethod
    def read(self, item: Item) -> Payload:
        """The bytes of the item's file, or its pixels.

        Raises:
            OSError: it cannot be read.
        """

    def start(self, item: Item) -> bytes:
        """The first bytes of the item's file; none where they cannot be read without the others."""
        return b""


class Source:
    """Images in a fixed order."""

    kind: str = ""
    labels: LabelSchema = LabelSchema()
    """Labels that are part of the data, as :attr:`Item.label`."""
    streamed: bool = False
    """Items come in order only, with their payload."""
    class_names: tuple[str, ...] = ()
    """Names of the classes that the numbers of :meth:`label_file` stand for."""

    def __init__(self, given: str, reader: Reader) -> None:
        self.given = given
        self.names: Sequence[str] = ()
        self.locators: Sequence[Any] = ()
        self.unused: list[Unused] = []
        """Files that are not images; those that seem to be count as items, even where they turn out to be damaged."""
        self.notes: list[str] = []
        """What a user should know about how the source was read."""
        self._reader = reader

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        """An item without its payload; decodes nothing."""
        return Item(self.names[index], self.locators[index])

    def reader(self) -> Reader:
        """The reader of the items."""
        return self._reader

    def stream(self, start: int) -> Iterator[Item]:
        """The items from ``start`` on, with payloads; only for ``streamed`` sources."""
        raise NotImplementedError

    def label_file(self, columns: Sequence[str] = ()) -> LabelFile | None:
        """Labels in the data as rows of names and values; ``None`` where :attr:`Item.label` holds them.

        Of tables, ``columns`` are read, or else the one that is named like labels; elsewhere ``dataset.json``.
        """
        names = (file.name for file in self.unused if file.reason == "label file")
        return read_dataset_json(
            [name for name in names if name.endswith(DATASET_JSON)], self.read_json, where=self.given
        )

    def read_json(self, name: str) -> bytes:
        """The content of a ``dataset.json`` of the source."""
        raise NotImplementedError

    def folders(self) -> Sequence[str]:
        """The first folder of each item's name below their common folder: classes, for ``--labels folders``."""
        folders = [self[i].name.split("/")[:-1] for i in range(len(self))]
        if not folders:
            return []
        ends = zip(min(folders), max(folders), strict=False)  # what these two share, all between them do
        depth = len(list(takewhile(lambda pair: pair[0] == pair[1], ends)))
        return [parts[depth] if len(parts) > depth else "" for parts in folders]

    def fingerprint(self) -> str:
        """Hash of the names and own labels of the items, in order: tells whether the source is still the same."""
        digest = hashlib.sha256()
        for index in range(len(self)):
            item = self[index]
            digest.update(f"{item.name}\0{item.label}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
