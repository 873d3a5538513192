"""Image sizes that networks fit."""

from __future__ import annotations

from sgkit.errors import ConfigError

BASE_RESOLUTION = 4
"""Nominal resolution of the first layers; layer resolutions are 4, 8, 16 ... whatever the shape of the canvas."""
LARGEST_BASE = 8


def base_size_of(image_size: tuple[int, int]) -> tuple[int, int]:
    """The smallest base (height, width), no side under 4, that doubles into ``image_size``: (256, 448) -> (4, 7).

    Raises:
        ConfigError: the size cannot be halved to a base whose short side is at most 8; the nearest sizes are named.
    """
    height, width = image_size
    base_height, base_width = height, width
    while base_height % 2 == 0 and base_width % 2 == 0 and min(base_height, base_width) >= 2 * BASE_RESOLUTION:
        base_height, base_width = base_height // 2, base_width // 2
    if not BASE_RESOLUTION <= min(base_height, base_width) <= LARGEST_BASE:
        raise ConfigError(
            f"Image size {width}x{height} (WxH) halves only to {base_width}x{base_height}; a network starts from a "
            f"short side of {BASE_RESOLUTION} to {LARGEST_BASE}. Good sizes near: {_nearest_good_sizes(height, width)}."
        )
    return base_height, base_width


def _nearest_good_sizes(height: int, width: int) -> str:
    """The sizes below and above that a network fits, ``WxH``."""
    doublings = max((max(min(height, width), BASE_RESOLUTION) // BASE_RESOLUTION).bit_length() - 1, 0)
    unit = 1 << doublings
    below = [max(side // unit, BASE_RESOLUTION) * unit for side in (width, height)]
    above = [max(-(-side // unit), BASE_RESOLUTION) * unit for side in (width, height)]
    return " and ".join(dict.fromkeys(f"{size[0]}x{size[1]}" for size in (below, above)))
