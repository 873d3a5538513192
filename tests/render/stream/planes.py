"""Synthetic images for tests of streaming, and what a finished file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sgkit.render.pictures import Pixels
from sgkit.render.scene import Alone, Scene, Seed, Sheet, Subject
from sgkit.render.stream import PlaneOf

SHEET = Sheet(scenes=(Scene(subjects={"seed0": Subject(source=Seed(seed=0))}, arrangement=Alone(of="seed0")),))
NAMES = ("image.png", "image.tif", "image_dzi")


def picture(height: int = 75, width: int = 130, channels: int = 3) -> Pixels:
    """Waves with some noise: neither flat nor incompressible."""
    y, x, c = np.mgrid[:height, :width, :channels]
    noise = np.random.default_rng(0).integers(0, 8, (height, width, channels))
    return (100 + 60 * np.sin(x / 9 + c) + 60 * np.cos(y / 7) + noise).astype(np.uint8)


def content(path: Path) -> dict[str, bytes]:
    """Every file of a file or folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


class Counted(PlaneOf):
    """Counts the windows that were drawn, and raises ``fault`` at the one numbered ``last``."""

    def __init__(self, pixels: Pixels, *, last: int = -1, fault: BaseException | None = None) -> None:
        super().__init__(pixels)
        object.__setattr__(self, "drawn", [])
        object.__setattr__(self, "end", (last, fault))

    def window(self, top: int, left: int, height: int, width: int) -> Pixels:
        last, fault = self.end
        if len(self.drawn) == last:
            raise fault
        self.drawn.append((top, left))
        return super().window(top, left, height, width)
