"""The two sides of a comparison as batches: a store, the files of a folder or zip, or a model fed with seeds."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sgkit.checkpoint import load
from sgkit.errors import InputError, UsageError
from sgkit.model import Model
from sgkit.model.labels import LabelChoice, label_vector
from sgkit.model.noise import SeededNoise
from sgkit.render.pictures import to_pixels
from sgkit.runtime.detect import detect
from sgkit.runtime.file_kinds import IMAGES
from sgkit.store import StoreDataset, iterate
from sgkit.store.bad_images import BadImageError
from sgkit.store.header import HEADER_NAME, PLAN_NAME, size_text
from sgkit.store.images.decoding import Payload, open_picture
from sgkit.store.images.depth import FULL_BITS
from sgkit.store.images.process import ImageOptions, pixels_of
from sgkit.store.sources import open_source
from sgkit.store.sources.bit_depth import find_range

SUBSET_SEED = 0
MOST_SIZES = 20
IMAGE_SOURCES = (".zip", ".txt", ".lst", ".tar", ".mdb", ".parquet", ".arrow")
"""Files with these endings are piles of images, as are files with such content; other files are models."""
IMAGE_KINDS = frozenset({*IMAGES, "gzip", "bzip2", "xz", "zstd", "zip of images", "tar", "lmdb file", "parquet"})


@dataclass(frozen=True, kw_only=True)
class PileInfo:
    """What was measured, for the record."""

    path: str
    kind: Literal["store", "files", "model"]
    num_images: int
    """Images that were used."""
    image_size: tuple[int, int]
    """Height and width; the most frequent ones where files differ."""
    image_sizes: dict[str, int] = field(default_factory=dict)
    """``WxH`` -> number of images of the most frequent sizes; empty where all are alike."""
    num_sizes: int = 1
    smallest: tuple[int, int] | None = None
    """Height and width of the image with the fewest pixels, where sizes differ."""
    largest: tuple[int, int] | None = None
    sample_bits: int = 16
    """Bits that images with 16 bits a channel were read with."""
    content_hash: str | None = None
    """Of a store's images, or of a model's generator."""
    resize_filter: str | None = None
    """Filter that a store's images were resized with."""
    truncation_psi: float | None = None
    kimg: float | None = None
    """Thousands of images that a model was trained for."""

    @property
    def size_text(self) -> str:
        """``64x64``, or ``8 sizes, 32x40 to 88x40, most often 40x40``."""
        if self.smallest is None or self.largest is None:
            return size_text(self.image_size)
        ends = f"{size_text(self.smallest)} to {size_text(self.largest)}"
        most = max(self.image_sizes.values(), default=1)
        often = f", most often {size_text(self.image_size)}" if most > 1 else ""
        return f"{self.num_sizes:,} sizes, {ends}{often}"


class Pile(ABC):
    """Images in a fixed order, of which some number is used."""

    num: int
    """Images that are used."""

    @abstractmethod
    def batches(self, part: range, batch: int) -> Iterator[Tensor]:
        """The images at the positions ``part`` of 0 to ``num``, in order: uint8 [N, C, H, W], N at most ``batch``."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Everything that the pixels depend on, as plain values: a key for caches."""

    @abstractmethod
    def info(self) -> PileInfo:
        """What this is."""


class StorePile(Pile):
    """The images of a store, or a fixed random choice of them."""

    def __init__(self, path: str, *, num: int | None = None, num_workers: int = 0) -> None:
        self.path = path
        self.dataset = StoreDataset(path)
        self.chosen = _choose(len(self.dataset), num, path)
        self.num = len(self.chosen)
        self._num_workers = num_workers

    def batches(self, part: range, batch: int) -> Iterator[Tensor]:
        """As of :class:`Pile`."""
        chosen = _Chosen(self.dataset, self.chosen[part.start : part.stop])
        return (found.images for found in iterate(chosen, batch=batch, num_workers=self._num_workers))

    def content(self) -> dict[str, Any]:
        """As of :class:`Pile`. The settings are part of it, as the hash does not see what a lossy encoding does."""
        header = self.dataset.header
        return {"store": header.content_hash, "settings": header.settings, "size": header.image_size, "num": self.num}

    def info(self) -> PileInfo:
        """As of :class:`Pile`."""
        header = self.dataset.header
        return PileInfo(
            path=self.path,
            kind="store",
            num_images=self.num,
            image_size=header.image_size,
            content_hash=header.content_hash,
            resize_filter=header.filter,
        )

    def labels(self, count: int, seed: int) -> Tensor:
        """float32 [count, label_dim]: the labels of images drawn at random."""
        drawn = np.random.RandomState(seed).randint(0, len(self.dataset), count)
        return torch.from_numpy(np.stack([self.dataset.reader.label(int(index)) for index in drawn]))


