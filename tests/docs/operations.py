"""Every image command on every architecture, for docs/operations.md: ``python -m tests.docs.operations`` writes it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import sgkit
from sgkit.cli.app import COMMANDS, main
from sgkit.config import override
from sgkit.config.presets import preset
from sgkit.model import Model, build

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ARCHITECTURES = {
    # heading -> preset and number of classes
    "ProGAN": ("progan", 0),
    "StyleGAN1": ("stylegan1-f", 0),
    "StyleGAN2 orig": ("stylegan2-e-gorig-dorig", 0),
    "StyleGAN2 skip": ("stylegan2-f", 0),
    "StyleGAN2 resnet": ("stylegan2-e-gresnet-dorig", 0),
    "self-modulated": ("self-modulated", 0),
    "StyleGAN3-T": ("stylegan3-t", 0),
    "StyleGAN3-R": ("stylegan3-r", 0),
    "conditional": ("stylegan2-f", 2),
}
LINES: dict[str, tuple[str, ...]] = {
    # command -> lines; CLASS is "--class 0" for conditional models
    "generate": ("generate model --seeds 0,1 CLASS --out out",),
    "mix": ("mix model --rows 0 --cols 1 --layers 0-1 CLASS --out out.png",),
    "interpolate": ("interpolate model --seeds 0,1 --frames 2 CLASS --out out.gif",),
    "project": ("project model photo.png --steps 2 --space w CLASS --out out",),
    "tune": (
        "project model photo.png --steps 2 CLASS --out projected",
        "tune model projected --steps 2 --out out.safetensors",
        "generate model+out.safetensors --latent projected --out out.png",
    ),
    "panorama": (
        "panorama model --seeds 0-2 --wrap x CLASS --out out.png",
        "panorama model --seeds 0-3 --grid 2x2 --wrap both CLASS --out out2.png",
        "panorama model --seeds 0-2 --mode pairs --blend soat CLASS --out out3.png",
    ),
    "expand": (
        "expand model --seeds 0 --factor 2x1 CLASS --out out.png",
        "expand model --seeds 0 --factor 2x1 --mode tile CLASS --out out2.png",
        "expand model --seeds 0 --factor 1x2 --mode resize CLASS --out out3.png",
        "expand model --seeds 0 --repeat box:0,0.5,0.5,1 CLASS --out out4.png",
    ),
    "blend": (
        "blend model --seeds 0-2 CLASS --out out.png",
        "blend model --seeds 0,1 --shape mask.png@'to 8px' CLASS --out out2.png",
        "blend model --seeds 0,1 --shape ellipse:0.2,0.2,0.8,0.8 --mode suzuki CLASS --out out3.png",
    ),
    "shift": (
        "shift model --seeds 0 --random 2 CLASS --out out",
        "shift model --seeds 0 --at 8px --move 'mask.png by 0.25,0' --parts-of 1 CLASS --out out.png",
    ),
    "transfer": (
        "transfer model --source 0 --reference 1=mask.png --reference 2=box:0,0,0.5,1 CLASS --out out.png",
        "transfer model --source 0 --reference 1=mask.png --mode suzuki CLASS --out out2.png",
    ),
    "transfer --mode collins": (
        "transfer model --source 0 --reference 1=mask.png --mode collins --clusters 2 --samples 4 CLASS --out out.png",
    ),
    "translate": (
        "translate model model --seeds 0 --alpha 0,0.5 --region mask.png CLASS --out out.png",
        "translate model model --seeds 0 --mode swap --layers 'to 8px' CLASS --out out2.png",
    ),
    "directions": ("directions find model --count 2 --out found.safetensors",),
    "edit": (
        "directions find model --count 2 --out found.safetensors",
        "edit model --seeds 0 --move found.safetensors:0=2 CLASS --out out.png",
    ),
    "drag": ("drag model --seeds 0 --point 4,4:8,8 --steps 2 --frames 2 CLASS --out out",),
    "replay": ("generate model --seeds 0 CLASS --out out.png", "replay out.png --out again.png"),
}
"""A command is on the page when it is here; every one under "Images" has to be."""


def commands() -> list[str]:
    """The rows of the table: commands that make images, as the help page orders them, and some of their modes."""
    names = [row.name for row in COMMANDS if row.panel == "Images"]
    return [row for name in names for row in (name, *(key for key in LINES if key.startswith(f"{name} ")))]


def tiny(name: str, label_dim: int) -> Model:
    """A preset's architecture, made tiny."""
    config = preset(name, image_size=(16, 16), label_dim=label_dim).model
    small = {
        f"{network}.{key}": value
        for network in ("synthesis", "discriminator")
        for key, value in (("channel_base", 64), ("channel_max", 8))
    }
    small |= {"z_dim": 8, "w_dim": 8, "mapping.num_layers": min(config.mapping.num_layers, 2)}
    small |= {"discriminator.mapping.num_layers": 1}
    if config.synthesis.alias_free is not None:
        small |= {"synthesis.alias_free.num_layers": 5, "synthesis.alias_free.margin": 3}
    return build(override(config, small), seed=1)


@contextlib.contextmanager
def _in_new_folder() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def outcome(command: str, architecture: str) -> str | None:
    """Why ``command`` refuses ``architecture``; ``None``: it works.

    Raises:
        AssertionError: it fails in another way, or writes nothing.
    """
    name, label_dim = ARCHITECTURES[architecture]
    with _in_new_folder() as folder:
        sgkit.save(tiny(name, label_dim), folder / "model.safetensors")
        (folder / "model.safetensors").rename(folder / "model")
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save("photo.png")
        mask = Image.new("L", (16, 16))
        mask.paste(255, (2, 2, 9, 12))
        mask.save("mask.png")
        for line in LINES[command]:
            words = shlex.split(line.replace("CLASS", "--class 0" if label_dim else ""))
            said = io.StringIO()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                code = main(words)
            if code == 2:
                return re.sub(r"\s+", " ", said.getvalue().rpartition("Error: ")[2]).strip()
            out = Path(words[words.index("--out") + 1])
            assert code == 0 and out.exists(), f"{line} on {architecture}: {said.getvalue()}"  # noqa: PT018
    return None


def table(outcomes: Mapping[tuple[str, str], str | None]) -> str:
    """The page's table, with the refusals below."""
    reasons = list(dict.fromkeys(reason for reason in outcomes.values() if reason is not None))
    rows = [["command", *ARCHITECTURES], ["---"] * (1 + len(ARCHITECTURES))]
    for command in commands():
        cells = [outcomes[command, architecture] for architecture in ARCHITECTURES]
        marks = ["✓" if reason is None else f"({reasons.index(reason) + 1})" for reason in cells]
        rows.append([f"`{command}`", *marks])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"({i}) refused: {reason}  " for i, reason in enumerate(reasons, start=1))]).strip()


START, END = "<!-- table made by tests/docs/operations.py -->", "<!-- end of the table -->"


def shown() -> str:
    """The table that the page has."""
    return PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0].strip()


if __name__ == "__main__":
    found = {(command, one): outcome(command, one) for command in commands() for one in ARCHITECTURES}
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    PAGE.write_text(f"{before}{START}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
