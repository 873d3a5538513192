"""Equivariance: how exactly an image moves and turns with the transform given to the generator's input.

Karras et al., "Alias-free generative adversarial networks", 2021, section 4 and appendix E: a peak
signal-to-noise ratio between the image of the moved input and the moved image, over the pixels that both show. Random
numbers of an image depend on its own number only, so batches and processes do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgkit.errors import InputError, UsageError
from sgkit.metrics.moving import moved_by_pixels, moved_by_sinc, turned, turned_twice
from sgkit.model import Branch, Model, walk
from sgkit.model.noise import NoNoise

Floats = NDArray[np.float64]
Movement = Literal["int", "frac", "rotation"]
"""Translation by whole pixels, by any amount, and rotation."""
TRANSLATE_MAX = 0.125
"""Of the image's side, in both directions."""
ROTATE_MAX = 1.0
"""Of half a turn, in both directions."""


@dataclass(frozen=True, kw_only=True)
class Equivariance:
    """Result of :func:`equivariance`."""

    psnr: float
    """Decibels over all images together; higher is better."""
    mean_squared_error: float
    num: int


def check_movable(model: Model) -> None:
    """Refuse models whose input has no transform.

    Raises:
        UsageError: it is not a StyleGAN3.
    """
    if not hasattr(_input(model), "moved"):
        raise UsageError(
            "Equivariance is measured by moving the input of the generator, which only StyleGAN3 models have; this "
            f"model's input is {model.config.synthesis.layer!r}. Leave out the metrics eqt50k_int, eqt50k_frac and "
            "eqr50k."
        )


def _input(model: Model) -> Any:
    synthesis = model.generator.synthesis
    return synthesis.layer(synthesis.plan[0].name)


@torch.no_grad()
def squared_errors(
    model: Model,
    movements: tuple[Movement, ...],
    part: range,
    *,
    batch: int = 4,
    labels: Tensor | None = None,
    psi: float = 1.0,
    seed: int = 0,
) -> Iterator[dict[Movement, Floats]]:
    """Movement -> sums of squared errors and numbers of values [N, 2] of the images numbered ``part``, by batches.

    Args:
        model: a StyleGAN3.
        movements: which ones.
        part: numbers of the images; z comes from the seed of the same number.
        batch: images at once.
        labels: [number of all images, label_dim], for conditional models.
        psi: truncation.
        seed: draws the movements.

    Raises:
        UsageError: the model's input cannot be moved.
    """
    check_movable(model)
    for start in range(part.start, part.stop, batch):
        some = range(start, min(start + batch, part.stop))
        label = None if labels is None else labels[some.start : some.stop].to(model.device)
        styles = model.styles(model.map(model.sample_z(some), label, psi=psi))
        plain = _images(model, styles)
        yield {one: _errors(model, styles, plain, one, some, seed) for one in movements}


def _images(model: Model, styles: dict[str, Tensor]) -> Tensor:
    return walk([Branch(model.generator.synthesis, styles, NoNoise())])[0].image.float()


def _errors(
    model: Model, styles: dict[str, Tensor], plain: Tensor, movement: Movement, some: range, seed: int
) -> Floats:
    drawn = torch.from_numpy(np.stack([np.random.default_rng([seed, index]).uniform(-1, 1, 3) for index in some]))
    height, width = plain.shape[2:]
    first = model.generator.synthesis.plan[0].name
    layer, own = _input(model), styles[first]
    shifts = drawn[:, :2] * TRANSLATE_MAX * torch.tensor([width, height])  # pixels, right and down
    angles = drawn[:, 2] * ROTATE_MAX * math.pi
    if movement == "int":
        shifts = shifts.round()
    if movement == "rotation":
        each = [layer.turned(own[n : n + 1], angle, 0.0, 0.0) for n, angle in enumerate(angles)]
        moved = torch.cat(each)
    else:
        units = shifts / max(width, height)
        moved = layer.moved(own, units[:, 0], units[:, 1])
    images = _images(model, {**styles, first: moved})
    rows = []
    for n in range(len(some)):
        image, reference = images[n : n + 1], plain[n : n + 1]
        right, down = shifts[n].tolist()
        if movement == "rotation":
            wanted, mask = turned(reference, float(angles[n]))
            image, other_mask = turned_twice(image, float(angles[n]))
            mask = mask * other_mask
        elif movement == "int":
            wanted, mask = moved_by_pixels(reference, round(right), round(down))
        else:
            wanted, mask = moved_by_sinc(reference, right, down)
        error = ((wanted - image).square() * mask).double().sum()
        rows.append([float(error), float(mask.double().sum()) * image.shape[1]])
    return np.array(rows)


def equivariance(errors: Floats) -> Equivariance:
    """The peak signal-to-noise ratio of all images together; images range from -1 to 1.

    Args:
        errors: [N, 2]: sums of squared errors, and of how many values.

    Raises:
        InputError: no pixel is seen in both images, or a value is not finite.
    """
    total, count = errors.sum(axis=0)
    if not np.isfinite(total) or not count > 0:
        raise InputError(
            "Equivariance cannot be computed: images contain NaN, or none of their pixels can be compared. Check the "
            "model with: sgkit info MODEL"
        )
    error = float(total / count)
    psnr = math.inf if error == 0 else 20 * math.log10(2) - 10 * math.log10(error)
    return Equivariance(psnr=psnr, mean_squared_error=error, num=len(errors))
