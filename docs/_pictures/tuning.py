"""Draws the picture of docs/tuning.md: ``python docs/_pictures/tuning.py``. It takes some minutes on one core.

A painted landscape that the model was not trained on, what w shows, the same towards night, what w shows in the tuned
model, the same towards night.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from sgkit.cli.app import main as sgkit
from sgkit.store.landscapes.sample import landscape

OUT = Path(__file__).parents[1] / "images" / "tuning.webp"
UNSEEN = (78,)
"""Numbers of paintings, one in a row; the model's training had another seed."""
COMMANDS = (
    "sgkit project landscapes paintings --class summer-day --no-noise --starts 100 --steps 90 --out projected",
    "sgkit tune landscapes projected --steps 100 --out paintings.safetensors",
    "sgkit directions find landscapes --method difference --plus-class summer-night --minus-class summer-day "
    "--out night.safetensors",
    "sgkit edit landscapes --latent projected --move night.safetensors=0.3 --steps 1 --out before.png",
    "sgkit edit landscapes+paintings.safetensors --latent projected --move night.safetensors=0.3 --steps 1 "
    "--out after.png",
)


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("paintings").mkdir()
        targets = [landscape(number, size=(128, 128), seed=2)[0] for number in UNSEEN]
        for index, pixels in enumerate(targets):
            Image.fromarray(pixels).save(f"paintings/{index}.png")
        for line in COMMANDS:
            assert sgkit(shlex.split(line)[1:]) == 0, line
        strips = [np.asarray(Image.open(name).convert("RGB")) for name in ("before.png", "after.png")]
        rows = np.concatenate(targets)
        Image.fromarray(np.concatenate([rows, *strips], axis=1)).save(OUT, quality=80, method=6)


if __name__ == "__main__":
    main()
