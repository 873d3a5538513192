"""A StyleGAN3's pictures moved and turned, as NVIDIA's ``gen_images.py --translate --rotate`` does it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sgkit.errors import UsageError
from sgkit.model import Model
from sgkit.model.layers import FourierInput
from sgkit.render.drawing import DrawSettings
from sgkit.render.generate import generate
from sgkit.render.interpolate import interpolate
from sgkit.render.placement import Placement
from tests.builders import drawn_model


@pytest.fixture
def model(tiny_model: Callable[..., Model]) -> Model:
    return tiny_model("stylegan3-t")


def image(model: Model, **settings: object) -> torch.Tensor:
    (found,) = generate(model, [3], DrawSettings(**settings))  # type: ignore[arg-type]
    return found.image


def official(translate: tuple[float, float], degrees: float) -> torch.Tensor:
    """What gen_images.py puts into the input's transform: the inverse of rotation, then translation."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[cosine, sine, translate[0]], [-sine, cosine, translate[1]], [0, 0, 1]])
    return torch.from_numpy(np.linalg.inv(matrix)).float()


@pytest.mark.parametrize(
    ("translate", "degrees"), [((0.0, 0.0), 30.0), ((0.25, -0.1), 0.0), ((0.3, 0.2), -75.0), ((1.5, 0.0), 720.0)]
)
def test_a_picture_is_placed_as_the_official_transform_places_it(
    model: Model, translate: tuple[float, float], degrees: float
) -> None:
    found = image(model, translate=translate, rotate=degrees)
    layer = next(module for module in model.generator.synthesis.modules() if isinstance(module, FourierInput))
    before = layer.transform.clone()
    layer.transform.copy_(official(translate, degrees))
    try:
        expected = image(model)
    finally:
        layer.transform.copy_(before)
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, image(model), atol=1e-3)


def test_a_transform_of_the_networks_own_is_kept(model: Model) -> None:
    layer = next(module for module in model.generator.synthesis.modules() if isinstance(module, FourierInput))
    before = layer.transform.clone()
    own = official((0.1, 0.3), 20.0)
    try:
        layer.transform.copy_(own)
        found = image(model, translate=(0.2, 0.0), rotate=40.0)
        layer.transform.copy_(own @ official((0.2, 0.0), 40.0))
        assert torch.allclose(found, image(model), atol=1e-4)
        layer.transform.copy_(torch.diag(torch.tensor([1.0, 2.0, 1.0])))
        with pytest.raises(UsageError, match="stretched"):
            image(model, rotate=30.0)
        assert not torch.allclose(image(model, translate=(0.2, 0.0)), image(model), atol=1e-3)
    finally:
        layer.transform.copy_(before)


def test_frames_are_placed_like_pictures(model: Model) -> None:
    placed = list(interpolate(model, [3, 4], DrawSettings(translate=(0.25, 0.0)), frames=2))
    (alone,) = generate(model, [3], DrawSettings(translate=(0.25, 0.0)))
    assert np.abs(placed[0].astype(int) - alone.pixels).max() <= 1


def test_other_networks_and_far_places_are_refused() -> None:
    with pytest.raises(UsageError, match="Only a StyleGAN3 can be moved"):
        image(drawn_model(), rotate=10.0)
    with pytest.raises(UsageError, match="at most 64 widths"):
        image(drawn_model(), translate=(65.0, 0.0))
    with pytest.raises(ValidationError):
        Placement(translate=(65.0, 0.0))


def test_pictures_that_are_not_placed_record_nothing(model: Model) -> None:
    (one,) = generate(model, [3])
    assert "place" not in str(one.scene.to_dict())
    (one,) = generate(model, [3], DrawSettings(rotate=5.0))
    assert one.scene.to_dict()["subjects"]["seed0003"]["place"] == {"rotate": 5.0}
