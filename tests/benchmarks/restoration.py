"""Filling in, enlarging and colouring with ``sgkit project``, beside what needs no model, or no search.

    python -m tests.benchmarks.restoration MODEL --data IMAGES [--count 20] [--steps 200] [--search w+,s:gaussian]
        [--class NAME] [--tasks NAME,...] [--out FOLDER]

IMAGES were not seen in training. Hidden is a square of half of the side in the middle; enlarged is by 4; coloured from
brightness alone. Compared are searches (SPACE[:PRIOR]), the nearest of 1,000 of the model's own samples by what is
observed, and the obvious: the mean colour of what is seen, bicubic enlargement, no colour. PSNR over what was not
observed (all of the image for enlarging), and the squared distance of EfficientNet's unit feature vectors. ``--out``
gets a picture of each task: observed, obvious, nearest, the searches, the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import sgkit
from sgkit.config.project import ProjectSettings
from sgkit.inversion.observe import Observation
from sgkit.inversion.optimize import search
from sgkit.inversion.targets import read_targets, target_images
from sgkit.metrics.effnet import EffnetExtractor
from sgkit.model import Branch, Model, noise_source, walk
from sgkit.model.labels import label_vector
from tests.benchmarks.inversion_table import mean, pixels
from tests.benchmarks.transfer_claims import spatial

BATCH, NEAREST, FACTOR = 20, 1000, 4


@dataclass(frozen=True)
class Task:
    """What is observed, what would be obvious, and what is put back from the observation."""

    observation: Observation
    obvious: Callable[[Tensor], Tensor]
    """What is observed [N, C, H, W] -> images."""
    restored: Callable[[Tensor, Tensor], Tensor]
    """What is observed, and found -> images."""


def tasks(size: tuple[int, int]) -> dict[str, Task]:
    """The three, for images of a size."""
    height, width = size
    mask = torch.ones(1, 1, height, width)
    mask[:, :, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 0
    mean_of = lambda seen: seen.sum(dim=(2, 3), keepdim=True) / mask.sum()  # noqa: E731
    brightness = Observation(grayscale=True)
    return {
        "filling in": Task(
            Observation(mask=mask),
            lambda seen: seen + (1 - mask) * mean_of(seen),
            lambda seen, found: seen + (1 - mask) * found,
        ),
        "enlarging": Task(
            Observation(downscale=FACTOR),
            lambda seen: F.interpolate(seen[:, :, ::FACTOR, ::FACTOR], size, mode="bicubic", antialias=False),
            lambda seen, found: found - Observation(downscale=FACTOR)(found) + seen,
        ),
        "colouring": Task(brightness, lambda seen: seen, lambda seen, found: found - brightness(found) + seen),
    }


@torch.no_grad()
def nearest(model: Model, label: Tensor | None, task: Task, seen: Tensor) -> Tensor:
    """The sample of the model that looks most like each image, by what is observed."""
    best, chosen = torch.full((len(seen),), torch.inf), torch.zeros_like(seen)
    for start in range(0, NEAREST, BATCH):
        w = model.map(model.sample_z(range(start, start + BATCH)), None if label is None else label.expand(BATCH, -1))
        branch = Branch(model.generator.synthesis, model.styles(w), noise_source("const"))
        drawn = walk([branch])[0].image
        found = (task.observation(drawn)[None] - seen[:, None]).square().mean(dim=(2, 3, 4)).min(dim=1)
        better = found.values < best
        best = torch.where(better, found.values, best)
        chosen[better] = drawn[found.indices[better]]
    return chosen


def restored(model: Model, label: Tensor | None, task: Task, images: Tensor, name: str, steps: int) -> Tensor:
    """What a search finds."""
    space, _, prior = name.partition(":")
    given = task.observation
    settings = ProjectSettings(
        space=space,  # type: ignore[arg-type]
        prior=prior or "none",  # type: ignore[arg-type]
        steps=steps,
        optimize_noise=False,
        downscale=given.downscale,
        grayscale=given.grayscale,
    )
    mask = None if given.mask is None else given.mask[0, 0]
    return torch.cat(
        [search(model, part, settings, label=label, mask=mask).images.detach() for part in images.split(BATCH)]  # type: ignore[no-untyped-call]
    )


def main() -> None:
    """Print a table for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--search", default="w,w+,w+:p,s:gaussian")
    parser.add_argument("--class", dest="label")
    parser.add_argument("--tasks", default="filling in,enlarging,colouring")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model, extractor = sgkit.load(given.model), EffnetExtractor()
    label = None if given.label is None else label_vector(model, given.label)
    images = target_images(list(islice(read_targets([given.data], model), given.skip, given.skip + given.count)), model)
    for title, task in tasks(model.image_size).items():
        if title not in given.tasks.split(","):
            continue
        seen = task.observation(images)
        rows = {"the obvious": task.obvious(seen)}
        rows["nearest sample"] = task.restored(seen, nearest(model, label, task, seen))
        for name in given.search.split(","):
            rows[f"project {name}"] = task.restored(seen, restored(model, label, task, images, name, given.steps))
        print(f"| {title} | PSNR | feature distance |\n| --- | --- | --- |")
        for name, found in rows.items():
            print(f"| {name} | {' | '.join(measured(extractor, task, found.clamp(-1, 1), images))} |", flush=True)
        if given.out is not None:
            columns = [seen, *rows.values(), images]
            write([pixels(column) for column in columns], given.out / f"{title.replace(' ', '-')}.png")


@torch.inference_mode()
def measured(extractor: EffnetExtractor, task: Task, found: Tensor, images: Tensor) -> tuple[str, str]:
    """PSNR where nothing was observed, and the distance of features."""
    hidden = torch.ones(1) if task.observation.mask is None else 1 - task.observation.mask
    error = ((found - images).square() * hidden).sum(dim=(1, 2, 3)) / hidden.expand_as(images[:1]).sum()
    one, other = (spatial(extractor, pixels(x)) for x in (found, images))
    near = (one - other).square().sum(dim=1).mean(dim=(1, 2))
    return mean((10 * torch.log10(4 / error)).numpy()), mean(near.numpy())


def write(columns: list[Tensor], path: Path) -> None:
    """A picture with a row for each image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = torch.cat(columns, dim=3).permute(0, 2, 3, 1)
    Image.fromarray(np.concatenate(list(rows.numpy()), axis=0)).save(path)


if __name__ == "__main__":
    main()
