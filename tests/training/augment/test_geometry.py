from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradgradcheck

from sgkit.training.augment import AugmentPipe
from sgkit.training.augment.geometry import inverse_transform, move, warp
from sgkit.training.augment.random import AugmentRandom
from sgkit.training.augment.wavelets import SYM6

Maker = Callable[..., Any]
GEOMETRY = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")


# -------------------------------------------------------------------------------------------------- matrices


def scaling(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def turning(angle: float) -> np.ndarray:
    """Counterclockwise on the screen, where y points down."""
    return np.array(
        [[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]], dtype=np.float64
    )


def shifting(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]], dtype=np.float64)


def forward_by_hand(random: AugmentRandom, row: int, transform: str, size: tuple[int, int]) -> np.ndarray:
    """The matrix from input to output of one transform that happens."""

    def u(name: str) -> float:
        return float(random.uniform(name)[row])

    def n(name: str) -> float:
        return float(random.normal(name)[row])

    height, width = size
    if transform == "xflip":
        return scaling(-1 if u("xflip.side") >= 0.5 else 1, 1)
    if transform == "rotate90":
        return turning(math.pi / 2 * math.floor(4 * u("rotate90.turns")))
    if transform == "xint":
        return shifting(
            *(
                round((2 * u(f"xint.{axis}") - 1) * 0.125 * side)
                for axis, side in zip("xy", (width, height), strict=True)
            )
        )
    if transform == "scale":
        return scaling(2 ** (0.2 * n("scale")), 2 ** (0.2 * n("scale")))
    if transform == "aniso":
        return scaling(2 ** (0.2 * n("aniso")), 2 ** (-0.2 * n("aniso")))
    if transform == "xfrac":
        return shifting(0.125 * width * n("xfrac.x"), 0.125 * height * n("xfrac.y"))
    return turning(math.pi * (2 * u(f"{transform}.angle") - 1))


@pytest.mark.parametrize("names", [*((name,) for name in GEOMETRY), GEOMETRY], ids=lambda names: "+".join(names))
def test_matrices_undo_the_transforms_in_their_order(draw: Maker, names: tuple[str, ...]) -> None:
    random = draw(6, (24, 40))
    order = [name for name in (*GEOMETRY[:6], "rotate_after", "xfrac") if name.removesuffix("_after") in names]
    pipe = AugmentPipe.named("+".join(names))
    inverse = inverse_transform(random, p=1.0, pipe=pipe, size=(24, 40))
    for row in range(6):
        forward = np.eye(3)
        for name in order:
            forward = forward_by_hand(random, row, name, (24, 40)) @ forward
        np.testing.assert_allclose(inverse[row].double(), np.linalg.inv(forward), atol=2e-5)


def test_rotation_before_or_after_happens_with_p(draw: Maker) -> None:
    random, pipe = draw(4000, (1, 1)), AugmentPipe(rotate=1.0)
    turned = (inverse_transform(random, p=0.3, pipe=pipe, size=(1, 1)) != torch.eye(3)).flatten(1).any(dim=1)
    assert float(turned.float().mean()) == pytest.approx(0.3, abs=0.03)


# ------------------------------------------------------------------------------------------------ resampling


def warp_by_hand(image: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """One channel [H, W]: reflected, enlarged by the whole 2D filter, sampled, reduced; float64, no shortcut."""
    height, width = image.shape
    top, left = height - 1, width - 1
    padded = np.pad(image, ((top, top), (left, left)), mode="reflect")
    filter2d = np.outer(SYM6, SYM6) / 2
    sparse = np.zeros((2 * padded.shape[0] + 11, 2 * padded.shape[1] + 11))
    sparse[6:-5:2, 6:-5:2] = padded
    windows = np.lib.stride_tricks.sliding_window_view(sparse, (12, 12))
    large = 4 * np.einsum("ijkl,kl->ij", windows, filter2d[::-1, ::-1])
    v, u = np.meshgrid(np.arange(-6, 2 * height + 6), np.arange(-6, 2 * width + 6), indexing="ij")
    places = np.stack([u / 2 - (width - 1) / 2, v / 2 - (height - 1) / 2, np.ones(u.shape)])
    x, y, _ = np.einsum("ij,jkl->ikl", inverse, places)
    sampled = bilinear(large, 2 * (x + (width - 1) / 2 + left), 2 * (y + (height - 1) / 2 + top))
    windows = np.lib.stride_tricks.sliding_window_view(sampled, (12, 12))[1:, 1:][: 2 * height : 2, : 2 * width : 2]
    return np.einsum("ijkl,kl->ij", windows, filter2d)


def bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = np.zeros(x.shape)
    for row in (np.floor(y).astype(int), np.floor(y).astype(int) + 1):
        for column in (np.floor(x).astype(int), np.floor(x).astype(int) + 1):
            inside = (row >= 0) & (row < image.shape[0]) & (column >= 0) & (column < image.shape[1])
            values = image[row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)]
            total += inside * values * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


