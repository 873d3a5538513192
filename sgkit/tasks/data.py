"""Look into stores, check them, and turn them into other data sets and each other."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sgkit.errors import ConfigError, InputError, StoreError, did_you_mean
from sgkit.runtime.files import atomic_directory, atomic_path, check_new
from sgkit.runtime.progress import OnProgress, Progress, ignore_progress
from sgkit.store.exports import EXPORTS
from sgkit.store.header import HEADER_NAME, REPORT_NAME, Header
from sgkit.store.images.encoding import interleaved, pixel_hash, pyramid
from sgkit.store.merging import combine_labels, copy_records, merged_header
from sgkit.store.records import StoreReader

STORE_FILES = re.compile(rf"{re.escape(HEADER_NAME)}|{re.escape(REPORT_NAME)}|part-\d+\.(mdb|json)")
"""Files of a finished store, which another may replace."""
SHEET_SIDE = 1024
"""Largest side of the contact sheet, in pixels."""


@dataclass(frozen=True, kw_only=True)
class StoreInfo:
    """What is in a store."""

    path: Path
    header: Header
    bytes_on_disk: int
    bytes_of_images: int
    classes: dict[str, int]
    """Images of each class, or with each of several labels; empty without such labels."""
    label_means: dict[str, float]
    """Mean of each number of a float label; empty without."""
    mean_colour: tuple[float, ...]
    """Mean of each channel, 0 to 255, over the images looked at."""
    pictures: dict[str, Path]
    """Images that were written: ``sheet`` and ``mean``."""


def info(
    store: str | Path,
    *,
    pictures: str | Path | None = None,
    max_images: int = 10000,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> StoreInfo:
    """Counts, sizes, labels, disk use and mean of a store; contact sheet and mean image go to the folder ``pictures``.

    The mean is taken over ``max_images`` images spread evenly over the store. ``overwrite`` replaces older images.

    Raises:
        StoreError: the store is missing or unfinished.
        InputError: an image exists already.
    """
    files = [] if pictures is None else _picture_files(Path(pictures)).values()
    for file in files:
        check_new(file, overwrite=overwrite)
    reader = StoreReader(store)
    header = reader.header
    chosen = np.unique(np.linspace(0, len(reader) - 1, min(max_images, len(reader))).astype(int))
    total: np.ndarray = reader.pixels(int(chosen[0])).astype(np.float64)
    for index in _with_progress(chosen[1:].tolist(), on_progress):
        total += reader.pixels(index)
    mean = total / len(chosen)
    labels = sum((reader.label(i) for i in range(len(reader)) if header.labels.dim), np.zeros(header.labels.dim))
    counted = header.labels.kind in ("class", "multi")
    named = dict(zip(header.labels.names, labels.tolist(), strict=True))
    return StoreInfo(
        path=reader.path,
        header=header,
        bytes_on_disk=sum(file.stat().st_size for file in reader.path.iterdir()),
        bytes_of_images=sum(part.num_bytes for part in header.parts),
        classes={name: round(count) for name, count in named.items()} if counted else {},
        label_means={} if counted else {name: value / len(reader) for name, value in named.items()},
        mean_colour=tuple(mean.mean(axis=(1, 2)).tolist()),
        pictures={} if pictures is None else _write_pictures(reader, np.rint(mean).astype(np.uint8), Path(pictures)),
    )


def _picture_files(folder: Path) -> dict[str, Path]:
    return {"sheet": folder / "sheet.png", "mean": folder / "mean.png"}


def _write_pictures(reader: StoreReader, mean: np.ndarray, folder: Path) -> dict[str, Path]:
    height, width = reader.header.image_size
    columns, rows = max(SHEET_SIDE // width, 1), max(SHEET_SIDE // height, 1)
    rows = min(rows, -(-len(reader) // columns))
    sheet = np.zeros((reader.header.image_channels, rows * height, columns * width), np.uint8)
    for place, index in enumerate(np.linspace(0, len(reader) - 1, min(rows * columns, len(reader))).astype(int)):
        top, left = place // columns * height, place % columns * width
        sheet[:, top : top + height, left : left + width] = reader.pixels(int(index))
    written = _picture_files(folder)
    for name, pixels in (("sheet", sheet), ("mean", mean)):
        with atomic_path(written[name]) as temporary:
            Image.fromarray(interleaved(pixels)).save(temporary)
    return written


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with one image of a store."""

    index: int
    name: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """What a check found."""

    num_images: int
    problems: tuple[Problem, ...]
    content_hash_ok: bool

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and self.content_hash_ok


def verify(store: str | Path, *, on_progress: OnProgress = ignore_progress) -> VerifyResult:
    """Check each part's structure, decode every record of every size, compare pixels with their hashes, and smaller
    sizes with the largest.

    The pixels of JPEG records, which are not those that were hashed, are decoded only.

    Raises:
        StoreError: the store is missing or unfinished.
    """
    reader = StoreReader(store)
    problems = list(_damaged_parts(reader))
    digest = hashlib.sha256()
    for index in _with_progress(range(len(reader)), on_progress):
        meta: dict[str, Any] = {}
        try:
            meta = reader.meta(index)
            digest.update(meta["pixels"].encode() + reader.stored_label(index))
            found = _check_image(reader, index, meta)
        except StoreError as error:
            found = str(error)
        if found:
            problems.append(Problem(index=index, name=str(meta.get("name", "?")), problem=found))
    return VerifyResult(
        num_images=len(reader),
        problems=tuple(problems),
        content_hash_ok=digest.hexdigest() == reader.header.content_hash,
    )


