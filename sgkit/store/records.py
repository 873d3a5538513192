"""Records of a store in LMDB: written in order by one writer, read by any number of processes.

Keys are text: ``0000000042:64x64`` an image, ``0000000042:label``, ``0000000042:meta`` (JSON: name, source, hashes).
The writer is deterministic. A part written straight through, and a part whose writer was killed anywhere and run
again, have the same bytes: transactions end at fixed places, each one starts from a freshly opened file (so that LMDB's
pool of used pages cannot leak into the slack of new ones), and the size of the map follows from the records.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from sgkit.errors import StoreError
from sgkit.store.encoding import decode
from sgkit.store.header import Header, LabelSchema, read_header, size_text

__all__ = ["PartWriter", "Record", "StoreReader", "label_bytes", "label_vector", "open_environment"]

STATE_KEY = b"!state"
"""Sorts before all records, which are appended."""
PAGE = 4096
MAP_STEP = 64 << 20
READ_AT_ONCE = 4096


@dataclass(frozen=True)
class Record:
    """One image as it is stored."""

    images: Mapping[str, bytes]
    """``WxH`` -> encoded image."""
    label: bytes
    meta: Mapping[str, Any]

    @property
    def num_bytes(self) -> int:
        """Bytes of the encoded images."""
        return sum(map(len, self.images.values()))


class PartWriter:
    """Appends records to one LMDB file, together with the state that lets the work go on after a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_state(self) -> dict[str, Any] | None:
        """The state of the last transaction that was completed; ``None`` before the first."""
        if not self.path.exists():
            return None
        try:
            with self._open(0) as environment, environment.begin() as transaction:
                data = transaction.get(STATE_KEY)
        except lmdb.Error as error:
            raise StoreError(f"{self.path} is damaged ({error}). Remove the store's folder and start again.") from error
        return json.loads(bytes(data)) if data else None

    def read_metas(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """(meta, stored label) of every record so far, in order."""
        first = 0
        while self.path.exists():
            found = self._read_metas(first)
            yield from found
            first += len(found)
            if len(found) < READ_AT_ONCE:
                return

    def _read_metas(self, first: int) -> list[tuple[dict[str, Any], bytes]]:
        """Those of up to ``READ_AT_ONCE`` records; the file's pages leave memory when it is closed."""
        found: list[tuple[dict[str, Any], bytes]] = []
        with self._open(0) as environment, environment.begin() as transaction:
            for index in range(first, first + READ_AT_ONCE):
                meta = transaction.get(_key(index, "meta"))
                if meta is None:
                    break
                label = transaction.get(_key(index, "label"), default=b"")
                found.append((json.loads(meta.decode("utf-8", "surrogateescape")), bytes(label)))
        return found

    def commit(self, first: int, records: Sequence[Record], state: Mapping[str, Any]) -> None:
        """Write records ``first``, ``first + 1`` ... and the state: all of it, or, when this raises, nothing.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        room = int(state["num_bytes"]) * 2 + sum(r.num_bytes for r in records) + int(state["num_images"]) * 4 * PAGE
        while True:
            try:
                with self._open(_round_up(room)) as environment, environment.begin(write=True) as transaction:
                    _put_all(transaction, first, records)
                    transaction.put(STATE_KEY, json.dumps(state, sort_keys=True).encode())
                return
            except lmdb.MapFullError:
                room *= 2
            except (lmdb.Error, OSError) as error:
                raise StoreError(
                    f"{self.path} cannot be written: {error}. All images up to here are safe; make room and run the "
                    "same command again to continue."
                ) from error

    def _open(self, map_size: int) -> lmdb.Environment:
        return lmdb.open(
            str(self.path),
            map_size=map_size or MAP_STEP,
            subdir=False,
            lock=False,
            readonly=map_size == 0,
            readahead=False,
            metasync=True,
        )


def _round_up(size: int) -> int:
    return (size // MAP_STEP + 1) * MAP_STEP


def _put_all(transaction: lmdb.Transaction, first: int, records: Sequence[Record]) -> None:
    for index, record in enumerate(records, first):
        entries = {
            **record.images,
            "meta": json.dumps(record.meta, ensure_ascii=False).encode("utf-8", "surrogateescape"),
        }
        if record.label:
            entries["label"] = record.label
        for name in sorted(entries):
            transaction.put(_key(index, name), entries[name], append=True)


def _key(index: int, name: str) -> bytes:
    return f"{index:010d}:{name}".encode()


def label_bytes(schema: LabelSchema, label: int | Sequence[float] | None) -> bytes:
    """A label as it is stored: an int32 for a class, float32 for every name otherwise; nothing without labels."""
    if schema.kind == "none":
        return b""
    assert label is not None
    return np.asarray(label, "<i4" if schema.kind == "class" else "<f4").tobytes()


def label_vector(schema: LabelSchema, data: bytes | memoryview | None) -> np.ndarray:
    """A stored label as float32 [label_dim]: one-hot for a class."""
    vector = np.zeros(schema.dim, np.float32)
    if schema.kind == "class" and data is not None:
        vector[int(np.frombuffer(data, "<i4")[0])] = 1
    elif schema.dim and data is not None:
        vector[:] = np.frombuffer(data, "<f4")
    return vector


class StoreReader:
    """Random access to the records of a finished store. Picklable; LMDB is opened on first use, once per process.

    Raises:
        StoreError: there is no finished store at ``path``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header: Header = read_header(self.path)
        self._starts = np.cumsum([0] + [part.num_images for part in self.header.parts])
        self._pid = -1
        self._open: dict[tuple[int, int], lmdb.Transaction] = {}  # (thread, part): no two threads share one

    def __len__(self) -> int:
        return self.header.num_images

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_pid": -1}

    def record(self, index: int, *, size: tuple[int, int] | None = None) -> memoryview:
        """The encoded image at one of the header's ``sizes``: a view of the file, valid while the reader lives."""
        return self._get(index, size_text(size or self.header.image_size))

    def pixels(self, index: int, *, size: tuple[int, int] | None = None) -> np.ndarray:
        """The image, uint8 [C, H, W]; for ``raw`` a read-only view of the mapped file, without a copy."""
        size = size or self.header.image_size
        try:
            return decode(
                self._get(index, size_text(size)),
                self.header.encoding,
                channels=self.header.image_channels,
                size=size,
            )
        except StoreError as error:
            raise StoreError(f"Image {index} of store {self.path} is damaged: {error}") from error

    def label(self, index: int) -> np.ndarray:
        """The label, float32 [label_dim]."""
        schema = self.header.labels
        return label_vector(schema, self._get(index, "label") if schema.dim else None)

    def stored_label(self, index: int) -> bytes:
        """The label as it is stored."""
        return bytes(self._get(index, "label")) if self.header.labels.dim else b""

    def meta(self, index: int) -> dict[str, Any]:
        """Name, source and hashes of the image."""
        values: dict[str, Any] = json.loads(bytes(self._get(index, "meta")).decode("utf-8", "surrogateescape"))
        return values

    def _get(self, index: int, name: str) -> memoryview:
        if not 0 <= index < len(self):
            raise IndexError(f"Image {index} is asked for; store {self.path} has images 0 to {len(self) - 1}.")
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        value = self._transaction(part).get(_key(index - int(self._starts[part]), name))
        if value is None:
            raise StoreError(f"Store {self.path} lacks record {name!r} of image {index}: it is damaged.")
        return memoryview(value)

    def _transaction(self, part: int) -> lmdb.Transaction:
        if self._pid != os.getpid():  # first use, or forked: what the parent opened is not ours
            self._open, self._pid = {}, os.getpid()
        key = (threading.get_ident(), part)
        if key not in self._open:
            file = self.path / self.header.parts[part].file
            self._open[key] = open_environment(file).begin(buffers=True)
        return self._open[key]


_environments: weakref.WeakValueDictionary[tuple[str, int, int], lmdb.Environment] = weakref.WeakValueDictionary()
_owner = os.getpid()
_opening = threading.Lock()


def open_environment(file: Path) -> lmdb.Environment:
    """The process's one read-only environment of a file: LMDB must not open a file twice in a process.

    Raises:
        StoreError: it cannot be opened.
    """
    global _owner
    if _owner != os.getpid():  # forked: the parent's environments are closed here, and stay open there
        for inherited in list(_environments.values()):
            inherited.close()
        _environments.clear()
        _owner = os.getpid()
    try:
        status = file.stat()
        key = (str(file.resolve()), status.st_ino, status.st_mtime_ns)
        with _opening:
            environment = _environments.get(key)
            if environment is None:
                environment = lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=False)
                _environments[key] = environment
    except (OSError, lmdb.Error) as error:
        raise StoreError(f"{file} cannot be opened: {error}. Copy it, or prepare the store, again.") from error
    return environment
