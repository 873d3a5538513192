"""Images as tensors: a store as a torch ``Dataset``, endless training batches, and one pass over anything."""

from __future__ import annotations

import copy
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sgkit.errors import InputError, UsageError
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import HEADER_NAME, PLAN_NAME, Header, size_text
from sgkit.store.images.encoding import halved
from sgkit.store.images.process import ImageOptions, pixels_of
from sgkit.store.records import StoreReader
from sgkit.store.sources import open_source
from sgkit.store.sources.bit_depth import find_range


@dataclass(frozen=True)
class Batch:
    """Some images and their labels."""

    images: torch.Tensor
    """uint8 [N, C, H, W]"""
    labels: torch.Tensor
    """float32 [N, label_dim]"""

    def __len__(self) -> int:
        return len(self.images)


class Images(Protocol):
    """Images of one size by number: a store, or the files of a folder or archive."""

    image_size: tuple[int, int]
    image_channels: int
    label_dim: int

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read_into(self, index: int, pixels: np.ndarray, label: np.ndarray) -> None:
        """Write an image into uint8 ``pixels`` [C, H, W] and its label into float32 ``label`` [label_dim]."""
        ...


class StoreDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A store as pairs (uint8 image [C, H, W], float32 label [label_dim]).

    LMDB is opened on first use, once per process, so that the dataset may be forked, spawned and pickled at will.
    ``size`` (height, width) picks a level of a pyramid.

    Raises:
        StoreError: there is no finished store at ``path``.
        UsageError: the store does not hold that size.
    """

    def __init__(self, path: str | Path, *, size: tuple[int, int] | None = None) -> None:
        self.reader = StoreReader(path)
        self.header: Header = self.reader.header
        self.image_size: tuple[int, int] = size or self.header.image_size
        if self.image_size not in self.header.sizes:
            held = ", ".join(f"{width}x{height}" for height, width in self.header.sizes)
            asked = f"{self.image_size[1]}x{self.image_size[0]}"
            raise UsageError(f"Store {path} holds no images of {asked} (WxH), only {held}. Prepare it with --pyramid?")
        self.image_channels: int = self.header.image_channels
        self.label_dim: int = self.header.labels.dim

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.empty((self.image_channels, *self.image_size), dtype=torch.uint8)
        label = torch.empty(self.label_dim)
        self.read_into(index, pixels.numpy(), label.numpy())
        return pixels, label

    def read_into(self, index: int, pixels: np.ndarray, label: np.ndarray) -> None:
        """Write an image and its label into arrays; a raw record is copied once, from the file's pages."""
        pixels[...] = self.reader.pixels(index, size=self.image_size)
        if self.label_dim:
            label[...] = self.reader.label(index)

    def level(self, size: tuple[int, int]) -> StoreDataset:
        """The same images at one of the header's ``sizes``, through the same open files."""
        other = copy.copy(self)
        other.image_size = size
        return other

    def unlabelled(self) -> StoreDataset:
        """The same images with their labels left out, through the same open files."""
        other = copy.copy(self)
        other.label_dim = 0
        return other

    def pixels(self, index: int) -> np.ndarray:
        """The image, uint8 [C, H, W]; of a raw store a read-only view of the file, without a copy."""
        return self.reader.pixels(index, size=self.image_size)


