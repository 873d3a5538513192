"""Records of a store in LMDB: written in order by one writer, read by any number of processes.

Keys are text: ``0000000042:64x64`` an image, ``0000000042:label``, ``0000000042:meta`` (JSON: name, source, hashes).
The writer is deterministic. A part written straight through, and a part whose writer was killed anywhere and run
again, have the same bytes: transactions end at fixed places, each one starts from a freshly opened file (so that LMDB's
pool of used pages cannot leak into the slack of new ones), and the size of the map follows from the records.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

import sgkit
from sgkit.errors import StoreError
from sgkit.runtime.files import fault_of_writing
from sgkit.store.header import Header, LabelSchema, PartInfo, read_header, size_text
from sgkit.store.images.encoding import decode
from sgkit.store.lmdb_file import LmdbFile

STATE_KEY = b"!state"
"""Sorts before all records, which are appended."""
PAGE = 4096
MAP_STEP = 64 << 20
OPEN_PARTS = 128
"""Files that a reader keeps open at once."""


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
    """Appends records to one LMDB file, together with the state that lets the work continue after a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_state(self) -> dict[str, Any] | None:
        """The state of the last transaction that was completed; ``None`` before the first.

        Raises:
            StoreError: the file is damaged anywhere in its structure, so that LMDB must not write to it.
        """
        if self._is_new():
            return None
        file = LmdbFile(self.path, whole=True)
        file.check()
        data = file.get(STATE_KEY)
        return None if data is None else _json_object(data, f"The state in {self.path}")

    def read_metas(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """(meta, stored label) of every record so far, in order."""
        if self._is_new():
            return
        file, index = LmdbFile(self.path), 0
        while (meta := file.get(_key(index, "meta"))) is not None:
            yield _meta_values(meta, f"Image {index} of {self.path}"), file.get(_key(index, "label")) or b""
            index += 1

    def _is_new(self) -> bool:
        return not self.path.exists() or self.path.stat().st_size == 0

    def commit(self, first: int, records: Sequence[Record], state: Mapping[str, Any]) -> None:
        """Write records ``first``, ``first + 1`` ... and the state: all of it, or, when this raises, nothing.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        room = int(state["num_bytes"]) * 2 + sum(r.num_bytes for r in records) + int(state["num_images"]) * 4 * PAGE
        while True:
            try:
                with (
                    self._open_to_write((room // MAP_STEP + 1) * MAP_STEP) as environment,
                    environment.begin(write=True) as transaction,
                ):
                    _put_all(transaction, first, records)
                    transaction.put(STATE_KEY, json.dumps(state, sort_keys=True).encode())
                return
            except lmdb.MapFullError:
                room *= 2
            except (lmdb.Error, OSError) as error:
                fault = fault_of_writing(error, self.path) or f"{self.path} cannot be written: {error}."
                raise StoreError(fault) from error

    def _open_to_write(self, map_size: int) -> lmdb.Environment:
        return lmdb.open(
            os.fsencode(self.path), map_size=map_size, subdir=False, lock=False, readahead=False, metasync=True
        )


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


def label_vector(schema: LabelSchema, data: bytes | None) -> np.ndarray:
    """A stored label as float32 [label_dim]: one-hot for a class.

    Raises:
        StoreError: it is not a label of that schema.
    """
    vector = np.zeros(schema.dim, np.float32)
    if not schema.dim or data is None:
        return vector
    expected = 4 if schema.kind == "class" else 4 * schema.dim
    if len(data) != expected:
        raise StoreError(f"A {schema.kind} label has {len(data)} bytes; {expected} were expected.")
    if schema.kind == "class":
        number = int.from_bytes(data, "little", signed=True)
        if not 0 <= number < schema.dim:
            raise StoreError(f"A label is class {number}; the store has classes 0 to {schema.dim - 1}.")
        vector[number] = 1
    else:
        vector[:] = np.frombuffer(data, "<f4")
        if not np.isfinite(vector).all():
            raise StoreError("A label holds infinite values or NaN.")
    return vector


def _meta_values(data: bytes, where: str) -> dict[str, Any]:
    values = _json_object(data, f"The description of {where}")
    name, pixels = values.get("name"), values.get("pixels")
    if not isinstance(name, str) or not isinstance(pixels, str) or not pixels.isascii():
        raise StoreError(f"The description of {where} is damaged: it lacks the name or the hash of the pixels.")
    return values


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        values = json.loads(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{what} is damaged ({error}).") from None
    if not isinstance(values, dict):
        raise StoreError(f"{what} is damaged: it is not a JSON object.")
    return values


def read_parts(folder: Path, parts: Sequence[PartInfo], schema: LabelSchema) -> dict[str, Any]:
    """The fields of a header that follow from the records in ``parts``, by one pass over them."""
    digest = hashlib.sha256()
    counted = schema.kind in ("class", "multi")
    counts: np.ndarray = np.zeros(schema.dim if counted else 0, np.int64)
    seen: set[bytes] = set()
    for part in parts:
        for meta, label in PartWriter(folder / part.file).read_metas():
            digest.update(meta["pixels"].encode() + label)
            seen.add(bytes.fromhex(meta["pixels"]))
            if schema.kind == "class":
                counts[int(np.frombuffer(label, "<i4")[0])] += 1
            elif counted:
                counts += np.frombuffer(label, "<f4") > 0
    num_images = sum(part.num_images for part in parts)
    return {
        "num_images": num_images,
        "content_hash": digest.hexdigest(),
        "labels": schema,
        "label_counts": tuple(counts.tolist()),
        "repeated": num_images - len(seen),
        "parts": tuple(parts),
        "sgkit": sgkit.__version__,
    }


def add_up(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Name -> sum over all ``counts``."""
    names = sorted({name for count in counts for name in count})
    return {name: sum(count.get(name, 0) for count in counts) for name in names}


class StoreReader:
    """Random access to the records of a finished store. Picklable; may be shared by threads and forked processes.

    Raises:
        StoreError: no finished store is at ``path``, or one of its parts is missing, cut short or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header: Header = read_header(self.path)
        self._starts = list(accumulate((part.num_images for part in self.header.parts), initial=0))
        self._files: dict[int, LmdbFile] = {}
        for part in range(len(self.header.parts)):
            self.part(part)

    def __len__(self) -> int:
        return self.header.num_images

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    def part(self, number: int) -> LmdbFile:
        """The file of a part.

        Raises:
            StoreError: it is missing, cut short or damaged.
        """
        file = self._files.get(number)
        if file is None:
            info = self.header.parts[number]
            file = LmdbFile(self.path / info.file, whole=True)
            each = len(self.header.sizes) + 1 + (self.header.labels.dim > 0)
            if len(file) != info.num_images * each + 1:
                raise StoreError(
                    f"{file.path} is damaged: it has {len(file):,} entries; {info.num_images:,} images have "
                    f"{info.num_images * each + 1:,}. Copy the store again, or prepare it again."
                )
            while len(self._files) >= OPEN_PARTS:
                self._files.pop(next(iter(self._files)), None)
            self._files[number] = file
        return file

    def record(self, index: int, *, size: tuple[int, int] | None = None) -> bytes:
        """The encoded image at one of the header's ``sizes``."""
        return self._get(index, size_text(size or self.header.image_size))

    def pixels(self, index: int, *, size: tuple[int, int] | None = None) -> np.ndarray:
        """The image, uint8 [C, H, W]; read-only for ``raw``."""
        size = size or self.header.image_size
        try:
            record, channels = self._get(index, size_text(size)), self.header.image_channels
            return decode(record, self.header.encoding, channels=channels, size=size)
        except StoreError as error:
            raise self._damaged(index, error) from error

    def label(self, index: int) -> np.ndarray:
        """The label, float32 [label_dim]."""
        schema = self.header.labels
        try:
            return label_vector(schema, self._get(index, "label") if schema.dim else None)
        except StoreError as error:
            raise self._damaged(index, error) from error

    def stored_label(self, index: int) -> bytes:
        """The label as it is stored."""
        return self._get(index, "label") if self.header.labels.dim else b""

    def meta(self, index: int) -> dict[str, Any]:
        """Name, source and hashes of the image."""
        return _meta_values(self._get(index, "meta"), f"image {index} of store {self.path}")

    def _get(self, index: int, name: str) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(f"Image {index} is asked for; store {self.path} has images 0 to {len(self) - 1}.")
        part = bisect_right(self._starts, index) - 1
        value = self.part(part).get(_key(index - self._starts[part], name))
        if value is None:
            raise StoreError(f"record {name!r} is missing from {self.header.parts[part].file}.")
        return value

    def _damaged(self, index: int, error: StoreError) -> StoreError:
        return StoreError(
            f"Image {index} of store {self.path} is damaged: {error} Find all damaged images with: "
            f"sgkit data verify {self.path}"
        )
