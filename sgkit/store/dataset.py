"""Images of one size by number: a store as a torch ``Dataset``, or the files of any source."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from sgkit.errors import InputError, UsageError
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import HEADER_NAME, PLAN_NAME, Header, size_text
from sgkit.store.images.encoding import halved
from sgkit.store.images.process import ImageOptions, pixels_of
from sgkit.store.records import StoreReader
from sgkit.store.sources import open_source
from sgkit.store.sources.bit_depth import find_range


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
        StoreError: no finished store is at ``path``.
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
            raise InputError(f"{item.name} in {self.source.given} cannot be used: {error}") from error
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
