from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradgradcheck

from sgkit.training.augment import DiffAugmentRandom, diffaugment
from sgkit.training.rng import Rng

Maker = Callable[..., Any]


def drawn(count: int, *, first: int = 0) -> DiffAugmentRandom:
    return DiffAugmentRandom.sample(Rng(seed=5, device=torch.device("cpu")), "test", range(first, first + count))


def test_color_is_its_formula(pictures: Maker) -> None:
    images, random = pictures(5).double(), drawn(5)
    changed = diffaugment(images, random, policy=["color"])
    for row, image in enumerate(images):
        brightness, saturation, contrast = (
            float(random.uniform(c)[row]) for c in ("brightness", "saturation", "contrast")
        )
        image = image + (brightness - 0.5)
        grey = image.mean(dim=0, keepdim=True)
        image = (image - grey) * (2 * saturation) + grey
        image = (image - image.mean()) * (contrast + 0.5) + image.mean()
        torch.testing.assert_close(changed[row], image, atol=1e-6, rtol=0)


def test_translation_moves_whole_pixels_in_zeros(pictures: Maker) -> None:
    images, random = pictures(40, (16, 24)) + 3.0, drawn(40)
    moved = diffaugment(images, random, policy=["translation"])
    shifts = set()
    for row, image in enumerate(images):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if torch.equal(moved[row], shifted(image, down, right))
        ]
        assert len(found) == 1
        shifts |= set(found)
    assert {down for down, _ in shifts} == set(range(-2, 3))
    assert {right for _, right in shifts} == set(range(-3, 4))


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    padded = torch.nn.functional.pad(image, (3, 3, 3, 3))
    return padded[:, 3 - down : 3 - down + image.shape[1], 3 - right : 3 - right + image.shape[2]]


@pytest.mark.parametrize("size", [(16, 16), (10, 30)])
def test_cutout_hides_a_rectangle(size: tuple[int, int]) -> None:
    count = 200
    cut = diffaugment(torch.ones(count, 1, *size), drawn(count), policy=["cutout"])
    hidden = (cut[:, 0] == 0).double()
    rows, columns = hidden.amax(dim=2), hidden.amax(dim=1)
    assert torch.equal(hidden, rows[:, :, None] * columns[:, None, :])
    assert rows.sum(dim=1).max() == size[0] // 2
    assert columns.sum(dim=1).max() == size[1] // 2
    assert hidden.mean(dim=0).min() > 0.05  # every place is hidden now and then


def test_policies_are_applied_in_order(pictures: Maker) -> None:
    images, random = pictures(3), drawn(3)
    both = diffaugment(images, random, policy=["cutout", "color"])
    torch.testing.assert_close(
        both, diffaugment(diffaugment(images, random, policy=["cutout"]), random, policy=["color"])
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_stay_alone_and_alpha_keeps_its_values(pictures: Maker, channels: int) -> None:
    images = pictures(4, (12, 10), channels)
    whole = diffaugment(images, drawn(4), policy=["color", "translation", "cutout"])
    halves = [
        diffaugment(images[i : i + 2], drawn(2, first=i), policy=["color", "translation", "cutout"]) for i in (0, 2)
    ]
    torch.testing.assert_close(whole, torch.cat(halves))
    if channels == 4:
        assert torch.equal(diffaugment(images, drawn(4), policy=["color"])[:, 3], images[:, 3])


def test_second_derivatives(pictures: Maker) -> None:
    images = pictures(1, (6, 5)).double().requires_grad_()
    assert gradgradcheck(lambda x: diffaugment(x, drawn(1), policy=["color", "translation", "cutout"]).pow(3), images)
