from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sgkit.errors import InputError, UsageError
from sgkit.metrics.equivariance import ROTATE_MAX, TRANSLATE_MAX, equivariance, squared_errors
from sgkit.metrics.moving import moved_by_pixels, moved_by_sinc, turned, turned_twice
from sgkit.model import Model

MOVEMENTS = ("int", "frac", "rotation")


def errors(model: Model, part: range = range(2), *, batch: int = 4) -> dict[str, np.ndarray]:
    found = list(squared_errors(model, MOVEMENTS, part, batch=batch))
    return {name: np.concatenate([one[name] for one in found]) for name in MOVEMENTS}  # type: ignore[index]


def with_transform(model: Model, index: int, matrix: np.ndarray) -> torch.Tensor:
    """The image of seed ``index`` when the network's own input transform is ``matrix``, as NVIDIA's tools set it."""
    buffer = model.generator.synthesis.layer(model.generator.synthesis.plan[0].name).transform
    buffer.copy_(torch.from_numpy(matrix))
    image = model.synthesize(model.map(model.sample_z(index)))
    buffer.copy_(torch.eye(3))
    return image


def test_errors_are_those_of_moving_the_network_s_transform(tiny_model: Callable[..., Model]) -> None:
    """The paper's procedure (section 4, appendix E), one image at a time."""
    model = tiny_model("stylegan3-r", size=(32, 32))
    found = errors(model)
    for index in range(2):
        tx, ty, turn = np.random.default_rng([0, index]).uniform(-1, 1, 3)
        plain = with_transform(model, index, np.eye(3))
        for name in MOVEMENTS:
            matrix, mask = np.eye(3), torch.ones(1)
            right, down = tx * TRANSLATE_MAX, ty * TRANSLATE_MAX
            if name == "int":
                right, down = round(right * 32) / 32, round(down * 32) / 32
                wanted, mask = moved_by_pixels(plain, round(right * 32), round(down * 32))
            elif name == "frac":
                wanted, mask = moved_by_sinc(plain, right * 32, down * 32)
            if name == "rotation":
                angle = turn * ROTATE_MAX * math.pi
                matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
                wanted, mask = turned(plain, angle)
                image, other = turned_twice(with_transform(model, index, matrix), angle)
                mask = mask * other
            else:
                matrix[:2, 2] = -right, -down
                image = with_transform(model, index, matrix)
            total = float(((wanted - image).square() * mask).double().sum())
            assert found[name][index] == pytest.approx([total, 3 * float(mask.sum())], rel=1e-3, abs=1e-6)


def test_an_equivariant_network_has_a_high_ratio_and_batches_do_not_matter(tiny_model: Callable[..., Model]) -> None:
    model = tiny_model("stylegan3-t", size=(32, 32))
    found = errors(model, range(3))
    for name, values in errors(model, range(1, 3), batch=1).items():
        assert values == pytest.approx(found[name][1:], rel=1e-4)
    by_pixels, other = equivariance(found["int"]), equivariance(np.array([[4.0, 1.0]]))
    assert by_pixels.psnr > 15 > other.psnr == pytest.approx(0)
    assert equivariance(np.array([[1.0, 100.0], [0.0, 300.0]])).psnr == pytest.approx(20 * math.log10(2 / 0.05))


def test_models_without_a_transform_are_refused(tiny_model: Callable[..., Model]) -> None:
    with pytest.raises(UsageError, match="only StyleGAN3 models"):
        errors(tiny_model())


def test_broken_images_are_refused() -> None:
    with pytest.raises(InputError, match="contain NaN"):
        equivariance(np.array([[np.nan, 3.0]]))
