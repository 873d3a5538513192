"""Makes the images of README.md and the documentation from the packaged model: ``python docs/_pictures/gallery.py``.

Names of pictures may follow: ``python docs/_pictures/gallery.py mix year``. Without any, all are made, in minutes. Two
need more than the model, and have separate scripts: ``neighbours.py`` training images, ``expect.py`` a long training.
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
from sgkit.model import Branch, steps
from sgkit.store.landscapes.sample import landscape

OUT = Path(__file__).parents[1] / "images"
UNSEEN = 2
"""Number of the landscape to project, a summer day painted with a different seed than the training data."""
MAP = ("WWWGGOOO", "WWGGGGOO", "WWGGGOOO")
"""A map of 8x3 places: white, green and orange."""
DAY = "summer-dawn,summer-day,summer-dusk,summer-night"
YEAR = "spring-day,summer-day,autumn-day,winter-day"

COMMANDS: dict[str, tuple[str, ...]] = {
    # picture -> the commands that make it; the last one names the file
    "grid": ("sgkit generate landscapes --seeds 0-15 --class summer-day --grid 8x2 --psi 0.7 --out grid.png",),
    "random": ("sgkit generate landscapes --seeds 0-31 --class random --grid 8x4 --out random.png",),
    "classes": ("sgkit generate landscapes --seeds 9 --class all --grid 4x4 --psi 0.7 --out classes.png",),
    "truncation": (
        "sgkit generate landscapes --seeds 9,2 --class summer-day --psi-strip 0,0.25,0.5,0.75,1,1.25 "
        "--out truncation.png",
    ),
    "mix": (
        "sgkit mix landscapes --rows 5,0,2 --cols 9,7,12,10 --layers coarse --class autumn-dusk --psi 0.7 "
        "--out mix.png",
    ),
    "interpolation": (
        "sgkit interpolate landscapes --seeds 0,9,7,2 --class autumn-day --psi 0.7 --frames 48 --fps 12 --loop "
        "--out interpolation.webp",
    ),
    "panorama": (
        "sgkit panorama landscapes --seeds 0-23 --class summer-day --width 3072 --wrap --psi 0.7 --out panorama.png",
    ),
    "year": (f"sgkit panorama landscapes --seeds 7 --class {YEAR} --width 1024 --wrap --psi 0.7 --out year.png",),
    "day": (f"sgkit panorama landscapes --seeds 7 --class {DAY} --width 1024 --wrap --psi 0.7 --out day.png",),
    "world": (
        "sgkit panorama landscapes --map map.png --legend white=winter-day,green=summer-day,#ff8800=autumn-day "
        "--endless 4 --psi 0.7 --smooth 0.7 --wrap x --out world.png",
    ),
    "projection": (
        "sgkit project landscapes unseen.png --class summer-day --space w+ --no-noise --steps 300 --out projected",
    ),
    "expand": ("sgkit expand landscapes --seeds 0 --class summer-day --psi 0.7 --factor 6x1 --out expand.png",),
    "hedge": (
        "sgkit expand landscapes --seeds 9 --class summer-day --psi 0.7 --repeat box:0.3,0.6,0.8,1,0.1 --times 9 "
        "--out hedge.png",
    ),
    "blend": (
        "sgkit blend landscapes --seeds 10,3 --class summer-day --psi 0.7 --shape ellipse:0.15,0.35,0.85,1.2,0.3 "
        "--out blend.png",
    ),
    "collage": (
        "sgkit blend landscapes --seeds 10,3 --class summer-day --psi 0.7 --shape ellipse:0.15,0.35,0.85,1.2 "
        '--mode suzuki --layers "from 64px" --out collage.png',
    ),
    "transfer": (
        "sgkit transfer landscapes --source 9,3 --reference 10=box:0,0.6,1,1 --class summer-day --psi 0.7 "
        "--no-align --show-inputs --out transfer.png",
    ),
    "transfer_suzuki": (
        "sgkit transfer landscapes --source 9,3 --reference 10=box:0,0.6,1,1 --class summer-day --psi 0.7 "
        "--mode suzuki --show-inputs --out transfer_suzuki.png",
    ),
    "transfer_collins": (
        "sgkit transfer landscapes --source 9,3 --reference 10=box:0,0.6,1,1 --class summer-day --psi 0.7 "
        "--mode collins --show-inputs --out transfer_collins.png",
    ),
    "shift": (
        "sgkit shift landscapes --seeds 9 --class summer-day --psi 0.7 --random 7 --at 8px --grid 7x1 --out shift.png",
    ),
    "edit": (
        "sgkit directions find landscapes --method difference --plus-class summer-night --minus-class summer-day "
        "--out night.safetensors",
        "sgkit edit landscapes --seeds 9,7 --class summer-day --move night.safetensors=1 --out edit.png",
    ),
    "painted": (
        'sgkit prepare "sample:landscapes?count=200&seed=1&labels=season-hour" --size 128 --out landscapes-store',
        "sgkit data info landscapes-store --pictures painted",
    ),
}
LATENTS = {"states": "the image so far after each resolution of a walk"}


def main(names: list[str]) -> None:
    """Make the pictures called ``names``, or all."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Image.fromarray(landscape(UNSEEN, size=(128, 128), seed=2)[0]).save("unseen.png")
        colours = {"W": (255, 255, 255), "G": (0, 128, 0), "O": (255, 136, 0)}
        painted = [[colours[letter] for letter in row] for row in MAP]
        Image.fromarray(np.array(painted, dtype=np.uint8)).save("map.png")
        for name in names or [*COMMANDS, *LATENTS]:
            print(name, flush=True)  # noqa: T201
            if name == "states":
                write(name, states())
            else:
                run(name)


def run(name: str) -> None:
    """Run the commands of a picture and keep what the last one wrote."""
    lines = [shlex.split(line) for line in COMMANDS[name]]
    for words in lines:
        assert sgkit_command(words[1:]) == 0
    made = Path(lines[-1][-1])
    if made.suffix == ".webp":
        (OUT / made.name).write_bytes(made.read_bytes())
        return
    if name == "projection":
        made = made / "unseen" / "comparison.png"
    pixels = np.asarray(Image.open(made if made.is_file() else sorted(made.glob("*sheet*.png"))[0]).convert("RGB"))
    write(name, pixels)


@torch.inference_mode()
def states() -> np.ndarray:
    """The image so far after the last layer of each resolution, enlarged to the size of the last."""
    model = sgkit.load("landscapes")
    network = model.generator.synthesis
    ws = model.map(model.sample_z([9]), "summer-day", psi=0.7)
    found = []
    for spec, (state,) in steps([Branch(network, model.styles(ws))]):
        if spec.closes_resolution:
            pixels = ((state.rgb[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            factor = 128 // pixels.shape[0]
            found.append(pixels.repeat(factor, axis=0).repeat(factor, axis=1))
    return np.concatenate(found, axis=1)


def write(name: str, pixels: np.ndarray) -> None:
    """A small file."""
    Image.fromarray(pixels).save(OUT / f"{name}.webp", quality=85, method=6)


if __name__ == "__main__":
    main(sys.argv[1:])