MATRICES = {
    "shift": shifting(2.3, -1.6),
    "flip": scaling(-1, 1),
    "quarter": turning(math.pi / 2),
    "turn": turning(0.7),
    "shrink": scaling(1.8, 1.4),
    "far": scaling(5.0, 4.0) @ turning(1.1),  # shows what is beyond the reflections
    "enlarge": scaling(0.4, 0.6),
    "away": shifting(500.0, 0.0),
}


@pytest.mark.parametrize("name", MATRICES)
def test_warping_is_its_formula(pictures: Maker, name: str) -> None:
    image = pictures(1, (12, 20), 1).double()
    wanted = warp_by_hand(image[0, 0].numpy(), MATRICES[name])
    warped = warp(image, torch.from_numpy(MATRICES[name])[None])
    np.testing.assert_allclose(warped[0, 0], wanted, atol=1e-10)


def test_whole_pixels_are_shifted_exactly(pictures: Maker) -> None:
    images = pictures(2, (12, 20))
    moved = warp(images, torch.from_numpy(shifting(3, -2)).float().expand(2, 3, 3))
    torch.testing.assert_close(moved[..., 2:, :-3], images[..., :-2, 3:], atol=2e-5, rtol=0)


def test_constants_stay_constant() -> None:
    images = torch.full((1, 3, 24, 24), 0.7)
    moved = warp(images, torch.from_numpy(shifting(2.5, 3.1) @ turning(0.4) @ scaling(1.2, 0.8)).float()[None])
    torch.testing.assert_close(moved, images)


def test_a_smooth_picture_is_mirrored() -> None:
    wave = torch.cos(2.0 * torch.linspace(0.0, math.pi, 32)) + torch.linspace(-0.2, 0.2, 32)
    images = wave.expand(1, 3, 32, 32)
    pipe = AugmentPipe(xflip=1.0)
    random = AugmentRandom(uniforms=torch.tensor([[0.0] * 19 + [0.9] + [0.0] * 9]), normals=torch.zeros(1, 12))
    torch.testing.assert_close(
        move(images, random, p=1.0, pipe=pipe), images.flip(-1), atol=0.03, rtol=0
    )  # the filter is not quite symmetric


@pytest.mark.parametrize("side", [4, 5, 16])
def test_images_may_be_smaller_than_the_filter(draw: Maker, pictures: Maker, side: int) -> None:
    images, pipe = pictures(3, (side, side)), AugmentPipe.named("bg")
    moved = move(images, draw(3, (side, side)), p=1.0, pipe=pipe)
    assert moved.shape == images.shape
    assert moved.isfinite().all()


def test_second_derivatives(pictures: Maker) -> None:
    inverse = torch.from_numpy(turning(0.5) @ scaling(1.3, 0.9))[None]
    images = pictures(1, (5, 4), 1).double().requires_grad_()
    assert gradgradcheck(lambda x: warp(x, inverse).pow(3), images)


# -------------------------------------------------------------------------------------------------- no leaks


def test_quarter_turns_can_be_undone_in_distribution(draw: Maker) -> None:
    """Section 3.1: below p = 1 the chance of each turn has no zero in its spectrum, upright being the likeliest."""
    random, pipe = draw(6000, (1, 1)), AugmentPipe(rotate90=1.0)
    inverse = inverse_transform(random, p=0.8, pipe=pipe, size=(8, 8))
    turns = torch.atan2(inverse[:, 1, 0], inverse[:, 0, 0]).div(math.pi / 2).round().long().remainder(4)
    shares = torch.bincount(turns, minlength=4) / len(turns)
    torch.testing.assert_close(shares, torch.tensor([0.4, 0.2, 0.2, 0.2]), atol=0.02, rtol=0)
    assert torch.fft.fft(shares).abs().min() > 0.1


def test_flips_can_be_undone_in_distribution(draw: Maker) -> None:
    random, pipe = draw(6000, (1, 1)), AugmentPipe(xflip=1.0)
    inverse = inverse_transform(random, p=0.8, pipe=pipe, size=(8, 8))
    assert float((inverse[:, 0, 0] < 0).float().mean()) == pytest.approx(0.4, abs=0.02)


def test_each_image_moves_alone(draw: Maker, pictures: Maker) -> None:
    images, pipe, random = pictures(5, (16, 24)), AugmentPipe.named("bg"), draw(5, (16, 24))
    inverse: Tensor = inverse_transform(random, p=1.0, pipe=pipe, size=(16, 24))
    together = warp(images, inverse)  # as an accelerator does it, over the widest span
    torch.testing.assert_close(together, move(images, random, p=1.0, pipe=pipe), atol=2e-5, rtol=0)
