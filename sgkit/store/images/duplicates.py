"""Finding duplicates: images with the same pixels as an earlier one, or nearly the same by a perceptual hash."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

HASH_SIDE = 8
NEAR_BITS = 4
"""Hashes that differ in this many of their 64 bits, or fewer, are nearly the same."""
_BANDS = NEAR_BITS + 1
_BAND_WIDTH = -(-HASH_SIDE * HASH_SIDE // _BANDS)


def perceptual_hash(pixels: np.ndarray) -> int:
    """64 bits of an image [C, H, W]: whether each of 8x8 places of it in grey is brighter than the one on its left."""
    grey = pixels[:3].astype(np.float32).mean(axis=0)
    small = np.asarray(Image.fromarray(grey).resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


class DuplicateFinder:
    """Remembers images in order and says which earlier one an image repeats.

    With ``near``, hashes are kept in five bands: two that differ in at most four bits agree in one band at least.
    """

    def __init__(self, *, near: bool) -> None:
        self.near = near
        self._exact: dict[bytes, str] = {}
        self._bands: list[dict[int, list[tuple[int, str]]]] = [{} for _ in range(_BANDS)]

    def find(self, pixel_hash: str, perceptual: int | None) -> tuple[str, str] | None:
        """(reason, name of the earlier image), or ``None`` for a new one."""
        same = self._exact.get(bytes.fromhex(pixel_hash))
        if same is not None:
            return "duplicate", same
        if self.near and perceptual is not None:
            for band, key in zip(self._bands, _keys(perceptual), strict=True):
                for earlier, name in band.get(key, ()):
                    if (earlier ^ perceptual).bit_count() <= NEAR_BITS:
                        return "near duplicate", name
        return None

    def add(self, name: str, pixel_hash: str, perceptual: int | None) -> None:
        """Remember an image."""
        self._exact[bytes.fromhex(pixel_hash)] = name
        if self.near and perceptual is not None:
            for band, key in zip(self._bands, _keys(perceptual), strict=True):
                band.setdefault(key, []).append((perceptual, name))


def _keys(perceptual: int) -> Iterable[int]:
    mask = (1 << _BAND_WIDTH) - 1
    return (perceptual >> (_BAND_WIDTH * band) & mask for band in range(_BANDS))
