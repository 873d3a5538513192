"""Images in LMDB: LSUN's files, rosinality's data sets, and sgkit's own stores."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sgkit.errors import InputError, StoreError
from sgkit.store.lmdb_file import LmdbFile
from sgkit.store.records import StoreReader
from sgkit.store.sources.base import Item, Label, Reader, Source


class LmdbReader:
    """Reads values by their keys; opened on first use, once per process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: LmdbFile | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_file": None}

    def read(self, item: Item) -> bytes:
        """The value, which is an image file."""
        try:
            self._file = self._file or LmdbFile(self.path)
            value = self._file.get(item.locator)
        except StoreError as error:
            raise OSError(str(error)) from error
        if value is None:
            raise OSError(f"key {item.locator!r} is missing")
        return value


class LsunSource(Source):
    """LSUN: every value an image, in the order of the keys."""

    kind = "lsun"

    def __init__(self, given: str, file: Path, keys: list[bytes]) -> None:
        super().__init__(given)
        self._file = file
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Item:
        key = self._keys[index]
        return Item(key.decode("utf-8", "backslashreplace"), key)

    def reader(self) -> Reader:
        """Reads each value by its key."""
        return LmdbReader(str(self._file))


class RosinalitySource(LsunSource):
    """rosinality's data sets: keys ``256-00042``; of several sizes the largest is read."""

    kind = "rosinality"


def lmdb_source(given: str, file: Path) -> Source:
    """The source for an LMDB file, by what its keys look like.

    Raises:
        InputError: it is no LMDB file.
    """
    try:
        keys = list(LmdbFile(file).keys())
    except StoreError as error:
        raise InputError(f"{given} cannot be read as an LMDB: {error}") from error
    if b"length" not in keys:
        return LsunSource(given, file, keys)
    found = [match for key in keys if (match := re.fullmatch(rb"(\d+)-(\d+)", key))]
    largest = max((int(match[1]) for match in found), default=0)
    chosen = sorted((int(match[2]), match[0]) for match in found if int(match[1]) == largest)
    source = RosinalitySource(given, file, [key for _, key in chosen])
    other = len(keys) - len(chosen) - 1  # but 'length'
    if other:
        source.notes.append(f"{other:,} records of {given} are not used: smaller sizes than {largest} pixels.")
    return source


class StoreItemReader:
    """Reads images of a store, as pixels."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._reader = StoreReader(path)

    def read(self, item: Item) -> np.ndarray:
        """The pixels [height, width(, channels)]."""
        try:
            pixels = self._reader.pixels(item.locator)
        except StoreError as error:
            raise OSError(str(error)) from error
        return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


class StoreSource(Source):
    """The images of another store, with their names and labels."""

    kind = "store"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self._reader = StoreReader(given)
        self.labels = self._reader.header.labels

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, index: int) -> Item:
        meta = self._reader.meta(index)
        return Item(meta["name"], index, self._label(index), None, meta.get("attributes", {}))

    def _label(self, index: int) -> Label:
        if self.labels.kind == "none":
            return None
        vector = self._reader.label(index)
        return int(vector.argmax()) if self.labels.kind == "class" else tuple(vector.tolist())

    def fingerprint(self) -> str:
        """The store's content hash."""
        return self._reader.header.content_hash

    def reader(self) -> Reader:
        """Decodes each image."""
        return StoreItemReader(self.given)