def _damaged_parts(reader: StoreReader) -> Iterator[Problem]:
    """Parts whose structure is damaged, each at its first image."""
    first = 0
    for number, part in enumerate(reader.header.parts):
        try:
            reader.part(number).check()
        except StoreError as error:
            yield Problem(index=first, name=part.file, problem=str(error))
        first += part.num_images


def _check_image(reader: StoreReader, index: int, meta: dict[str, Any]) -> str:
    """What is wrong with an image; empty when all is well."""
    sizes = reader.header.sizes
    levels = [reader.pixels(index, size=size) for size in sizes]
    reader.label(index)
    if reader.header.encoding == "jpeg":
        return ""
    if pixel_hash(levels[0]) != meta["pixels"]:
        return "the pixels differ from their hash"
    for size, level, expected in zip(sizes, levels, pyramid(levels[0], sizes), strict=True):
        if not np.array_equal(level, expected):
            return f"the image of {size[1]}x{size[0]} is not the mean of the largest"
    return ""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was written."""

    path: Path
    form: str
    num_images: int


def export(
    store: str | Path,
    out: str | Path,
    *,
    form: str = "folder",
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a store as another kind of data set: whole, or not at all.

    ``form``: ``folder`` (files under their own names, ``labels.csv``), ``nvidia`` (an uncompressed zip with
    ``dataset.json``, as StyleGAN2-ADA's and StyleGAN3's tools read) or ``rosinality`` (LMDB, keys ``256-00042``).

    Raises:
        ConfigError: the form is unknown.
        InputError: ``out`` exists, or the form cannot hold such images.
        StoreError: the store is missing or unfinished.
    """
    if form not in EXPORTS:
        raise ConfigError(f"Unknown form {form!r}. {did_you_mean(form, EXPORTS)}")
    reader, target = StoreReader(store), Path(out)
    check_new(target, overwrite=overwrite)
    writer = EXPORTS[form]
    with atomic_path(target) if form == "nvidia" else atomic_directory(target, overwrite=overwrite) as temporary:
        for done in writer(reader, temporary):
            on_progress(Progress(done=done, total=len(reader)))
    return ExportResult(path=target, form=form, num_images=len(reader))


def merge(
    stores: Sequence[str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Header:
    """The header of a new store at ``out`` with the images of all ``stores``, one after the other, records as they are.

    Class labels are joined by name; other labels must be the same.

    Raises:
        InputError: ``out`` exists, or the stores differ in size, channels, encoding or kind of labels.
        StoreError: one of them is not a finished store.
    """
    if len(stores) < 2:
        raise InputError("Merging needs two stores or more.")
    readers = [StoreReader(store) for store in stores]
    schema, maps = combine_labels(readers)
    with atomic_directory(out, overwrite=overwrite, own=STORE_FILES) as temporary:
        for done in copy_records(readers, schema, maps, temporary / "part-00000.mdb"):
            on_progress(Progress(done=done, total=sum(map(len, readers))))
        (temporary / REPORT_NAME).touch()
        header = merged_header(readers, schema, temporary)
        (temporary / HEADER_NAME).write_text(header.to_json(), encoding="utf-8")
    return header


@dataclass(frozen=True, kw_only=True)
class Diff:
    """How two stores differ. Images are the same when their pixels are."""

    settings: dict[str, tuple[Any, Any]]
    """Field of the header -> its two values."""
    num_same: int
    only_in_first: tuple[str, ...]
    """Names of images that the second store lacks."""
    only_in_second: tuple[str, ...]
    num_labels_differ: int
    """Images in both, but with other labels."""
    same_order: bool

    @property
    def same(self) -> bool:
        """Whether images, labels, what these are called, and order are the same."""
        apart = self.only_in_first or self.only_in_second or self.num_labels_differ or "labels" in self.settings
        return self.same_order and not apart


def diff(first: str | Path, second: str | Path) -> Diff:
    """How two stores differ.

    Raises:
        StoreError: one of them is not a finished store.
    """
    readers = [StoreReader(first), StoreReader(second)]
    fields = ("num_images", "image_size", "image_channels", "encoding", "filter", "crop", "pyramid", "labels")
    settings = {
        name: (getattr(readers[0].header, name), getattr(readers[1].header, name))
        for name in fields
        if getattr(readers[0].header, name) != getattr(readers[1].header, name)
    }
    (hashes, labels, names), (other_hashes, other_labels, other_names) = map(_contents, readers)
    common = Counter(hashes) & Counter(other_hashes)
    where = dict(zip(other_hashes, other_labels, strict=True))
    return Diff(
        settings=settings,
        num_same=sum(common.values()),
        only_in_first=tuple(_beyond(hashes, names, common)),
        only_in_second=tuple(_beyond(other_hashes, other_names, common)),
        num_labels_differ=sum(h in where and where[h] != own for h, own in zip(hashes, labels, strict=True)),
        same_order=hashes == other_hashes,
    )


def _contents(reader: StoreReader) -> tuple[list[str], list[bytes], list[str]]:
    metas = [reader.meta(index) for index in range(len(reader))]
    labels = [reader.label(index).tobytes() for index in range(len(reader))]
    return [meta["pixels"] for meta in metas], labels, [meta["name"] for meta in metas]


def _beyond(hashes: list[str], names: list[str], common: Counter[str]) -> Iterator[str]:
    """Names of the images that are not among ``common``, repeats counted."""
    left = Counter(common)
    for pixels, name in zip(hashes, names, strict=True):
        left[pixels] -= 1
        if left[pixels] < 0:
            yield name


def _with_progress(indices: Sequence[int] | range, on_progress: OnProgress) -> Iterator[int]:
    for done, index in enumerate(indices):
        if done % 64 == 0:
            on_progress(Progress(done=done, total=len(indices)))
        yield index
    on_progress(Progress(done=len(indices), total=len(indices)))
