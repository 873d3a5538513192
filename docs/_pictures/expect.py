"""Makes the images of docs/expect.md from models of a run: ``python docs/_pictures/expect.py NAME MODEL...``.

One row for each model, with the same seeds: snapshots of a run on faces, and of the packaged model's training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import sgkit

OUT = Path(__file__).parents[1] / "images"
SEEDS = range(8)


def main(name: str, models: list[str]) -> None:
    """Write ``name``."""
    rows = []
    for path in models:
        model = sgkit.load(path)
        label = "summer-day" if model.config.label_dim else None
        rows.append(np.concatenate(list(model.generate(SEEDS, psi=1.0, label=label).numpy()), axis=1))
    Image.fromarray(np.concatenate(rows)).save(OUT / f"{name}.webp", quality=88, method=6)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
