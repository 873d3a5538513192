"""Which images were measured or compared with, for the record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sgkit.store.header import size_text


@dataclass(frozen=True, kw_only=True)
class ImageSetInfo:
    """Which images were compared, for the record."""

    path: str
    kind: Literal["store", "files", "model", "statistics"]
    num_images: int
    image_size: tuple[int, int]
    """Height and width; the most frequent ones if files differ."""
    image_sizes: dict[str, int] = field(default_factory=dict)
    """``WxH`` -> number of images, for the most frequent sizes; empty if all are equal."""
    num_sizes: int = 1
    smallest: tuple[int, int] | None = None
    """Height and width of the image with the fewest pixels, if sizes differ."""
    largest: tuple[int, int] | None = None
    sample_bits: int = 16
    """Bits that 16-bit images were read with."""
    content_hash: str | None = None
    """Of a store's images, or of a model's generator."""
    resize_filter: str | None = None
    """Filter that a store's images were resized with."""
    truncation_psi: float | None = None
    labels: str | None = None
    """How the labels of a conditional model's images were chosen: a class, ``random``, or the store they are from."""
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
