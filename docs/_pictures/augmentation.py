"""Draws the picture of docs/concepts/augmentation.md: ``python docs/_pictures/augmentation.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sgkit.store.landscapes.sample import landscape
from sgkit.training.augment import AugmentPipe, AugmentRandom, DiffAugmentRandom, augment, diffaugment
from sgkit.training.augment.random import UNIFORMS
from sgkit.training.rng import Rng

OUT = Path(__file__).parents[1] / "concepts" / "augmentation.png"
PICTURES = (3, 11, 5, 20)
SIDE, GAP, LABEL, ROWS = 72, 2, 84, 10
TRANSFORMS = (
    *("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac"),
    *("brightness", "contrast", "lumaflip", "hue", "saturation", "filter", "noise", "cutout"),
)
RUN = Rng(seed=0, device=torch.device("cpu"))


def main() -> None:
    """Write the picture."""
    images = torch.stack([torch.from_numpy(landscape(number, size=(SIDE, SIDE))[0].copy()) for number in PICTURES])
    images = images.permute(0, 3, 1, 2) / 127.5 - 1.0
    rows = [("as they are", images)]
    rows += [(name, transformed(images, name, p=1.0)) for name in TRANSFORMS]
    rows += [(f"{pipe}, p = 0.5", transformed(images, pipe, p=0.5)) for pipe in ("bgc", "bgcfnc")]
    fixed = DiffAugmentRandom.sample(RUN, "picture", range(len(images)))
    rows.append(("DiffAugment", diffaugment(images, fixed, policy=("color", "translation", "cutout"))))
    sheet(rows).quantize(256, dither=Image.Dither.NONE).save(OUT, optimize=True)


def transformed(images: Tensor, pipe: str, *, p: float) -> Tensor:
    """The images after ``pipe``; flips, of which half happen at p = 1, all happen."""
    transforms = AugmentPipe.named(pipe)
    random = AugmentRandom.sample(RUN, "picture", range(len(images)), (SIDE, SIDE), 3)
    if p == 1.0:
        random.uniforms[:, [UNIFORMS.index("xflip.side"), UNIFORMS.index("lumaflip.side")]] = 0.9
        random.uniforms[:, UNIFORMS.index("rotate90.turns")] = torch.tensor([0.3, 0.6, 0.9, 0.3])
    return augment(images, random, p=p, pipe=transforms)


def sheet(rows: list[tuple[str, Tensor]]) -> Image.Image:
    """Rows of images with their names, in columns of ``ROWS``."""
    cell, block = SIDE + GAP, LABEL + len(PICTURES) * (SIDE + GAP)
    columns = -(-len(rows) // ROWS)
    page = Image.new("RGB", (columns * block + GAP, ROWS * cell + GAP), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for index, (name, images) in enumerate(rows):
        left, top = index // ROWS * block, index % ROWS * cell + GAP
        pen.text(
            (left + LABEL - 6, top + SIDE // 2), name.replace(", ", ",\n"), "black", font, anchor="rm", align="right"
        )
        pixels = ((images.clamp(-1.0, 1.0) + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        for place, picture in enumerate(pixels):
            page.paste(Image.fromarray(np.ascontiguousarray(picture)), (left + LABEL + place * cell, top))
    return page


if __name__ == "__main__":
    main()
