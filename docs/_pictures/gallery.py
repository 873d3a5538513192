"""Makes the images of README.md and docs/gallery.md from the packaged model: ``python docs/_pictures/gallery.py``.

Names of pictures may follow: ``python docs/_pictures/gallery.py mix year``. Without any, all are made.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sgkit
from sgkit.cli.app import main as sgkit_command
from sgkit.latents.spaces import Latents, save_latents
from sgkit.packaged import MODELS
from sgkit.store.landscapes.sample import landscape

OUT = Path(__file__).parents[1] / "images"
CLASSES = MODELS["landscapes"].classes
SEASONS = [f"{season}-day" for season in ("spring", "summer", "autumn", "winter")]
HOURS = [f"summer-{hour}" for hour in ("dawn", "day", "dusk", "night")]
UNSEEN = 2
"""Number of the landscape to project, a summer day painted with a different seed than the training data."""

COMMANDS = {
    # picture -> the command that makes it; files that it reads are made by `prepared`
    "grid": "sgkit generate landscapes --seeds 0-15 --class summer-day --grid 8x2 --psi 0.7 --out grid.png",
    "mix": "sgkit mix landscapes --rows 5,0,2 --cols 9,7,12,10 --layers coarse --class autumn-dusk --psi 0.7 "
    "--out mix.png",
    "panorama": "sgkit panorama landscapes --seeds 0,3,9,7,2,13,1,10 --class summer-day --width 1536 --wrap --psi 0.7 "
    "--out panorama.png",
    "year": "sgkit panorama landscapes --latent year.npz --width 1024 --wrap --out year.png",
    "day": "sgkit panorama landscapes --latent day.npz --width 1024 --wrap --out day.png",
    "interpolation": "sgkit interpolate landscapes --seeds 0,9,7,2 --class autumn-day --psi 0.7 --frames 48 --fps 12 "
    "--loop --out interpolation.webp",
    "expand": "sgkit expand landscapes --seeds 0 --class summer-day --psi 0.7 --factor 6x1 --out expand.png",
    "hedge": "sgkit expand landscapes --seeds 9 --class summer-day --psi 0.7 --repeat box:0.3,0.6,0.8,1,0.1 --times 9 "
    "--out hedge.png",
    "blend": "sgkit blend landscapes --seeds 10,3 --class summer-day --psi 0.7 --shape ellipse:0.15,0.35,0.85,1.2,0.3 "
    "--out blend.png",
    "collage": "sgkit blend landscapes --seeds 10,3 --class summer-day --psi 0.7 --shape ellipse:0.15,0.35,0.85,1.2 "
    '--mode suzuki --layers "from 64px" --out collage.png',
    "shift": "sgkit shift landscapes --seeds 9 --class summer-day --psi 0.7 --random 7 --at 8px --grid 7x1 "
    "--out shift.png",
    "projection": "sgkit project landscapes unseen.png --class summer-day --space w+ --no-noise --steps 300 "
    "--out projected",
}


def main(names: list[str]) -> None:
    """Make the pictures called ``names``, or all."""
    model = sgkit.load("landscapes")
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepared(model)
        for name in names or [*COMMANDS, "classes", "truncation"]:
            print(name, flush=True)  # noqa: T201
            if name == "classes":
                write(
                    name, np.concatenate([row_of_classes(model, CLASSES[first : first + 4]) for first in (0, 4, 8, 12)])
                )
            elif name == "truncation":
                psis = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
                strips = [model.generate(seeds=[9], psi=psi, label="summer-day").numpy()[0] for psi in psis]
                write(name, np.concatenate(strips, axis=1))
            else:
                run(name)


def prepared(model: sgkit.Model) -> None:
    """Write what commands read: the latents of one seed in four classes, and a landscape that nobody trained on."""
    for name, classes in (("year", SEASONS), ("day", HOURS)):
        ws = [model.map(model.sample_z([7]), label, psi=0.7) for label in classes]
        save_latents(Latents(space="w+", values={"w": torch.cat(ws)}, model_hash=model.content_hash()), f"{name}.npz")
    Image.fromarray(landscape(UNSEEN, size=(128, 128), seed=2)[0]).save("unseen.png")


def run(name: str) -> None:
    """Run the command of a picture and keep what it wrote."""
    words = shlex.split(COMMANDS[name])
    assert sgkit_command(words[1:]) == 0
    if name == "interpolation":
        (OUT / words[-1]).write_bytes(Path(words[-1]).read_bytes())
    else:
        made = Path("projected/unseen/comparison.png" if name == "projection" else words[-1])
        write(name, np.asarray(Image.open(made)))


def row_of_classes(model: sgkit.Model, classes: tuple[str, ...]) -> np.ndarray:
    """Two seeds in each of these classes, side by side."""
    return np.concatenate(
        [one for label in classes for one in model.generate(seeds=[9, 7], psi=0.7, label=label).numpy()], axis=1
    )


def write(name: str, pixels: np.ndarray) -> None:
    """A small file."""
    Image.fromarray(pixels).save(OUT / f"{name}.webp", quality=85, method=6)


if __name__ == "__main__":
    main(sys.argv[1:])
