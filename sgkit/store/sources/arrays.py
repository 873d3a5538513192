"""CIFAR-10 and MNIST: thousands of tiny images in a few files of special formats.

CIFAR's Python version is a pickle. It is read by :mod:`sgkit.unpickle`: nothing in it is executed.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import tarfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from sgkit.errors import CheckpointError, InputError
from sgkit.runtime.limits import open_regular, read_file, read_stream, size_of
from sgkit.store.header import LabelSchema
from sgkit.store.sources.base import Item, Reader, Source
from sgkit.store.sources.tars import DAMAGED, members
from sgkit.unpickle import loads
from sgkit.unpickle.arrays import ArrayRecord

CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_ROW = 3 * 32 * 32
MAX_UNPACKED = 1 << 30
_CIFAR_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_CIFAR_FILES = (*_CIFAR_TRAIN, *(f"{name}.bin" for name in _CIFAR_TRAIN))


class CifarReader(Reader):
    """Reads rows of the files, one file at a time."""

    def read(self, item: Item) -> np.ndarray:
        """The pixels [32, 32, 3]."""
        member, row = item.locator
        return np.ascontiguousarray(_load_cifar(self.path, member)[0][row].reshape(3, 32, 32).transpose(1, 2, 0))


class CifarSource(Source):
    """The 50,000 training images of CIFAR-10: its folder or archive, Python or binary version."""

    kind = "cifar10"
    labels = LabelSchema(kind="class", names=CIFAR_NAMES)

    def __init__(self, given: str, files: list[str]) -> None:
        super().__init__(given, CifarReader(given))
        found = {file: _load_cifar(given, file)[1] for file in files}
        self.locators = [(file, row) for file, labels in found.items() for row in range(len(labels))]
        self.names = [f"cifar10-{index:05d}" for index in range(len(self.locators))]
        self._labels = [label for labels in found.values() for label in labels]

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], self.locators[index], self._labels[index])


def cifar_members(path: Path) -> list[str]:
    """The files of CIFAR-10's training set in a folder or tar file, in order; none when it is something else."""
    if path.is_dir():
        return [name for name in _CIFAR_FILES if (path / name).is_file()]
    names = []
    try:
        if not (path.name.startswith("cifar-10") and tarfile.is_tarfile(path)):
            return []
        for _, member in members(path):
            if member.offset_data + member.size > MAX_UNPACKED:
                raise InputError(
                    f"{path} unpacks to more than {size_of(MAX_UNPACKED)}; CIFAR-10 has 178 MiB. Unpack it yourself, "
                    "and give the folder."
                )
            if member.isfile() and member.name.rsplit("/", 1)[-1] in _CIFAR_FILES:
                names.append(member.name)
    except DAMAGED as error:
        raise InputError(f"{path} is damaged or cut short ({error}). Download it again.") from error
    return sorted(names)


@lru_cache(maxsize=1)
def _load_cifar(path: str, member: str) -> tuple[np.ndarray, list[int]]:
    try:
        data = _bytes_of(Path(path), member)
        pixels, labels = _binary_batch(data) if member.endswith(".bin") else _pickled_batch(data)
    except CheckpointError as error:
        raise InputError(f"{member} in {path} is not a batch of CIFAR-10: {error}") from error
    except DAMAGED as error:
        raise InputError(f"{member} in {path} cannot be read ({error}). Download it again.") from error
    are_classes = all(type(label) is int and 0 <= label < len(CIFAR_NAMES) for label in labels)
    if not are_classes or len(pixels) != len(labels):
        found = f"{len(pixels)} images and {len(labels)} labels"
        raise InputError(
            f"{member} in {path} is not a batch of CIFAR-10: it has {found}"
            + ("." if are_classes else ", not all of them whole numbers from 0 to 9.")
        )
    return pixels, labels


def _binary_batch(data: bytes) -> tuple[np.ndarray, list[int]]:
    if len(data) % (CIFAR_ROW + 1):
        raise CheckpointError(f"its {len(data)} bytes are not rows of {CIFAR_ROW + 1}.")
    rows = np.frombuffer(data, np.uint8).reshape(-1, CIFAR_ROW + 1)
    return rows[:, 1:], rows[:, 0].tolist()


