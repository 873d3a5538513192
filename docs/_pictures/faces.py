"""Makes the image of faces in docs/gallery.md: ``python docs/_pictures/faces.py MODEL``, a model of 64 px faces.

Left to right: the two images, blended side by side, blended by an ellipse, and the same ellipse as a collage.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from sgkit.cli.app import main as sgkit_command

OUT = Path(__file__).parents[1] / "images"
COMMANDS = (
    "sgkit generate faces --seeds 9,30 --psi 0.6 --out two.png",
    "sgkit blend faces --seeds 9,30 --psi 0.6 --out halves.png",
    "sgkit blend faces --seeds 9,30 --psi 0.6 --shape ellipse:0.2,0.35,0.8,0.9,0.25 --out soft.png",
    "sgkit blend faces --seeds 9,30 --psi 0.6 --shape ellipse:0.2,0.35,0.8,0.9 --mode suzuki "
    '--layers "from 32px" --out hard.png',
)
SCALE = 3


def main(model: Path) -> None:
    """Run the commands with ``faces`` as a name for ``model``."""
    model = model.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("faces").symlink_to(model)
        pixels = []
        for line in COMMANDS:
            words = shlex.split(line)
            assert sgkit_command(words[1:]) == 0
            pixels.append(np.asarray(Image.open(words[-1]).convert("RGB")))
    row = np.concatenate(pixels, axis=1).repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    Image.fromarray(row).save(OUT / "faces-blend.webp", quality=85, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
