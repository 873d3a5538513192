"""Sliced Wasserstein distance of patches, by scale.

Karras et al., "Progressive growing of GANs", 2018, section 5: 7x7 patches of the levels of a Laplacian pyramid,
normalised by channel, are compared along random directions. A low distance means that images have like structure
(coarse levels) and like sharpness and noise (fine levels).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sgkit.errors import InputError
from sgkit.metrics.spool import Floats, Spool

PATCH = 7
PATCHES_PER_IMAGE = 128
SMALLEST = 16
"""Side of the coarsest level."""
DIRECTIONS, REPEATS = 128, 4
MOST_PROJECTED = 1 << 23
"""Projections of patches that are held at a time, of each side: 32 MiB, or those on one direction."""
SCALE = 1e3
"""Values are given in thousandths, as the paper does."""


@dataclass(frozen=True, kw_only=True)
class SlicedWasserstein:
    """Result of :func:`sliced_wasserstein`, in thousandths."""

    mean: float
    by_size: dict[int, float]
    """Height of a level's images -> distance."""


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Levels of ``images`` float [N, C, H, W], the finest first: what each size adds to the next smaller one.

    Burt and Adelson, 1983, with the binomial filter 1 4 6 4 1 and reflected borders. The last level, of 16 to 31
    pixels, is the reduced image itself.

    Raises:
        InputError: a side does not divide as often as the pyramid needs it, or is below 16 pixels.
    """
    height, width = images.shape[2:]
    smaller = min(height, width)
    count = max(int(np.log2(max(smaller, 1) // SMALLEST)) + 1, 0) if smaller >= SMALLEST else 0
    if count == 0 or any(side % 2 ** (count - 1) for side in (height, width)):
        raise InputError(
            f"A Laplacian pyramid needs sides of at least {SMALLEST} pixels that divide by {2 ** max(count - 1, 0)}; "
            f"given {width}x{height} (WxH). Make a store of another size: sgkit prepare IMAGES --out STORE --size 64"
        )
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=images.dtype, device=images.device) / 16
    levels = [images]
    for _ in range(count - 1):
        reduced = _blur(levels[-1], taps)[:, :, ::2, ::2]
        enlarged = torch.zeros_like(levels[-1])
        enlarged[:, :, ::2, ::2] = reduced
        levels[-1] = levels[-1] - 4 * _blur(enlarged, taps)
        levels.append(reduced)
    return levels


def _blur(x: Tensor, taps: Tensor) -> Tensor:
    channels = x.shape[1]
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    x = F.conv2d(x, taps.reshape(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(x, taps.reshape(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)


class PatchBank:
    """Patches of images, by level, for :func:`sliced_wasserstein`; in temporary files, as they are many.

    Where patches are is drawn by the content of each image, so its place, batches and processes do not matter.
    """

    def __init__(self, *, patches_per_image: int = PATCHES_PER_IMAGE, seed: int = 0) -> None:
        self._per_image = patches_per_image
        self._seed = seed
        self._levels: dict[int, Spool] = {}

    @property
    def num(self) -> int:
        """Number of images."""
        return len(next(iter(self._levels.values()), ())) // self._per_image

    def update(self, images: Tensor) -> None:
        """Add ``images`` uint8 [N, C, H, W].

        Raises:
            InputError: they have another size than those before, or no pyramid.
        """
        images = images.cpu()
        levels = laplacian_pyramid(images.float())
        marks = [zlib.crc32(image.contiguous().numpy().tobytes()) for image in images]
        sizes = [level.shape[2] for level in levels]
        if self._levels and sizes != list(self._levels):
            raise InputError(
                "The sliced Wasserstein distance needs images of one size. Make a store: sgkit prepare IMAGES --out "
                "STORE --size 64"
            )
        for size, level in zip(sizes, levels, strict=True):
            self._add(size, self._patches(level, marks))

    def _add(self, size: int, patches: Floats) -> None:
        if size not in self._levels:
            self._levels[size] = Spool(patches.shape[1])
        self._levels[size].append(patches)

    def _patches(self, level: Tensor, marks: Sequence[int]) -> Floats:
        """[N * patches, C * 49]"""
        count, channels, height, width = level.shape
        windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # [N, C, y, x, 7, 7]
        found = torch.empty(count, self._per_image, channels * PATCH * PATCH)
        for index, mark in enumerate(marks):
            draw = np.random.default_rng([self._seed, mark, height])
            rows = torch.from_numpy(draw.integers(0, height - PATCH + 1, self._per_image))
            columns = torch.from_numpy(draw.integers(0, width - PATCH + 1, self._per_image))
            found[index] = windows[index][:, rows, columns].transpose(0, 1).flatten(1)
        patches: Floats = found.flatten(0, 1).numpy()
        return patches

    def to_arrays(self) -> dict[str, Floats]:
        """The patches as plain arrays, mapped from the files; :meth:`restore` reads them."""
        return {f"patches{size}": spool.array() for size, spool in self._levels.items()}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from :meth:`to_arrays`.

        Raises:
            KeyError, ValueError: the arrays are others.
        """
        found = {name: array for name, array in arrays.items() if name.startswith("patches")}
        if not found or len({array.shape for array in found.values()}) > 1:
            raise ValueError(f"patches {[array.shape for array in found.values()]}")
        self._levels = {}
        for name, array in found.items():
            self._add(int(name.removeprefix("patches")), array.astype(np.float32))

    def result(self) -> PatchBank:
        """The patches."""
        return self

    def merge(self, other: PatchBank) -> None:
        """Add the patches of ``other``, after those here."""
        for size, spool in other._levels.items():
            for block in spool.blocks():
                self._add(size, block)

    def chosen(self, num: int) -> PatchBank:
        """A bank of ``num`` of the images, evenly spread over them."""
        images = np.unique(np.linspace(0, self.num - 1, num).round().astype(int))
        found = PatchBank(patches_per_image=self._per_image)
        for size, spool in self._levels.items():
            patches = spool.array()
            for image in images:
                found._add(size, patches[image * self._per_image : (image + 1) * self._per_image])
        return found

    def levels(self) -> Iterator[tuple[int, Patches]]:
        """Height of each level and its patches, normalised: mean 0 and deviation 1 in each channel."""
        for size, spool in self._levels.items():
            yield size, Patches.normalised(spool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Patches:
    """Rows [P, D] of a level that are shifted and scaled when they are read."""

    rows: Spool
    shift: NDArray[np.float64]
    """[D]"""
    scale: NDArray[np.float64]
    """[D]"""

    @classmethod
    def normalised(cls, rows: Spool) -> Patches:
        """By the mean and deviation of each channel."""
        count, area = max(len(rows), 1), PATCH * PATCH

        def by_channel(values: NDArray[np.float64]) -> NDArray[np.float64]:
            """The mean of each channel of sums [D], for each of its numbers [D]."""
            means: NDArray[np.float64] = np.repeat(values.reshape(-1, area).sum(axis=1) / (count * area), area)
            return means

        empty = np.zeros(rows.width)
        mean = by_channel(sum((block.sum(axis=0, dtype=np.float64) for block in rows.blocks()), empty))
        variance = by_channel(sum((((block - mean) ** 2).sum(axis=0) for block in rows.blocks()), empty))
        return cls(rows=rows, shift=mean, scale=np.maximum(np.sqrt(variance), 1e-12))

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self) -> Iterator[Floats]:
        """The patches, a few at a time."""
        return (((block - self.shift) / self.scale).astype(np.float32) for block in self.rows.blocks())

    def projected(self, axes: Floats) -> Floats:
        """Projections on ``axes`` [D, directions], sorted by direction [directions, P]."""
        found, start = np.empty((axes.shape[1], len(self)), np.float32), 0
        for block in self.blocks():
            found[:, start : start + len(block)] = axes.T @ block.T
            start += len(block)
        found.sort(axis=1)
        return found