def _pickled_batch(data: bytes) -> tuple[np.ndarray, list[int]]:
    batch = loads(data)
    record, labels = (batch.get("data"), batch.get("labels")) if isinstance(batch, dict) else (None, None)
    pixels = record.value if isinstance(record, ArrayRecord) else None
    if pixels is None or pixels.dtype != np.uint8 or pixels.size % CIFAR_ROW or not isinstance(labels, list):
        raise CheckpointError("it has no array 'data' of bytes, 3072 for each image, and no list 'labels'.")
    return pixels.reshape(-1, CIFAR_ROW), labels


def _bytes_of(path: Path, name: str) -> bytes:
    if path.is_dir():
        return read_file(path / name, kind="image")
    opened = members(path)  # kept: the archive is closed with it
    archive, member = next(found for found in opened if found[1].name == name)
    file = archive.extractfile(member)
    assert file is not None, "a regular file"
    return read_stream(cast(BinaryIO, file), name=f"{name} in {path}", kind="image", declared=member.size)


class IdxReader(Reader):
    """Reads rows of an IDX file."""

    def read(self, item: Item) -> np.ndarray:
        """The pixels [height, width]."""
        return np.ascontiguousarray(_load_idx(self.path, 3)[item.locator])


class MnistSource(Source):
    """MNIST and data sets like it (Fashion-MNIST, KMNIST): IDX files of images and labels, gzipped or not."""

    kind = "mnist"

    def __init__(self, given: str, images: Path, labels: Path | None) -> None:
        super().__init__(given, IdxReader(str(images)))
        self.locators = range(len(_load_idx(str(images), 3)))
        self.names = [f"mnist-{index:05d}" for index in self.locators]
        self._labels = _load_idx(str(labels), 1) if labels else None
        if self._labels is not None:
            if len(self._labels) != len(self):
                raise InputError(f"{images} has {len(self)} images, but {labels} has {len(self._labels)} labels.")
            self.labels = LabelSchema(kind="class", names=tuple(map(str, range(int(self._labels.max()) + 1))))

    def __getitem__(self, index: int) -> Item:
        return Item(self.names[index], index, None if self._labels is None else int(self._labels[index]))


def mnist_files(path: Path) -> tuple[Path, Path | None] | None:
    """The images and labels (training set) of a folder or file in IDX format; ``None`` when it is something else."""
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if "images-idx3" in p.name or "images.idx3" in p.name)
        training = [p for p in found if p.name.startswith("train")] or found
        return mnist_files(training[0]) if training else None
    if "images-idx3" not in path.name and "images.idx3" not in path.name:
        return None
    labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return path, labels if labels.exists() else None


@lru_cache(maxsize=2)
def _load_idx(path: str, dimensions: int) -> np.ndarray:
    """The array of an IDX file; no more is read than its header announces."""
    try:
        with open_regular(path) as file:
            zipped = file.read(2) == b"\x1f\x8b"
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            return _read_idx(gzip.open(file) if zipped else file, MAX_UNPACKED if zipped else size, dimensions)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as an IDX file: {error}. Download it again.") from error


def _read_idx(file: gzip.GzipFile | BinaryIO, most: int, dimensions: int) -> np.ndarray:
    start = file.read(4)
    if start[:3] != b"\0\0\x08" or len(start) < 4:
        raise ValueError("it does not begin like an IDX file of bytes")
    shape = [int(n) for n in np.frombuffer(file.read(4 * start[3]), ">u4")]
    count = math.prod(shape)
    if len(shape) != dimensions or 0 in shape:
        raise ValueError(f"it has the shape {shape[:8]}; {dimensions} lengths above 0 are expected")
    if count > most:
        raise ValueError(f"it claims {' x '.join(map(str, shape))} bytes; at most {size_of(most)} are there")
    made = io.BytesIO()
    while chunk := file.read(min(1 << 20, count - made.tell())):
        made.write(chunk)
    if made.tell() != count:
        raise ValueError(f"it is cut short: {made.tell()} of {count} bytes are there")
    return np.frombuffer(made.getbuffer(), np.uint8).reshape(shape)
