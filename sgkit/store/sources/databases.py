"""Images in LMDB: LSUN's files, rosinality's data sets, and sgkit's own stores."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sgkit.errors import InputError, StoreError
from sgkit.store.images.encoding import interleaved
from sgkit.store.lmdb_file import LmdbFile
from sgkit.store.records import StoreReader
from sgkit.store.sources.base import Item, Reader, Source


class LmdbReader(Reader):
    """Reads values by their keys."""

    def read(self, item: Item) -> bytes:
        """The value, which is an image file."""
        try:
            value = self.opened(LmdbFile).get(item.locator)
        except StoreError as error:
            raise OSError(str(error)) from error
        if value is None:
            raise OSError(f"key {item.locator!r} is missing")
        return value


class LmdbSource(Source):
    """An LMDB file by what its keys look like: of LSUN, every value an image, in the order of the keys; or
    rosinality's, with keys ``256-00042``, of which the largest size is read.
    """

    def __init__(self, given: str, file: Path) -> None:
        super().__init__(given, LmdbReader(str(file)))
        try:
            keys = list(LmdbFile(file).keys())
        except StoreError as error:
            raise InputError(f"{given} cannot be read as an LMDB: {error}") from error
        self.kind = "rosinality" if b"length" in keys else "lsun"
        if self.kind == "rosinality":
            found = [match for key in keys if (match := re.fullmatch(rb"(\d+)-(\d+)", key))]
            largest = max((int(match[1]) for match in found), default=0)
            chosen = sorted((int(match[2]), match[0]) for match in found if int(match[1]) == largest)
            if others := len(keys) - len(chosen) - 1:  # but 'length'
                self.notes.append(f"{others:,} records of {given} are not used: smaller sizes than {largest} pixels.")
            keys = [key for _, key in chosen]
        self.names, self.locators = [key.decode("utf-8", "backslashreplace") for key in keys], keys


class RecordReader(Reader):
    """Reads images of a store, as pixels."""

    def read(self, item: Item) -> np.ndarray:
        """The pixels [height, width(, channels)]."""
        try:
            return interleaved(self.opened(StoreReader).pixels(item.locator))
        except StoreError as error:
            raise OSError(str(error)) from error


class StoreSource(Source):
    """The images of another store, with their names and labels."""

    kind = "store"

    def __init__(self, given: str) -> None:
        super().__init__(given, RecordReader(given))
        self._store = StoreReader(given)
        self.labels = self._store.header.labels

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> Item:
        meta, label = self._store.meta(index), None
        if self.labels.kind != "none":
            vector = self._store.label(index)
            label = int(vector.argmax()) if self.labels.kind == "class" else tuple(vector.tolist())
        return Item(meta["name"], index, label, None, meta.get("attributes", {}))

    def fingerprint(self) -> str:
        """The store's content hash."""
        return self._store.header.content_hash