def sliced_wasserstein(first: PatchBank, second: PatchBank, *, seed: int = 0) -> SlicedWasserstein:
    """The distance of two banks, by level and on average; both must hold as many images.

    Raises:
        InputError: the images differ in number, size or channels.
    """
    found: dict[int, float] = {}
    for (size, a), (other_size, b) in zip(first.levels(), second.levels(), strict=False):
        if size != other_size or (len(a), a.rows.width) != (len(b), b.rows.width):
            raise InputError(
                "The sliced Wasserstein distance needs as many images on both sides, of the same size; they are "
                f"{size} and {other_size} pixels high, with {len(a):,} and {len(b):,} patches. Make a store of the "
                "reference images in the size of the others: sgkit prepare IMAGES --out STORE --size SIZE"
            )
        found[size] = SCALE * sliced_distance(a, b, seed=seed)
    if not found:
        raise InputError("The sliced Wasserstein distance needs images on both sides; one side has none.")
    return SlicedWasserstein(mean=float(np.mean(list(found.values()))), by_size=found)


def sliced_distance(
    a: Patches, b: Patches, *, directions: int = DIRECTIONS, repeats: int = REPEATS, seed: int = 0
) -> float:
    """Mean over random directions of the Wasserstein-1 distance of the projections of ``a`` and ``b`` [P, D]."""
    draw, total = np.random.default_rng(seed), 0.0
    together = max(min(16, MOST_PROJECTED // max(len(a), 1)), 1)  # few at once: projections are long
    for _ in range(repeats):
        axes = draw.standard_normal((a.rows.width, directions))
        axes = (axes / np.sqrt((axes**2).sum(axis=0))).astype(np.float32)
        for start in range(0, directions, together):
            one, other = (side.projected(axes[:, start : start + together]) for side in (a, b))
            one -= other
            total += float(np.abs(one, out=one).mean(axis=1, dtype=np.float64).sum())
    return total / (repeats * directions)
