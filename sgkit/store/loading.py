"""Batches of images and labels: endless and shuffled for training, or all once in order."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sgkit.errors import UsageError
from sgkit.store.dataset import Images, StoreDataset, at_size


@dataclass(frozen=True)
class Batch:
    """Some images and their labels."""

    images: torch.Tensor
    """uint8 [N, C, H, W]"""
    labels: torch.Tensor
    """float32 [N, label_dim]"""

    def __len__(self) -> int:
        return len(self.images)


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
    positions = (range(p + first, p + last) for p in count(start, batch))
    order = _Order(len(dataset), seed, mirror)
    images = dataset if size is None else at_size(dataset, size)
    return _load(images, (order.request(some) for some in positions), num_workers)


def iterate(dataset: Images, *, batch: int, num_workers: int = 0) -> Iterator[Batch]:
    """All images once, in order; the last batch holds what is left."""
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be 1 or more.")
    firsts = range(0, len(dataset), batch)
    requests = (_Request(np.arange(first, min(first + batch, len(dataset)))) for first in firsts)
    return _load(dataset, requests, num_workers)


def indices_at(length: int, *, seed: int, positions: range) -> list[int]:
    """Which images of ``length`` :func:`batches` gives at these positions."""
    return [int(index) for index in _Order(length, seed, mirror=False).request(positions).indices]


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


def _load(images: Images, requests: Iterable[_Request], num_workers: int) -> Iterator[Batch]:
    reader = _BatchReader(images)
    if num_workers == 0:
        return (reader[request] for request in requests)
    if isinstance(images, StoreDataset) and images.header.encoding == "raw":
        return _read_ahead(reader, requests, ahead=2 * num_workers)
    loader: DataLoader[Batch] = DataLoader(
        reader, batch_size=None, sampler=requests, num_workers=num_workers, worker_init_fn=_outlive_signals
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
