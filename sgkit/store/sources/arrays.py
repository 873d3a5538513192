"""CIFAR-10 and MNIST: thousands of tiny images in a few files of their own formats.

CIFAR's Python version is a pickle. It is read by an unpickler that knows arrays only: nothing in it is executed.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sgkit.errors import InputError
from sgkit.store.header import LabelSchema
from sgkit.store.sources.base import Item, Reader, Source

__all__ = ["CifarSource", "MnistSource", "cifar_members", "mnist_files"]

CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_CIFAR_FILES = (*_CIFAR_TRAIN, *(f"{name}.bin" for name in _CIFAR_TRAIN))


class CifarSource(Source):
    """The 50,000 training images of CIFAR-10: its folder or archive, Python or binary version."""

    kind = "cifar10"
    labels = LabelSchema(kind="class", names=CIFAR_NAMES)

    def __init__(self, given: str, members: list[str]) -> None:
        super().__init__(given)
        self._reader = _CifarReader(given)
        self._files = members
        self._labels = [self._reader.load(member)[1] for member in members]
        self._starts = np.cumsum([0, *map(len, self._labels)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Item:
        file = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[file])
        return Item(f"cifar10-{index:05d}", (self._files[file], row), int(self._labels[file][row]))

    def reader(self) -> Reader:
        """Reads rows of the files, one file at a time."""
        return self._reader


class _CifarReader:
    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, member: str) -> tuple[np.ndarray, list[int]]:
        return _load_cifar(self.path, member)

    def read(self, item: Item) -> np.ndarray:
        member, row = item.locator
        return np.ascontiguousarray(self.load(member)[0][row].reshape(3, 32, 32).transpose(1, 2, 0))


def cifar_members(path: Path) -> list[str]:
    """The files of CIFAR-10's training set in a folder or tar file, in order; none when it is something else."""
    if path.is_dir():
        names = [name for name in _CIFAR_FILES if (path / name).is_file()]
    elif path.name.startswith("cifar-10") and tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            names = sorted(m.name for m in archive if m.name.rsplit("/", 1)[-1] in _CIFAR_FILES)
    else:
        names = []
    return names


@lru_cache(maxsize=1)
def _load_cifar(path: str, member: str) -> tuple[np.ndarray, list[int]]:
    data = _bytes_of(Path(path), member)
    if member.endswith(".bin"):
        rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)
        return rows[:, 1:], rows[:, 0].tolist()
    try:
        values = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
        return np.asarray(values[b"data"], np.uint8).reshape(-1, 3072), [int(v) for v in values[b"labels"]]
    except (pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError) as error:
        raise InputError(f"{member} in {path} is no batch of CIFAR-10: {error}") from error


def _bytes_of(path: Path, member: str) -> bytes:
    if path.is_dir():
        return (path / member).read_bytes()
    with tarfile.open(path) as archive:
        file = archive.extractfile(member)
        assert file is not None
        return file.read()


class _ArrayUnpickler(pickle.Unpickler):
    """Builds containers, numbers and NumPy arrays; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0, np.uint8).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which arrays do not need")


def _latin1(text: str, _encoding: str) -> bytes:
    """How pickles of Python 2's protocol carry bytes."""
    return text.encode("latin1")


class MnistSource(Source):
    """MNIST and its likes (Fashion-MNIST, KMNIST): IDX files of images and labels, gzipped or not."""

    kind = "mnist"

    def __init__(self, given: str, images: Path, labels: Path | None) -> None:
        super().__init__(given)
        self._images = images
        self._count = int(_load_idx(str(images)).shape[0])
        self._labels = _load_idx(str(labels)) if labels else None
        if self._labels is not None:
            self.labels = LabelSchema(kind="class", names=tuple(map(str, range(int(self._labels.max()) + 1))))
            if len(self._labels) != self._count:
                raise InputError(f"{images} has {self._count} images, but {labels} has {len(self._labels)} labels.")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Item:
        return Item(f"mnist-{index:05d}", index, None if self._labels is None else int(self._labels[index]))

    def reader(self) -> Reader:
        """Reads rows of the file."""
        return _IdxReader(str(self._images))


class _IdxReader:
    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, item: Item) -> np.ndarray:
        return np.ascontiguousarray(_load_idx(self.path)[item.locator])


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
def _load_idx(path: str) -> np.ndarray:
    data = Path(path).read_bytes()
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        if data[:3] != b"\0\0\x08":
            raise ValueError("it does not begin like an IDX file of bytes")
        shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape([int(n) for n in shape])
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as an IDX file: {error}") from error
