"""Makes the images of docs/faces.md: ``python docs/_pictures/faces.py faces=MODEL men=MODEL flowers=MODEL``.

``faces`` is a model of 64 px faces; ``men`` and ``flowers`` are fine-tuned from it with ``--freeze affine,mapping``.
Only pictures whose models are given are made; names of pictures may follow.
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
BLEND = (
    "sgkit generate faces --seeds 9,30 --psi 0.6 --out two.png",
    "sgkit blend faces --seeds 9,30 --psi 0.6 --out halves.png",
    "sgkit blend faces --seeds 9,30 --psi 0.6 --shape ellipse:0.2,0.35,0.8,0.9,0.25 --out soft.png",
    "sgkit blend faces --seeds 9,30 --psi 0.6 --shape ellipse:0.2,0.35,0.8,0.9 --mode suzuki "
    '--layers "from 32px" --out hard.png',
)
_PARTS = "sgkit transfer faces --source 6,14,13 --reference 16=eyes --reference 27=mouth --psi 0.7"
PICTURES: dict[str, tuple[int, tuple[str, ...]]] = {
    # picture -> the axis along which the results of its commands are put together, and the commands
    "faces-blend": (1, BLEND),
    "faces-transfer": (
        1,
        (
            f"{_PARTS} --show-inputs --out parts.png",
            f"{_PARTS} --mode suzuki --out suzuki.png",
            f"{_PARTS} --mode collins --out collins.png",
        ),
    ),
    "faces-halves": (
        1,
        (
            "sgkit transfer faces --source 6,14 --reference 16=box:0,0,0.5,1 --reference 2=box:0.5,0,1,1 --psi 0.7 "
            "--show-inputs --out halves-aligned.png",
        ),
    ),
    "men": (
        0,
        ("sgkit translate faces men --seeds 6,14,3 --psi 0.7 --alpha 0,0.25,0.5,0.75,1 --out men.png",),
    ),
    "flowers": (
        0,
        ("sgkit translate faces flowers --seeds 6,14,3 --psi 0.7 --alpha 0,0.25,0.5,0.75,1 --out flowers.png",),
    ),
    "flowers-parts": (
        1,
        (
            "sgkit translate faces flowers --seeds 6,14,3 --psi 0.7 --region face --show-inputs --out local.png",
            "sgkit translate faces flowers --seeds 6,14,3 --psi 0.7 --mode swap --layers coarse --out swap.png",
            "sgkit translate faces flowers --seeds 6,14,3 --psi 0.7 --styles 11,12 --style-layers 4-9 --out styles.png",
        ),
    ),
}
COMMANDS = tuple(line for _, lines in PICTURES.values() for line in lines)
EDITS = (
    # of the pictures faces-edit, faces-mouth and faces-drag; later ones read the directions that earlier ones write
    "sgkit directions find faces --out sefa.safetensors",
    "sgkit edit faces --seeds 9,1 --psi 0.7 --move sefa.safetensors:1=2.5 --both --out hair.png",
    "sgkit edit faces --seeds 9,1 --psi 0.7 --move sefa.safetensors:0=2.5 --both --out light.png",
    "sgkit directions find faces --method channels --mask box:0.3,0.65,0.7,0.85 --images 2 --samples 300 "
    "--out mouth.safetensors",
    "sgkit edit faces --seeds 9,1 --psi 0.7 --move mouth.safetensors:b32_conv0:58=6 --both --out teeth.png",
    "sgkit edit faces --seeds 9,1 --psi 0.7 --move mouth.safetensors:b32_conv1:31=6 --both --out lips.png",
    "sgkit drag faces --seeds 9 --psi 0.6 --point 32,37:38,37 --out nose",
)
SCALE = 3


def main(words: list[str]) -> None:
    """Make the pictures that are named, or all whose models are given."""
    models = {name: Path(path).resolve() for name, equals, path in (word.partition("=") for word in words) if equals}
    names = [word for word in words if "=" not in word]
    for name, (axis, lines) in PICTURES.items():
        needed = {word for line in lines for word in shlex.split(line)[2:4] if not word.startswith("-")}
        if needed <= models.keys() and (not names or name in names):
            print(name, flush=True)  # noqa: T201
            pixels = made(models, lines)
            height, width = (min(one.shape[side] for one in pixels) for side in (0, 1))
            cut = [one[:height] if axis else one[:, :width] for one in pixels]
            picture = np.concatenate(cut, axis=axis).repeat(SCALE, axis=0).repeat(SCALE, axis=1)
            Image.fromarray(picture).save(OUT / f"{name}.webp", quality=85, method=6)

    if "faces" in models and (not names or "faces-edit" in names):
        edits(models["faces"])


def edits(model: Path) -> None:
    """Make faces-edit, faces-mouth and faces-drag."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("faces").symlink_to(model)
        for line in EDITS:
            assert sgkit_command(shlex.split(line)[1:]) == 0
        for name, files in (("faces-edit", ("hair.png", "light.png")), ("faces-mouth", ("teeth.png", "lips.png"))):
            strips = np.concatenate([np.asarray(Image.open(file)) for file in files], axis=1)
            Image.fromarray(strips).save(OUT / f"{name}.webp", quality=70, method=6)
        Image.open("nose/points.png").save(OUT / "faces-drag.webp", quality=85, method=6)
        os.chdir(before)


def made(models: dict[str, Path], lines: tuple[str, ...]) -> list[np.ndarray]:
    """What each command writes, with the names of ``models`` for their paths."""
    before, pixels = Path.cwd(), []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, path in models.items():
            Path(name).symlink_to(path)
        for line in lines:
            words = shlex.split(line)
            assert sgkit_command(words[1:]) == 0
            pixels.append(np.asarray(Image.open(words[words.index("--out") + 1]).convert("RGB")))
        os.chdir(before)
    return pixels


if __name__ == "__main__":
    main(sys.argv[1:])
