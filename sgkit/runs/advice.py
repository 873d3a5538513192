"""What to say to people who do not know yet what to choose."""

from __future__ import annotations

from sgkit.store import StoreDataset
from sgkit.store.header import size_text

SMALL, MEDIUM = 32, 64
"""Pixels up to which the presets for CPUs are made."""
FEW = 20_000
"""Images below which a discriminator learns them by heart."""


def recommendation(dataset: StoreDataset, *, device: str) -> str:
    """Sentences that recommend a preset for the images on a kind of device (``cpu``, ``cuda`` ...)."""
    height, width = dataset.image_size
    few = len(dataset) < FEW
    if device != "cpu":
        name = "ada-auto" if few else "stylegan2-f"
    else:
        side = max(height, width)
        name = "stylegan2-mini" if side <= SMALL else "stylegan2-64"
    augment = " with --augment ada" if few and name != "ada-auto" else ""
    images = f"{len(dataset):,} images of {size_text(dataset.image_size)} on {'a CPU' if device == 'cpu' else device}"
    slow = ""
    if device == "cpu" and max(height, width) > MEDIUM:
        slow = f" On a CPU, images above {MEDIUM} pixels take days: smaller ones are a better start."
    return f"For {images}: --preset {name}{augment}.{slow} All presets: sgkit train --list-presets."
