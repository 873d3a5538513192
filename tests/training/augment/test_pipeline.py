from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import gradgradcheck

from sgkit.config import AugmentConfig
from sgkit.training.augment import AugmentPipe, AugmentRandom, augment, augmented
from sgkit.training.augment.random import UNIFORMS
from sgkit.training.rng import Rng

Maker = Callable[..., Any]
ALL = AugmentPipe.named("bgcfnc")
GATES = [name for name in UNIFORMS if "." not in name]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("p", [0.0, torch.tensor(0.0)], ids=["number", "tensor"])
def test_at_0_images_come_back_bit_for_bit(
    draw: Maker, pictures: Maker, channels: int, p: float | torch.Tensor
) -> None:
    images = pictures(4, (12, 20), channels)
    assert torch.equal(augment(images, draw(4, (12, 20), channels), p=p, pipe=ALL), images)


@pytest.mark.parametrize("name", GATES)
def test_a_transform_happens_with_probability_p(draw: Maker, name: str) -> None:
    random = draw(1500, (1, 1))
    assert float(random.happens(name, 0.5).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert not random.happens(name, 0.0).any()
    assert random.happens(name, 1.0).all()


def test_random_numbers_are_independent(draw: Maker) -> None:
    random = draw(2000, (1, 1))
    columns = torch.cat([random.uniforms - 0.5, random.normals], dim=1)
    off_diagonal = torch.corrcoef(columns.T) - torch.eye(columns.shape[1])
    assert off_diagonal.abs().max() < 0.12


@pytest.mark.parametrize("transform", ["scale", "xfrac", "brightness", "contrast", "noise", "cutout", "filter"])
def test_about_p_of_the_images_are_touched_and_the_others_are_not(draw: Maker, pictures: Maker, transform: str) -> None:
    images, pipe = pictures(200, (8, 8)), AugmentPipe.named(transform)
    if transform == "filter":
        pipe = AugmentPipe(filter=1.0, filter_bands=(0.0, 1.0, 0.0, 0.0))
    touched = (augment(images, draw(200, (8, 8)), p=0.5, pipe=pipe) != images).flatten(1).any(dim=1)
    assert float(touched.float().mean()) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_an_image_is_the_same_in_any_batch(draw: Maker, pictures: Maker, channels: int, size: tuple[int, int]) -> None:
    images = pictures(6, size, channels)
    whole = augment(images, draw(6, size, channels), p=0.7, pipe=ALL)
    parts = [
        augment(images[first:last], draw(last - first, size, channels, first=first), p=0.7, pipe=ALL)
        for first, last in ((0, 1), (1, 4), (4, 6))
    ]
    torch.testing.assert_close(whole, torch.cat(parts), atol=2e-5, rtol=0)


def test_half_precision_is_computed_in_float32(draw: Maker, pictures: Maker) -> None:
    images, random = pictures(3).bfloat16(), draw(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = augment(images, random, p=1.0, pipe=ALL)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, augment(images.float(), random, p=1.0, pipe=ALL).bfloat16())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_second_derivatives_of_the_whole(draw: Maker, pictures: Maker, channels: int) -> None:
    images = pictures(1, (3, 4), channels).double().requires_grad_()
    random = draw(1, (3, 4), channels, uniforms={"cutout": 0.99})
    assert gradgradcheck(lambda x: augment(x, random, p=0.9, pipe=ALL).pow(3), images)


def test_r1_reaches_the_parameters_of_d(draw: Maker, pictures: Maker) -> None:
    weight = torch.randn(3, 16, 16, requires_grad=True)
    images = pictures(4).requires_grad_()
    scores = (augment(images, draw(4), p=0.8, pipe=ALL) * weight).sum(dim=(1, 2, 3)).pow(2)
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert weight.grad.abs().sum() > 0


# ---------------------------------------------------------------------------------------- by configuration

RUN = Rng(seed=1, device=torch.device("cpu"))


def test_a_configuration_says_what_is_done(pictures: Maker) -> None:
    images = pictures(4)

    def done(p: float, **config: Any) -> torch.Tensor:
        return augmented(images, RUN, "d.real", range(4), config=AugmentConfig(**config), p=p)

    assert done(1.0, kind="none") is images
    assert done(0.0, kind="ada", pipe="bgcfnc") is images
    pipe = AugmentPipe.named("color+noise")
    random = AugmentRandom.sample(RUN, "d.real", range(4), (16, 16), 3)
    for kind in ("ada", "fixed"):
        assert torch.equal(done(0.6, kind=kind, pipe="color+noise"), augment(images, random, p=0.6, pipe=pipe))
    shown = done(0.0, kind="diffaugment", policy="cutout")
    assert 0.05 < float((shown == 0).float().mean()) < 0.3


def test_uses_of_an_image_draw_other_numbers(pictures: Maker) -> None:
    config, images = AugmentConfig(kind="fixed", pipe="bgc"), pictures(2)
    real, fake = (augmented(images, RUN, use, [0, 1], config=config, p=1.0) for use in ("d.real", "d.fake"))
    assert not torch.isclose(real, fake).all(dim=(1, 2, 3)).any()


def test_noise_is_drawn_where_there_is_some() -> None:
    quiet = AugmentRandom.sample(RUN, "x", [0, 1], (8, 6), 4, pipe=AugmentPipe.named("bgc"))
    noisy = AugmentRandom.sample(RUN, "x", [0, 1], (8, 6), 4, pipe=AugmentPipe.named("noise"))
    assert quiet.pixels is None
    assert noisy.pixels is not None
    assert noisy.pixels.shape == (2, 4, 8, 6)
    assert torch.equal(quiet.uniforms, noisy.uniforms)