class ImageFiles(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The images of a folder, archive or any other source, decoded as they are asked for.

    With no ``size`` all must be as large as the first one; otherwise they are cropped in the middle and resampled.
    A file that cannot be read is an error, which names it.
    """

    label_dim = 0

    def __init__(self, path: str, *, size: tuple[int, int] | None = None, channels: int | None = None) -> None:
        self.source = open_source(path, size=size or (256, 256))
        self._reader = self.source.reader()
        self.resize = size is not None
        bits = find_range([self.source]).bits
        options = ImageOptions(size=size or (1, 1), channels=channels or 3, exact_decoding=True, bits=bits)
        self.image_channels = options.channels
        self.image_size = size or self._first_size(options)
        self._options = replace(options, size=self.image_size)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self._read(index, self._options, self.resize)), torch.empty(0)

    def read_into(self, index: int, pixels: np.ndarray, label: np.ndarray) -> None:
        """Write an image into an array."""
        pixels[...] = self._read(index, self._options, self.resize)

    def _first_size(self, options: ImageOptions) -> tuple[int, int]:
        height, width = self._read(0, options, False, check=False).shape[1:]
        return height, width

    def _read(self, index: int, options: ImageOptions, resize: bool, *, check: bool = True) -> np.ndarray:
        item = self.source[index]
        try:
            pixels = pixels_of(item.name, self._reader.read(item), options, resize=resize)
        except (BadImageError, OSError) as error:
            raise InputError(
                f"{item.name} in {self.source.given} cannot be used: {' '.join(map(str, error.args))}"
            ) from error
        if check and pixels.shape[1:] != options.size:
            raise InputError(
                f"{item.name} in {self.source.given} is {pixels.shape[2]}x{pixels.shape[1]}, the first image is "
                f"{options.size[1]}x{options.size[0]} (WxH). Give a size, or prepare a store."
            )
        return pixels


def open_images(path: str | Path, *, size: tuple[int, int] | None = None, channels: int | None = None) -> Images:
    """The images at ``path``: a store, folder, zip or any other source, to be given to :func:`iterate`.

    A store's images come as they are: ``size`` may pick a level of its pyramid.

    Raises:
        InputError: there is nothing to read.
        StoreError: the store is unfinished or damaged.
        UsageError: a store has another size or other channels than asked for.
    """
    folder = Path(path)
    if not ((folder / HEADER_NAME).is_file() or (folder / PLAN_NAME).is_file()):
        return ImageFiles(str(path), size=size, channels=channels)
    dataset = StoreDataset(folder, size=size)
    if channels not in (None, dataset.image_channels):
        raise UsageError(f"Store {path} has {dataset.image_channels} channels; {channels} were asked for.")
    return dataset


def batches(
    dataset: Images,
    *,
    batch: int,
    seed: int,
    start: int = 0,
    share: range | None = None,
    num_workers: int = 0,
    mirror: bool = False,
    size: tuple[int, int] | None = None,
) -> Iterator[Batch]:
    """Endless shuffled batches for training: uint8 [N, C, H, W] and labels, this process's share of ``batch`` images.

    The images are a permutation of the dataset in each epoch, one epoch following the other without a gap. What stands
    at a position, and whether it is flipped left to right, depends on ``seed`` and the position alone; ``start`` is the
    position to begin at (the number of images taken before, by all processes together): a run may resume anywhere.

    ``share`` holds the positions in each batch that this process takes, one after the other; ``None``: all.
    ``size`` is that of the images, as :func:`at_size` gives them.

    Raises:
        UsageError: the share is empty or no part of the batch, or no images of that size can be made.
    """
    mine = range(batch) if share is None else share
    first, last = mine.start, mine.stop
    if not 0 <= first < last <= batch or mine.step != 1:
        raise UsageError(
            f"A process takes positions {first} to {last} of a batch of {batch}; give a part of the batch."
        )
    positions = (range(p + first, p + last) for p in _count(start, batch))
    order = _Order(len(dataset), seed, mirror)
    images = dataset if size is None else at_size(dataset, size)
    return _load(images, (order.request(some) for some in positions), num_workers)


def at_size(dataset: Images, size: tuple[int, int]) -> Images:
    """The same images at ``size`` (height, width): their own, or a half, quarter ... of it, as growing training reads.

    Each pixel is the mean of 2x2 of the size above, rounded once (as ProGAN does). A store with a pyramid holds these,
    which is faster; from any other store or source, full images are read and averaged: the pixels are the same.

    Raises:
        UsageError: the size is not a half, quarter ... of the images'.
    """
    if size == dataset.image_size:
        return dataset
    if isinstance(dataset, StoreDataset) and size in dataset.header.sizes:
        return dataset.level(size)
    return _Averaged(dataset, size)


class _Averaged:
    """Images brought down to a smaller size by 2x2 means."""

    def __init__(self, images: Images, size: tuple[int, int]) -> None:
        height, width = images.image_size
        factor = height // max(size[0], 1)
        if factor < 2 or factor & (factor - 1) or (height, width) != (size[0] * factor, size[1] * factor):
            raise UsageError(
                f"Images of {size_text(size)} (WxH) are asked for; from {size_text(images.image_size)} come that size, "
                "its half, its quarter and so on."
            )
        self.images = images
        self.image_size = size
        self.image_channels = images.image_channels
        self.label_dim = images.label_dim

    def __len__(self) -> int:
        return len(self.images)

    def read_into(self, index: int, pixels: np.ndarray, label: np.ndarray) -> None:
        """Write a smaller image and its label into arrays."""
        whole = np.empty((self.image_channels, *self.images.image_size), np.uint8)
        self.images.read_into(index, whole, label)
        level = whole.astype(np.float32)
        while level.shape[1:] != self.image_size:
            level = halved(level)
        pixels[...] = np.rint(level)


def iterate(dataset: Images, *, batch: int, num_workers: int = 0) -> Iterator[Batch]:
    """All images once, in order; the last batch holds what is left."""
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be 1 or more.")
    firsts = range(0, len(dataset), batch)
    requests = (_Request(np.arange(first, min(first + batch, len(dataset)))) for first in firsts)
    return _load(dataset, requests, num_workers)


def _count(start: int, step: int) -> Iterator[int]:
    while True:
        yield start
        start += step


@dataclass(frozen=True)
class _Request:
    """The images of one batch."""

    indices: np.ndarray
    flips: np.ndarray | None = None


class _Order:
    """Which image stands at a position, and whether it is flipped; keeps the epoch that was asked for last."""

    def __init__(self, length: int, seed: int, mirror: bool) -> None:
        self.length = length
        self.seed = seed
        self.mirror = mirror
        self._epoch = -1
        self._indices = self._flips = np.empty(0, np.int64)

    def request(self, positions: range) -> _Request:
        """The images at consecutive positions, over the ends of epochs."""
        indices: list[int] = []
        flips: list[bool] = []
        for position in positions:
            epoch, place = divmod(position, self.length)
            if epoch != self._epoch:
                self._shuffle(epoch)
            indices.append(int(self._indices[place]))
            flips.append(bool(self._flips[place]))
        return _Request(np.array(indices), np.array(flips) if self.mirror else None)

    def _shuffle(self, epoch: int) -> None:
        # RandomState's streams are frozen by NumPy, Generator's are not: a run may resume under another version.
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, epoch])))
        self._indices = random.permutation(self.length)
        self._flips = random.randint(0, 2, self.length)
        self._epoch = epoch


class _BatchReader(Dataset[Batch]):
    """A dataset whose items are whole batches, so that workers fill each tensor in place."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitem__(self, request: Any) -> Batch:
        shape = (len(request.indices), self.images.image_channels, *self.images.image_size)
        pixels = torch.empty(shape, dtype=torch.uint8)
        labels = torch.zeros(shape[0], self.images.label_dim)
        pixel_array, label_array = pixels.numpy(), labels.numpy()
        for row, index in enumerate(request.indices):
            self.images.read_into(int(index), pixel_array[row], label_array[row])
            if request.flips is not None and request.flips[row]:
                pixel_array[row] = pixel_array[row, :, :, ::-1].copy()
        return Batch(pixels, labels)


class _Requests:
    """The sampler of the loader."""

    def __init__(self, requests: Iterable[_Request]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[_Request]:
        return iter(self._requests)


def _load(images: Images, requests: Iterable[_Request], num_workers: int) -> Iterator[Batch]:
    reader = _BatchReader(images)
    if num_workers == 0:
        return (reader[request] for request in requests)
    if isinstance(images, StoreDataset) and images.header.encoding == "raw":
        return _read_ahead(reader, requests, ahead=2 * num_workers)
    loader: DataLoader[Batch] = DataLoader(
        reader,
        batch_size=None,
        sampler=_Requests(requests),
        num_workers=num_workers,
        worker_init_fn=_outlive_signals,
    )
    return iter(loader)


def _read_ahead(reader: _BatchReader, requests: Iterable[_Request], *, ahead: int) -> Iterator[Batch]:
    """Batches read by a thread: raw records are only copied, which takes less than passing them between processes.

    NumPy lets go of the interpreter while it copies, so that waiting for a disk stops nobody else.
    """
    with ThreadPoolExecutor(1, "sgkit-reader") as pool:
        waiting: deque[Future[Batch]] = deque()
        for request in requests:
            waiting.append(pool.submit(reader.__getitem__, request))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _outlive_signals(worker: int) -> None:  # noqa: ARG001 - the loader's signature
    """Keep a worker at work for a run that saves before it stops: only the run itself ends its workers.

    Ctrl-C goes to the terminal's whole process group, SIGTERM of Slurm, systemd and ``pkill`` to each process of a job.
    """
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    """End this process at the first SIGTERM that its parent sends."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
