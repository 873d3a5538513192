from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sgkit.training.augment import AugmentPipe
from sgkit.training.augment.color import color_transform, recolor
from sgkit.training.augment.random import AugmentRandom

Maker = Callable[..., Any]
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
GREY_AXIS = np.ones(3) / math.sqrt(3.0)


def color_by_hand(random: AugmentRandom, row: int, transform: str, pixels: np.ndarray) -> np.ndarray:
    """Pixels [3, n] after one transform, by its formula in float64."""
    luma = np.outer(GREY_AXIS, GREY_AXIS @ pixels)
    if transform == "brightness":
        return pixels + 0.2 * float(random.normal("brightness")[row])
    if transform == "contrast":
        return pixels * 2 ** (0.5 * float(random.normal("contrast")[row]))
    if transform == "lumaflip":
        return pixels - 2 * luma * (float(random.uniform("lumaflip.side")[row]) >= 0.5)
    if transform == "saturation":
        return luma + (pixels - luma) * 2 ** float(random.normal("saturation")[row])
    angle = math.pi * (2 * float(random.uniform("hue.angle")[row]) - 1)
    across = np.cross(GREY_AXIS, pixels, axisb=0).T
    return luma + (pixels - luma) * math.cos(angle) + across * math.sin(angle)


@pytest.mark.parametrize("names", [*((name,) for name in COLOR), COLOR], ids=lambda names: "+".join(names))
def test_transforms_are_their_formulas(draw: Maker, pictures: Maker, names: tuple[str, ...]) -> None:
    random, images = draw(8), pictures(8).double()
    changed = recolor(images, random, p=1.0, pipe=AugmentPipe.named("+".join(names)))
    for row in range(8):
        wanted = images[row].flatten(1).numpy()
        for name in names:
            wanted = color_by_hand(random, row, name, wanted)
        np.testing.assert_allclose(changed[row].flatten(1), wanted, atol=2e-5)


def test_luma_flip_and_hue_keep_lengths(draw: Maker) -> None:
    linear = color_transform(draw(50), p=1.0, pipe=AugmentPipe(lumaflip=1.0, hue=1.0))[:, :3, :3].double()
    torch.testing.assert_close(linear @ linear.mT, torch.eye(3).double().expand_as(linear), atol=1e-5, rtol=0)


def test_grey_images_know_brightness_contrast_and_luma_flip(draw: Maker, pictures: Maker) -> None:
    """One channel is what three equal ones would become, averaged."""
    random, grey = draw(12), pictures(12, (8, 6), 1)
    changed = recolor(grey, random, p=0.7, pipe=AugmentPipe.named("color"))
    rgb = recolor(grey.expand(-1, 3, -1, -1), random, p=0.7, pipe=AugmentPipe.named("brightness+contrast+lumaflip"))
    torch.testing.assert_close(changed, rgb.mean(dim=1, keepdim=True))


def test_alpha_stays(draw: Maker, pictures: Maker) -> None:
    random, images = draw(5), pictures(5, (8, 6), 4)
    changed = recolor(images, random, p=1.0, pipe=AugmentPipe.named("color"))
    assert torch.equal(changed[:, 3], images[:, 3])
    torch.testing.assert_close(
        changed[:, :3], recolor(images[:, :3], random, p=1.0, pipe=AugmentPipe.named("color")), atol=1e-5, rtol=0
    )


def test_other_channels_are_refused(draw: Maker, pictures: Maker) -> None:
    with pytest.raises(ValueError, match=r"Images have 5 channels; .* such as 'bg'"):
        recolor(pictures(2, channels=5), draw(2, channels=5), p=1.0, pipe=AugmentPipe.named("bgc"))
