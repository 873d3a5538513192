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

Floats = NDArray[np.float32]
PATCH = 7
PATCHES_PER_IMAGE = 128
SMALLEST = 16
"""Side of the coarsest level."""
DIRECTIONS, REPEATS = 128, 4
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
    """Patches of images, by level, for :func:`sliced_wasserstein`.

    Where patches are is drawn by the content of each image, so its place, batches and processes do not matter.
    """

    def __init__(self, *, patches_per_image: int = PATCHES_PER_IMAGE, seed: int = 0) -> None:
        self._per_image = patches_per_image
        self._seed = seed
        self._levels: dict[int, list[Floats]] = {}

    @property
    def num(self) -> int:
        """Number of images."""
        parts = next(iter(self._levels.values()), [])
        return sum(len(part) for part in parts) // self._per_image

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
            self._levels.setdefault(size, []).append(self._patches(level, marks))

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
        """The patches as plain arrays; :meth:`restore` reads them."""
        return {f"patches{size}": np.concatenate(parts) for size, parts in self._levels.items()}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from :meth:`to_arrays`.

        Raises:
            KeyError, ValueError: the arrays are others.
        """
        found = {name: array for name, array in arrays.items() if name.startswith("patches")}
        if not found or len({array.shape for array in found.values()}) > 1:
            raise ValueError(f"patches {[array.shape for array in found.values()]}")
        self._levels = {int(name.removeprefix("patches")): [array.astype(np.float32)] for name, array in found.items()}

    def result(self) -> PatchBank:
        """The patches."""
        return self

    def merge(self, other: PatchBank) -> None:
        """Add the patches of ``other``, after those here."""
        for size, parts in other._levels.items():
            self._levels.setdefault(size, []).extend(parts)

    def chosen(self, num: int) -> PatchBank:
        """A bank of ``num`` of the images, evenly spread over them."""
        images = np.unique(np.linspace(0, self.num - 1, num).round().astype(int))
        rows = (images[:, None] * self._per_image + np.arange(self._per_image)).ravel()
        found = PatchBank(patches_per_image=self._per_image)
        found._levels = {size: [np.concatenate(parts)[rows]] for size, parts in self._levels.items()}
        return found

    def levels(self) -> Iterator[tuple[int, Floats]]:
        """Height of each level and its patches [P, D], normalised: mean 0 and deviation 1 in each channel."""
        for size, parts in self._levels.items():
            patches = np.concatenate(parts)
            by_channel = patches.reshape(len(patches), -1, PATCH * PATCH)
            mean = by_channel.mean(axis=(0, 2), keepdims=True, dtype=np.float64)
            deviation = by_channel.std(axis=(0, 2), keepdims=True, dtype=np.float64)
            yield size, ((by_channel - mean) / np.maximum(deviation, 1e-12)).astype(np.float32).reshape(patches.shape)


def sliced_wasserstein(first: PatchBank, second: PatchBank, *, seed: int = 0) -> SlicedWasserstein:
    """The distance of two banks, by level and on average; both must hold as many images.

    Raises:
        InputError: the images differ in number, size or channels.
    """
    found: dict[int, float] = {}
    for (size, a), (other_size, b) in zip(first.levels(), second.levels(), strict=False):
        if size != other_size or a.shape != b.shape:
            raise InputError(
                "The sliced Wasserstein distance needs as many images on both sides, of the same size: the levels have "
                f"{a.shape[0]:,} patches at {size} pixels and {b.shape[0]:,} at {other_size}. Use --num-images and "
                "--num-data, or make stores of one size: sgkit prepare"
            )
        found[size] = SCALE * sliced_distance(a, b, seed=seed)
    if not found:
        raise InputError("The sliced Wasserstein distance needs images on both sides; one side has none.")
    return SlicedWasserstein(mean=float(np.mean(list(found.values()))), by_size=found)


def sliced_distance(
    a: Floats, b: Floats, *, directions: int = DIRECTIONS, repeats: int = REPEATS, seed: int = 0
) -> float:
    """Mean over random directions of the Wasserstein-1 distance of the projections of ``a`` and ``b`` [P, D]."""
    draw = np.random.default_rng(seed)
    total, dim = 0.0, a.shape[1]
    for _ in range(repeats):
        axes = draw.standard_normal((dim, directions))
        axes = (axes / np.sqrt((axes**2).sum(axis=0))).astype(np.float32)
        for column in np.split(axes, max(directions // 16, 1), axis=1):  # few at once: projections are long
            total += float(np.abs(_sorted(a, column) - _sorted(b, column)).mean(axis=0, dtype=np.float64).sum())
    return total / (repeats * directions)


def _sorted(patches: Floats, axes: Floats) -> Floats:
    projected: Floats = np.sort(axes.T @ patches.T, axis=1).T
    return projected