class _Chosen:
    """Some images of a store, in the order given."""

    def __init__(self, dataset: StoreDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        self.image_size = dataset.image_size
        self.image_channels = dataset.image_channels
        self.label_dim = dataset.label_dim

    def __len__(self) -> int:
        return len(self.indices)

    def read_into(self, index: int, pixels: np.ndarray[Any, Any], label: np.ndarray[Any, Any]) -> None:
        self.dataset.read_into(self.indices[index], pixels, label)


class FilePile(Pile):
    """The images of a folder, zip file or list, each as large as it is, or a fixed random choice of them."""

    def __init__(self, path: str, *, num: int | None = None) -> None:
        self.path = path
        self.source = open_source(path, size=(256, 256))
        if self.source.streamed:
            raise InputError(
                f"{path} is compressed, so its images cannot be read one by one. Unpack it, or make a store: sgkit "
                f"prepare {path} --out STORE --size SIZE."
            )
        self.chosen = _choose(len(self.source), num, path)
        self.num = len(self.chosen)
        self._reader = self.source.reader()
        bits = find_range([self.source]).bits
        self._options = ImageOptions(size=(1, 1), channels=3, exact_decoding=True, bits=bits)
        self._sizes: dict[int, tuple[int, int]] = {}

    def batches(self, part: range, batch: int) -> Iterator[Tensor]:
        """As of :class:`Pile`; a batch ends where the size changes."""
        pending: list[Tensor] = []
        for position in part:
            image = self._read(position)
            if pending and (len(pending) == batch or image.shape != pending[0].shape):
                yield torch.stack(pending)
                pending = []
            pending.append(image)
        if pending:
            yield torch.stack(pending)

    def content(self) -> dict[str, Any]:
        """As of :class:`Pile`; reads every file."""
        digest = hashlib.sha256()
        for position in range(self.num):
            payload = self._payload(position)
            digest.update(hashlib.sha256(payload if isinstance(payload, bytes) else payload.tobytes()).digest())
        found: dict[str, Any] = {"files": digest.hexdigest(), "num": self.num}
        return found if self._options.bits == FULL_BITS else {**found, "bits": self._options.bits}

    def info(self) -> PileInfo:
        """As of :class:`Pile`."""
        counts = Counter(self._size(position) for position in range(self.num))
        ordered = [size for size, _ in counts.most_common()]
        differ: dict[str, Any] = {}
        if len(counts) > 1:
            shown = {size_text(size): count for size, count in counts.most_common(MOST_SIZES)}
            by_pixels = sorted(counts, key=lambda size: (size[0] * size[1], size))
            differ = {"image_sizes": shown, "smallest": by_pixels[0], "largest": by_pixels[-1]}
        return PileInfo(
            path=self.path,
            kind="files",
            num_images=self.num,
            image_size=ordered[0],
            num_sizes=len(counts),
            sample_bits=self._options.bits,
            **differ,
        )

    def _size(self, position: int) -> tuple[int, int]:
        """Height and width of an image as it is used; of one that was not decoded, by its header."""
        if position not in self._sizes:
            try:
                picture = open_picture(self._payload(position), max_pixels=self._options.max_pixels)
                width, height = picture.size
                has_exif = picture.format != "PNG" or "exif" in picture.info  # to look for EXIF decodes other PNGs
                turned = has_exif and picture.getexif().get(0x0112, 1) >= 5
                self._sizes[position] = (width, height) if turned else (height, width)
            except BadImageError:
                self._read(position)  # which says what is wrong
        return self._sizes[position]

    def _payload(self, position: int) -> Payload:
        item = self.source[self.chosen[position]]
        try:
            return self._reader.read(item)
        except OSError as error:
            raise InputError(f"{item.name} in {self.path} cannot be read: {error}") from error

    def _read(self, position: int) -> Tensor:
        name = self.source[self.chosen[position]].name
        try:
            pixels = pixels_of(name, self._payload(position), self._options, resize=False)
            self._sizes[position] = (pixels.shape[1], pixels.shape[2])
            return torch.from_numpy(pixels)
        except BadImageError as error:
            raise InputError(
                f"{name} in {self.path} cannot be used: {' '.join(map(str, error.args))}. Remove it, or make a store: "
                "'sgkit prepare' leaves bad files out."
            ) from error


class ModelPile(Pile):
    """Images that a model makes of the seeds 0, 1, 2 ..., each with noise of its own from its seed."""

    def __init__(
        self, model: Model, *, num: int, path: str = "", truncation_psi: float = 1.0, labels: Tensor | None = None
    ) -> None:
        self.model = model
        self.num = num
        self.path = path
        self._truncation_psi = truncation_psi
        self._labels = labels  # [num, label_dim]

    @torch.inference_mode()
    def _draw(self, seeds: range) -> Tensor:
        label = None if self._labels is None else self._labels[seeds.start : seeds.stop].to(self.model.device)
        ws = self.model.map(self.model.sample_z(seeds), label, truncation_psi=self._truncation_psi)
        images = self.model.synthesize(ws, noise=SeededNoise(seeds))
        return torch.from_numpy(to_pixels(images)).permute(0, 3, 1, 2)

    def batches(self, part: range, batch: int) -> Iterator[Tensor]:
        """As of :class:`Pile`."""
        return (self._draw(part[first : first + batch]) for first in range(0, len(part), batch))

    def content(self) -> dict[str, Any]:
        """As of :class:`Pile`."""
        labels = None if self._labels is None else hashlib.sha256(self._labels.numpy().tobytes()).hexdigest()
        return {
            "model": self.model.content_hash(),
            "config": self.model.config.to_dict(),
            "truncation_psi": self._truncation_psi,
            "labels": labels,
            "num": self.num,
        }

    def info(self) -> PileInfo:
        """As of :class:`Pile`."""
        return PileInfo(
            path=self.path,
            kind="model",
            num_images=self.num,
            image_size=self.model.image_size,
            content_hash=self.model.content_hash(),
            truncation_psi=self._truncation_psi,
            kimg=self.model.info.kimg,
        )


def open_pile(
    path: str,
    *,
    num: int | None,
    num_generated: int,
    device: torch.device,
    truncation_psi: float = 1.0,
    label: LabelChoice | None = None,
    label_pool: Pile | None = None,
    seed: int = 0,
    num_workers: int = 0,
) -> Pile:
    """What lies at ``path``, ready to be measured: a store, files, or else a model.

    ``num``: how many images to use, ``None``: all, or ``num_generated`` of a model. A conditional model draws with the
    fixed ``label``, else with labels drawn from ``label_pool`` by ``seed``.

    Raises:
        InputError: there is nothing at ``path``, or fewer images than ``num``.
        UsageError: labels and model do not fit.
    """
    folder = Path(path)
    if (folder / HEADER_NAME).is_file() or (folder / PLAN_NAME).is_file():
        return StorePile(path, num=num, num_workers=num_workers)
    if not _is_model(folder):
        return FilePile(path, num=num)
    model = load(path, device=device)
    count = num or num_generated
    labels = _labels(model, count, label, label_pool, seed)
    return ModelPile(model, num=count, path=path, truncation_psi=truncation_psi, labels=labels)


def _is_model(path: Path) -> bool:
    if path.is_dir():
        return (path / "snapshots").is_dir() or next(path.glob("[!.]*.safetensors"), None) is not None
    return path.is_file() and path.suffix.lower() not in IMAGE_SOURCES and detect(path).kind not in IMAGE_KINDS


def _choose(available: int, num: int | None, path: str) -> list[int]:
    """``num`` numbers below ``available``, in order, always the same; not the first, which may be all of a kind."""
    if num is None:
        return list(range(available))
    if num > available:
        raise InputError(
            f"{path} holds {available} images; {num} were asked for. Ask for fewer, or leave the number out."
        )
    chosen = np.random.RandomState(SUBSET_SEED).permutation(available)[:num]
    return [int(index) for index in np.sort(chosen)]


def _labels(model: Model, count: int, label: LabelChoice | None, pool: Pile | None, seed: int) -> Tensor | None:
    dim = model.config.label_dim
    if label is not None:
        fixed = label_vector(model, label)
        return None if fixed is None else fixed.cpu().expand(count, -1).contiguous()
    if dim == 0:
        return None
    if not isinstance(pool, StorePile) or pool.dataset.label_dim != dim:
        raise UsageError(
            f"The model takes labels ({dim} classes). Measure it against a store with such labels, whose labels are "
            "drawn from, or give one with --label."
        )
    return pool.labels(count, seed)
