from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sgkit.training.augment import AugmentPipe
from sgkit.training.augment.corruption import add_noise, cut_out

Maker = Callable[..., Any]


def test_noise_has_a_half_normal_deviation(draw: Maker, pictures: Maker) -> None:
    images, random = pictures(6, channels=4), draw(6, channels=4)
    noisy = add_noise(images, random, p=1.0, pipe=AugmentPipe(noise=1.0))
    for row in range(6):
        deviation = 0.1 * abs(float(random.normal("noise")[row]))
        wanted = images[row, :3].double() + deviation * random.pixels[row, :3].double()
        torch.testing.assert_close(noisy[row, :3].double(), wanted, atol=1e-6, rtol=0)
    assert torch.equal(noisy[:, 3], images[:, 3])


def test_noise_must_have_been_drawn(draw: Maker, pictures: Maker) -> None:
    with pytest.raises(ValueError, match="sample them with this pipe"):
        add_noise(pictures(2), replace(draw(2), pixels=None), p=1.0, pipe=AugmentPipe(noise=1.0))


@pytest.mark.parametrize("size", [(16, 16), (10, 24)])
def test_cutout_hides_half_of_each_side(draw: Maker, size: tuple[int, int]) -> None:
    random = draw(7, size, 4)
    cut = cut_out(torch.ones(7, 4, *size), random, p=1.0, pipe=AugmentPipe(cutout=1.0))
    for row in range(7):
        x, y = float(random.uniform("cutout.x")[row]), float(random.uniform("cutout.y")[row])
        for i in range(size[0]):
            for j in range(size[1]):
                hidden = abs((i + 0.5) / size[0] - y) < 0.25 and abs((j + 0.5) / size[1] - x) < 0.25
                assert (cut[row, :, i, j] == (0.0 if hidden else 1.0)).all()


def test_cutout_in_the_middle_is_a_quarter(draw: Maker) -> None:
    random = draw(1, uniforms={"cutout.x": 0.5, "cutout.y": 0.5})
    cut = cut_out(torch.ones(1, 1, 16, 16), random, p=1.0, pipe=AugmentPipe(cutout=1.0))
    assert float(cut.mean()) == 0.75
    assert not cut[..., 4:12, 4:12].any()
