"""Makes the images of faces in docs/gallery.md: ``python docs/_pictures/faces.py MODEL``, a model of 64 px faces.

- faces-blend: two images, blended side by side, blended by an ellipse, and the same ellipse as a collage.
- faces-edit: two images along two directions of SeFa.
- faces-drag: a face whose nose is dragged to the side, before and after.
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
EDITS = (
    "sgkit directions find faces --out sefa.safetensors",
    "sgkit edit faces --seeds 9,1 --psi 0.7 --move sefa.safetensors:1=2.5 --both --out hair.png",
    "sgkit edit faces --seeds 9,1 --psi 0.7 --move sefa.safetensors:0=2.5 --both --out light.png",
    "sgkit drag faces --seeds 9 --psi 0.6 --point 32,37:38,37 --out nose",
)
SCALE = 3


def main(model: Path) -> None:
    """Run the commands with ``faces`` as a name for ``model``."""
    model = model.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("faces").symlink_to(model)
        for line in (*COMMANDS, *EDITS):
            assert sgkit_command(shlex.split(line)[1:]) == 0
        write("faces-blend", [shlex.split(line)[-1] for line in COMMANDS], scale=SCALE)
        write("faces-edit", ["hair.png", "light.png"], scale=1, quality=70)
        write("faces-drag", ["nose/points.png"], scale=1)


def write(name: str, files: list[str], *, scale: int, quality: int = 85) -> None:
    """The images in ``files`` side by side."""
    row = np.concatenate([np.asarray(Image.open(file).convert("RGB")) for file in files], axis=1)
    row = row.repeat(scale, axis=0).repeat(scale, axis=1)
    Image.fromarray(row).save(OUT / f"{name}.webp", quality=quality, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
