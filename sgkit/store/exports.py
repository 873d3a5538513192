"""A store written as the data sets of other tools. Each writer fills a path and yields the number of images done."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import lmdb
import numpy as np

from sgkit.errors import InputError
from sgkit.runtime.files import fault_of_writing
from sgkit.store.images.encoding import encode
from sgkit.store.records import StoreReader

_SUFFIX = {"png": ".png", "webp": ".webp", "jpeg": ".jpg", "raw": ".png"}
LMDB_BATCH = 1000


def export_folder(reader: StoreReader, folder: Path) -> Iterator[int]:
    """Image files under their own names, and ``labels.csv`` when there are labels."""
    suffix = _SUFFIX[reader.header.encoding]
    names = _file_names(reader, suffix)
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_image_file(reader, index))
        yield index + 1
    if reader.header.labels.dim:
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            _write_labels(reader, names, csv.writer(file))


def export_nvidia(reader: StoreReader, path: Path) -> Iterator[int]:
    """An uncompressed zip of PNG files with ``dataset.json``, as StyleGAN2-ADA's and StyleGAN3's tools read."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        labels: list[list[Any]] = []
        for index in range(len(reader)):
            name = f"{index // 1000:05d}/img{index:08d}.png"
            archive.writestr(name, _png(reader, index))
            if reader.header.labels.dim:
                vector = reader.label(index)
                is_class = reader.header.labels.kind == "class"
                labels.append([name, int(vector.argmax()) if is_class else vector.tolist()])
            yield index + 1
        archive.writestr("dataset.json", json.dumps({"labels": labels or None}))


def export_rosinality(reader: StoreReader, folder: Path) -> Iterator[int]:
    """LMDB with keys ``256-00042``, all sizes of a pyramid, and ``length``."""
    height, width = reader.header.image_size
    if height != width:
        raise InputError(f"rosinality's data sets hold squares only; these images are {width}x{height}.")
    room = 4 * sum(part.num_bytes for part in reader.header.parts) + len(reader) * 16384 + (64 << 20)
    if reader.header.encoding == "raw":
        room *= 2
    try:
        with lmdb.open(os.fsencode(folder), map_size=room, readahead=False) as environment:
            for first in range(0, len(reader), LMDB_BATCH):
                with environment.begin(write=True) as transaction:
                    for index in range(first, min(first + LMDB_BATCH, len(reader))):
                        for size in reader.header.sizes:
                            key = f"{size[0]}-{index:05d}".encode()
                            transaction.put(key, _image_file(reader, index, size=size))
                        yield index + 1
            with environment.begin(write=True) as transaction:
                transaction.put(b"length", str(len(reader)).encode())
    except lmdb.Error as error:
        raise fault_of_writing(error, folder) or InputError(f"{folder} cannot be written: {error}.") from error
    (folder / "lock.mdb").unlink(missing_ok=True)


EXPORTS: Mapping[str, Callable[[StoreReader, Path], Iterator[int]]] = {
    "folder": export_folder,
    "nvidia": export_nvidia,
    "rosinality": export_rosinality,
}
"""Form -> what writes it."""


def _image_file(reader: StoreReader, index: int, *, size: tuple[int, int] | None = None) -> bytes:
    """The record, which is a file of its encoding; PNG for raw ones."""
    if reader.header.encoding == "raw":
        return encode(reader.pixels(index, size=size), "png")
    return bytes(reader.record(index, size=size))


def _png(reader: StoreReader, index: int) -> bytes:
    return bytes(reader.record(index)) if reader.header.encoding == "png" else encode(reader.pixels(index), "png")


def _file_names(reader: StoreReader, suffix: str) -> list[str]:
    """Names of the images' files: their own with the new ending, numbered where that repeats or leads outside."""
    names: list[str] = []
    taken: set[str] = set()
    for index in range(len(reader)):
        own = PurePosixPath(reader.meta(index)["name"].replace("#", "-"))
        name = str(own.with_suffix(suffix)) if own.name else ""
        if own.is_absolute() or ".." in own.parts or ":" in name or "\\" in name or not name or name.lower() in taken:
            name = f"image-{index:08d}{suffix}"
        taken.add(name.lower())
        names.append(name)
    return names


def _write_labels(reader: StoreReader, names: list[str], writer: Any) -> None:
    schema = reader.header.labels
    writer.writerow(["file", *(["class"] if schema.kind == "class" else schema.names)])
    for index, name in enumerate(names):
        vector = reader.label(index)
        values = [schema.names[int(vector.argmax())]] if schema.kind == "class" else [_short(v) for v in vector]
        writer.writerow([name, *values])


def _short(value: np.floating[Any]) -> str:
    return np.format_float_positional(value, trim="-")
